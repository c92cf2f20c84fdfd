// The item pool, negative generation, splitting and merging as Python sees them.
#include "core/io/merge_reader.h"
#include "core/operators/item_pool_file.h"
#include "core/operators/negative_gen.h"
#include "core/operators/pool_folder.h"
#include "core/operators/split.h"
#include "core/operators/tag.h"
#include "python/bind.h"

namespace monolith {

void BindFlows(nb::module_& m);

namespace {

void BindNegativeGen(nb::module_& m) {
  nb::class_<PoolPlace>(m, "PoolPlace", "Where an item pool is kept; see monolith_cli.operators.item_pool.")
      .def("__init__",
           [](PoolPlace* self, nb::bytes folder, uint64_t step, uint32_t index, uint32_t workers, uint32_t shards) {
             new (self) PoolPlace{std::string(folder.c_str(), folder.size()), step, index, workers, shards};
           },
           nb::arg("folder"), nb::arg("step") = 0, nb::arg("index") = 0, nb::arg("workers") = 1, nb::arg("shards") = 1);
  nb::class_<NegativeGen, Operator>(m, "NegativeGen")
      .def("__init__",
           [](NegativeGen* self, const std::string& type, uint64_t neg_num, bool per_channel,
              std::optional<std::string> channel_feature, std::vector<std::string> item_features, uint64_t start_num,
              uint64_t max_item_num, float positive_label, float negative_label, std::optional<int32_t> negative_action,
              std::vector<int32_t> positive_actions, uint64_t label_index, std::vector<int32_t> action_priority,
              std::optional<std::string> index_feature, bool throw_origin, bool throw_origin_neg, bool cache_only_pos,
              std::vector<int32_t> cache_negative_actions, float real_neg_instance_weight,
              float sampled_neg_instance_weight, bool unbias_sampled_neg, float origin_neg_in_pool_proba,
              double neg_sample_decay_factor, float easy_hard_ratio, bool keep_all, uint64_t seed,
              std::optional<PoolPlace> pool, uint64_t save_every) {
             NegativeGenConfig c;
             c.record = {ParseRecordType(type), std::move(item_features), std::move(channel_feature), std::move(index_feature),
                         label_index, negative_label, negative_action, keep_all};
             c.neg_num = neg_num;
             c.per_channel = per_channel;
             c.start_num = start_num;
             c.max_item_num = max_item_num;
             c.positive_label = positive_label;
             c.positive_actions = std::move(positive_actions);
             c.action_priority = std::move(action_priority);
             c.cache_negative_actions = std::move(cache_negative_actions);
             c.throw_origin = throw_origin;
             c.throw_origin_neg = throw_origin_neg;
             c.cache_only_pos = cache_only_pos;
             c.real_neg_weight = real_neg_instance_weight;
             c.sampled_neg_weight = sampled_neg_instance_weight;
             c.unbias_sampled_neg = unbias_sampled_neg;
             c.origin_neg_in_pool_proba = origin_neg_in_pool_proba;
             c.decay_factor = neg_sample_decay_factor;
             c.easy_hard_ratio = easy_hard_ratio;
             c.seed = seed;
             c.pool = std::move(pool);
             c.save_every = save_every;
             nb::gil_scoped_release release;
             new (self) NegativeGen(std::move(c));
           },
           nb::kw_only(), nb::arg("type"), nb::arg("neg_num"), nb::arg("per_channel"), nb::arg("channel_feature").none(),
           nb::arg("item_features"), nb::arg("start_num"), nb::arg("max_item_num"), nb::arg("positive_label"),
           nb::arg("negative_label"), nb::arg("negative_action").none(), nb::arg("positive_actions"), nb::arg("label_index"),
           nb::arg("action_priority"), nb::arg("index_feature").none(), nb::arg("throw_origin"), nb::arg("throw_origin_neg"),
           nb::arg("cache_only_pos"), nb::arg("cache_negative_actions"), nb::arg("real_neg_instance_weight"),
           nb::arg("sampled_neg_instance_weight"), nb::arg("unbias_sampled_neg"), nb::arg("origin_neg_in_pool_proba"),
           nb::arg("neg_sample_decay_factor"), nb::arg("easy_hard_ratio"), nb::arg("keep_all"), nb::arg("seed"),
           nb::arg("pool").none(), nb::arg("save_every"), "See monolith_cli.operators.negative_gen.NegativeGenConfig.")
      .def("counts", &NegativeGen::Counts, "negatives, generated, hard_draws, easy_draws, no_label.")
      .def_prop_ro("pool", &NegativeGen::pool, nb::rv_policy::reference_internal);
}

nb::tuple ItemOf(uint64_t channel, uint64_t id, std::string_view fids, std::string_view columns, uint32_t origin, uint32_t sample) {
  return nb::make_tuple(channel, id, nb::bytes(fids.data(), fids.size()), nb::bytes(columns.data(), columns.size()), origin, sample);
}

void BindPool(nb::module_& m) {
  nb::class_<ItemPool>(m, "ItemPool", "Items by channel, bounded; the oldest of a channel are forgotten.")
      .def(nb::init<uint64_t, uint64_t>(), nb::arg("start_num") = 0, nb::arg("max_items") = ItemPool::kMostItems)
      .def("push",
           [](ItemPool& pool, uint64_t channel, uint64_t id, nb::bytes fids, nb::bytes columns, uint32_t origin, uint32_t sample) {
             pool.Push(channel, id, {fids.c_str(), fids.size()}, {columns.c_str(), columns.size()}, origin, sample);
           },
           nb::arg("channel"), nb::arg("id"), nb::arg("fids") = nb::bytes("", 0), nb::arg("columns") = nb::bytes("", 0),
           nb::arg("origin") = 1, nb::arg("sample") = 0)
      .def("sample",
           [](ItemPool& pool, uint64_t channel, uint64_t seed) -> nb::object {
             Random random(seed);
             ItemPool::Choice choice;
             if (!pool.Choose(channel, &random, &choice)) return nb::none();
             const ItemPool::Drawn drawn = ItemPool::Take(choice);
             return nb::make_tuple(drawn.id, drawn.time_factor, drawn.freq_factor);
           },
           nb::arg("channel"), nb::arg("seed"), "(id, time factor, frequency factor) of one draw, None when there are too few items.")
      .def("sample_channel",
           [](const ItemPool& pool, uint64_t otherwise, uint64_t seed) {
             Random random(seed);
             return pool.SampleChannel(otherwise, &random);
           },
           nb::arg("otherwise"), nb::arg("seed"))
      .def("items",
           [](const ItemPool& pool) {
             nb::list all;
             for (const ItemQueue& queue : pool.channels())
               for (size_t i = 0; i < queue.size(); ++i)
                 all.append(ItemOf(queue.channel(), queue[i].id, queue[i].fids(), queue[i].columns(), queue[i].origin_count,
                                   queue[i].sample_count));
             return all;
           },
           "(channel, id, fids, columns, origin count, sample count) of all items, the oldest of a channel first.")
      .def("__len__", &ItemPool::items);
  nb::class_<PoolFolder>(m, "PoolFolder", "The folder an item pool is kept in, locked while this lives.")
      .def(nb::init<PoolPlace>(), nb::arg("place"))
      .def("restore", &PoolFolder::Restore, nb::arg("pool"), nb::call_guard<nb::gil_scoped_release>(),
           "Adds what was saved to the pool; returns the names of the files.")
      .def("save", &PoolFolder::Save, nb::arg("pool"), nb::call_guard<nb::gil_scoped_release>());
  m.def("read_pool_file", [](const std::string& path, nb::callable visit) {
    ReadPoolFile(path, [&](const StoredItem& item) {
      visit(ItemOf(item.channel, item.id, item.fids, item.columns, item.origin_count, item.sample_count));
    });
  }, nb::arg("path"), nb::arg("visit"), "Calls visit((channel, id, fids, columns, origin, sample)) for each item of a pool file.");
  m.def("pool_file_names", [](const std::string& folder) {
    std::vector<std::string> names;
    for (const PoolFile& file : ListPoolFiles(folder)) names.push_back(file.name);
    return names;
  }, nb::arg("folder"), "Names of the pool files in a folder, in order.");
  m.def("pool_file_name", &PoolFileName, nb::arg("step"), nb::arg("index"), nb::arg("shard"), nb::arg("workers"));
}

SplitConfig::By ParseBy(const std::string& by) {
  if (by == "flow") return SplitConfig::By::kFlow;
  if (by == "turn") return SplitConfig::By::kTurn;
  return by == "hash" ? SplitConfig::By::kHash : SplitConfig::By::kField;
}

void BindSplit(nb::module_& m) {
  nb::class_<Split, Operator>(m, "Split")
      .def("__init__",
           [](Split* self, const std::string& type, const std::string& by, const std::string& field,
              const std::vector<std::pair<nb::bytes, nb::bytes>>& flows, nb::bytes unmatched) {
             const auto text = [](const nb::bytes& b) { return std::string(b.c_str(), b.size()); };
             SplitConfig c;
             c.type = ParseRecordType(type);
             c.by = ParseBy(by);
             c.field = field;
             for (const auto& [name, path] : flows) c.flows.push_back({text(name), text(path)});
             c.unmatched = text(unmatched);
             new (self) Split(std::move(c));
           },
           nb::arg("type"), nb::arg("by"), nb::arg("field"), nb::arg("flows"), nb::arg("unmatched"),
           "See monolith_cli.operators.flows.SplitConfig.")
      .def("counts", &Split::Counts)
      .def("gone", &Split::Gone, "Places whose reader went before the end.");
}

// Its threads may be waiting for the interpreter.
void DeleteMerge(MergeReader* reader) {
  if (!nb::is_alive()) {
    delete reader;
    return;
  }
  nb::gil_scoped_acquire acquire;
  nb::gil_scoped_release release;
  delete reader;
}

void BindMerge(nb::module_& m) {
  nb::class_<Tag, Operator>(m, "Tag")
      .def("__init__", [](Tag* self, const std::string& type) { new (self) Tag(ParseRecordType(type)); }, nb::arg("type"));
  m.def(
      "merge_reader",
      [](const std::vector<std::pair<std::shared_ptr<RecordReader>, bool>>& inputs, const std::string& on_bad_record,
         std::function<void(const std::string&)> warn) -> std::shared_ptr<RecordReader> {
        std::vector<MergeReader::Input> all;
        for (const auto& [reader, live] : inputs) all.push_back({reader, live});
        const auto on_error = on_bad_record == "fail"   ? MergeReader::OnError::kHold
                              : on_bad_record == "skip" ? MergeReader::OnError::kGive
                                                        : MergeReader::OnError::kGiveRest;
        return {new MergeReader(std::move(all), on_error, std::move(warn)), DeleteMerge};
      },
      nb::arg("inputs"), nb::arg("on_bad_record") = "fail", nb::arg("warn") = nb::none(),
      "One reader of many: inputs are (reader, live); live ones may keep waiting and get a thread each.");
}

}  // namespace

void BindFlows(nb::module_& m) {
  BindSplit(m);
  BindMerge(m);
  BindPool(m);
  BindNegativeGen(m);
}

}  // namespace monolith
