#include "core/base/fid.h"

#include "check.h"

namespace fid = monolith::fid;
using monolith::ErrorCode;

TEST(make_and_take_apart) {
  CHECK_EQ(fid::MakeV1(1, 100), 18014398509482084u);
  CHECK_EQ(fid::MakeV1(1023, uint64_t{1} << 54), 18428729675200069632u);
  CHECK_EQ(fid::MakeV2(1, 100), 281474976710756u);
  CHECK_EQ(fid::MakeV2(1024, uint64_t{1} << 54), 288230376151711744u);
  CHECK_EQ(fid::MakeV2(32767, uint64_t{1} << 48), 9223090561878065152u);
  CHECK_EQ(fid::MakeV2(2, ~uint64_t{0}), 844424930131967u);
  CHECK_EQ(fid::SlotV2(uint64_t{123} << 48), 123u);
  CHECK_EQ(fid::SlotV2(uint64_t{32767} << 48), 32767u);
  CHECK_EQ(fid::SlotV1(fid::MakeV1(1023, 5)), 1023u);
  CHECK_EQ(fid::SignatureV1(fid::MakeV1(1023, 5)), 5u);
  // Unchecked: slot 32768 sets bit 63, slot 1024 of v1 runs out at the top.
  CHECK_EQ(fid::MakeV2(32768, 0), uint64_t{1} << 63);
  CHECK_EQ(fid::MakeV1(1024, 7), 7u);
}

TEST(v1_to_v2) {
  CHECK_EQ(fid::V1ToV2(18014398509482084u), 281474976710756u);
  CHECK_EQ(fid::V1ToV2(~uint64_t{0}), 288230376151711743u);
  CHECK_EQ(fid::V1ToV2(91197892454252551u), 1407374883553287u);
  CHECK_EQ(fid::V1ToV2(306, 91197892454252551u), fid::MakeV2(306, 7));
}

TEST(switch_slot) {
  CHECK_EQ(fid::SwitchSlotV2(fid::MakeV2(5, 7), 306), 86131342873460743u);
  CHECK_EQ(fid::SwitchSlotV1(fid::MakeV1(5, 7), 306), fid::MakeV1(306, 7));
}

TEST(checked) {
  CHECK_EQ(fid::CheckedV1(1023, 1), fid::MakeV1(1023, 1));
  CHECK_EQ(fid::CheckedV2(32767, 1), fid::MakeV2(32767, 1));
  CHECK_EQ(fid::CheckedV2(1, ~uint64_t{0}), fid::MakeV2(1, ~uint64_t{0}));
  CHECK_THROWS(fid::CheckedV1(1024, 1), ErrorCode::kUsage);
  CHECK_THROWS(fid::CheckedV2(32768, 1), ErrorCode::kUsage);
  CHECK_THROWS(fid::CheckedV2(uint64_t{1} << 63), ErrorCode::kUsage);
  try {
    fid::CheckedV2(uint64_t{1} << 63 | uint64_t{3} << 48);
  } catch (const monolith::Error& e) {
    CHECK_EQ(std::string(e.what()), std::string("v2 slot should be less than 32768, while got 32771"));
  }
}

TEST(debug_text) {
  CHECK_EQ(fid::DebugText(fid::MakeV1(1, 100), 1), std::string("18014398509482084(v1|slot=1|sig=100)"));
  CHECK_EQ(fid::DebugText(fid::MakeV2(1, 100), 2), std::string("281474976710756(v2|slot=1|sig=100)"));
}

TEST(extract) {
  CHECK_EQ(fid::Extract(4, 185), 1153447759131936u);
  CHECK_EQ(fid::Extract(1, 0), 415766817731204u);
  CHECK_EQ(fid::Extract(200, -1), 56831162411487573u);
  CHECK_EQ(fid::SlotV2(fid::Extract(200, -1)), 201u);
  CHECK_EQ(fid::SlotV2(fid::Extract(200, -1, true)), 200u);
}

TEST(slot_names) {
  fid::SlotNames names;
  CHECK_EQ(names.Slot("slot_12"), 12);
  CHECK_EQ(names.Slot("fc_slot_7"), 7);
  CHECK_EQ(names.Slot("fc_slot_x"), fid::SlotNames::kNone);
  CHECK_EQ(names.Slot("foo"), 1);
  CHECK_EQ(names.Slot("bar"), 2);
  CHECK_EQ(names.Slot("foo"), 1);
  names.Register("slot_12", 5);
  CHECK_EQ(names.Slot("slot_12"), 5);
  CHECK_EQ(fid::SlotName(3), std::string("slot_3"));
  CHECK_EQ(fid::SlotName(3, true), std::string("fc_slot_3"));
}

TEST(names_of_v1_slots) {
  CHECK_EQ(fid::NamedSlotV1("slot_7"), 7);
  CHECK_EQ(fid::NamedSlotV1("fc_slot_1023"), 1023);
  for (const char* other : {"slot_1024", "slot_", "slot_7_x", "fc_slot_x", "a", "", "slot_99999999999999999999"}) CHECK_EQ(fid::NamedSlotV1(other), -1);
}
