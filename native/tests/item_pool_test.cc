// The pool against lists, over many pushes and few ids, so that its index is full of runs.
#include "core/operators/item_pool.h"

#include <list>
#include <map>
#include <string>

#include "tests/check.h"

using namespace monolith;

namespace {

struct Plain {
  uint64_t id;
  std::string fids;
  uint32_t origin;
};

}  // namespace

TEST(pool_is_as_lists_are) {
  for (uint64_t most : {1, 2, 7, 8, 9, 100, 1000}) {
    Random random(most);
    ItemPool pool(0, most);
    std::map<uint64_t, std::list<Plain>> plain;
    for (int i = 0; i < 20000; ++i) {
      const uint64_t channel = random.Below(3), id = random.Below(most * 2 + 3);
      const std::string fids(8 * random.Below(20), static_cast<char>('a' + i % 26));
      pool.Push(channel, id, fids, "column");
      std::list<Plain>& items = plain[channel];
      bool known = false;
      for (Plain& item : items)
        if (item.id == id) ++item.origin, known = true;
      if (known) continue;
      items.push_back({id, fids, 1});
      if (items.size() > most) items.pop_front();
    }
    uint64_t all = 0;
    for (const ItemQueue& queue : pool.channels()) {
      const std::list<Plain>& items = plain[queue.channel()];
      CHECK_EQ(queue.size(), items.size());
      size_t i = 0;
      for (const Plain& item : items) {
        CHECK_EQ(queue[i].id, item.id);
        CHECK_EQ(queue[i].fids(), item.fids);
        CHECK_EQ(queue[i].columns(), "column");
        CHECK_EQ(queue[i].origin_count, item.origin);
        ++i;
      }
      all += items.size();
    }
    CHECK_EQ(pool.items(), all);
  }
}

TEST(channels_are_drawn_by_their_size) {
  ItemPool pool(0, 1000);
  for (uint64_t channel = 0; channel < 9; ++channel)
    for (uint64_t id = 0; id <= channel * 10; ++id) pool.Push(channel, id, "", "");
  Random random(1);
  std::map<uint64_t, int> drawn;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) ++drawn[pool.SampleChannel(99, &random)];
  double chi_square = 0;
  for (uint64_t channel = 0; channel < 9; ++channel) {
    const double expected = kDraws * static_cast<double>(channel * 10 + 1) / static_cast<double>(pool.items());
    chi_square += (drawn[channel] - expected) * (drawn[channel] - expected) / expected;
  }
  CHECK_EQ(drawn.size(), 9u);
  CHECK(chi_square < 26.1);  // of 8, 0.999
}

TEST(counts_stay_at_their_most) {
  ItemPool pool(0, 1);
  pool.Push(1, 1, "", "", UINT32_MAX, UINT32_MAX);
  pool.Push(1, 1, "", "");
  Random random(1);
  ItemPool::Choice choice;
  CHECK(pool.Choose(1, &random, &choice));
  CHECK(ItemPool::Take(choice).freq_factor > 0);
  CHECK_EQ(pool.channels()[0][0].origin_count, UINT32_MAX);
}
