#include "core/wire/wire.h"

#include <cmath>

#include "check.h"

using namespace monolith;
using wire::Field;
using wire::Reader;
using wire::Type;
using wire::Writer;

static int CountFields(const std::string& message) {
  Reader reader(message);
  Field field;
  int n = 0;
  while (reader.Next(&field)) ++n;
  return n;
}

TEST(WhatIsWrittenIsRead) {
  std::string s;
  Writer w(&s);
  w.Varint(1, 300);
  w.Varint(2, UINT64_MAX);
  w.Fixed64(3, 0x0102030405060708);
  w.Fixed32(4, 0xdeadbeef);
  w.Float(5, -1.5f);
  w.Double(6, 2.25);
  w.Bytes(1000, "content");
  Reader reader(s);
  Field f;
  CHECK(reader.Next(&f) && f.number == 1 && f.type == Type::kVarint && f.scalar == 300);
  CHECK(reader.Next(&f) && f.number == 2 && f.AsInt64() == -1 && f.AsInt32() == -1);
  CHECK(reader.Next(&f) && f.type == Type::kFixed64 && f.scalar == 0x0102030405060708);
  CHECK(reader.Next(&f) && f.type == Type::kFixed32 && f.scalar == 0xdeadbeef);
  CHECK(reader.Next(&f) && f.AsFloat() == -1.5f);
  CHECK(reader.Next(&f) && f.AsDouble() == 2.25);
  CHECK(reader.Next(&f) && f.number == 1000 && f.bytes == "content");
  CHECK(!reader.Next(&f));
}

TEST(BytesAsProtobufWritesThem) {
  std::string s;
  Writer w(&s);
  w.Varint(1, 150);
  w.Bytes(2, "testing");
  CHECK(s == std::string("\x08\x96\x01\x12\x07testing"));
}

TEST(WholeFieldsMakeUpTheMessage) {
  const std::string s("\x08\x96\x01\x0b\x10\x05\x0c\x12\x02hi\x2d\x01\x02\x03\x04", 16);
  Reader reader(s);
  Field f;
  std::string again;
  while (reader.Next(&f)) again.append(f.Whole());
  CHECK(again == s);
}

TEST(GroupsAreOneField) {
  const std::string s("\x0b\x10\x05\x1b\x1c\x0c\x20\x01", 8);  // group 1 { field 2, group 3 {} }, field 4
  Reader reader(s);
  Field f;
  CHECK(reader.Next(&f) && f.number == 1 && f.type == Type::kStartGroup);
  CHECK(f.bytes == std::string("\x10\x05\x1b\x1c"));
  CHECK(reader.Next(&f) && f.number == 4 && f.scalar == 1);
  CHECK(!reader.Next(&f));
}

TEST(BrokenMessages) {
  const std::string deep(300, '\x0b');
  const std::string broken[] = {
      "\x08",                                      // a tag without value
      std::string("\x00\x01", 2),                  // field number 0
      "\x08\x96",                                  // varint cut short
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  // eleven bytes
      "\x09\x01\x02",                              // fixed64 cut short
      "\x0d\x01",                                  // fixed32 cut short
      "\x12\x05hi",                                // reaches over the end
      "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  // length of 2^64 - 1
      "\x0b\x10\x05",                              // group without end
      "\x0b\x14",                                  // group that ends as another
      "\x0c",                                      // end without group
      "\x0e", "\x0f",                              // wire types that do not exist
      "\xf8\xff\xff\xff\xff\x01\x01",              // tag over 32 bits
      deep,
  };
  for (const std::string& s : broken) CHECK_THROWS(CountFields(s), ErrorCode::kBadData);
}

TEST(PackedAndUnpackedAreTheSame) {
  std::string s;
  Writer w(&s);
  w.Fixed64(1, 7);
  const uint64_t packed[] = {8, 9};
  w.Packed(1, packed, 2);
  w.Packed(1, packed, 0);
  std::vector<uint64_t> seen;
  Reader reader(s);
  Field f;
  while (reader.Next(&f)) wire::ForEachFixed<uint64_t>(f, [&](uint64_t v) { seen.push_back(v); });
  CHECK((seen == std::vector<uint64_t>{7, 8, 9}));

  std::string t("\x08\x05\x0a\x03\x96\x01\x07", 7);
  std::vector<uint64_t> numbers;
  Reader again(t);
  while (again.Next(&f)) wire::ForEachVarint(f, [&](uint64_t v) { numbers.push_back(v); });
  CHECK((numbers == std::vector<uint64_t>{5, 150, 7}));
}

TEST(PackedOfTheWrongKind) {
  Field f;
  const std::string odd("\x0a\x03\x01\x02\x03", 5), fixed32("\x0d\x01\x02\x03\x04", 5);
  Reader a(odd);
  CHECK(a.Next(&f));
  CHECK_THROWS(wire::ForEachFixed<uint64_t>(f, [](uint64_t) {}), ErrorCode::kBadData);
  Reader b(fixed32);
  CHECK(b.Next(&f));
  CHECK_THROWS(wire::ForEachFixed<uint64_t>(f, [](uint64_t) {}), ErrorCode::kBadData);
  CHECK_THROWS(wire::ForEachVarint(f, [](uint64_t) {}), ErrorCode::kBadData);
}
