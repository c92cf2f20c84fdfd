#include "core/operators/negative_gen.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace monolith {
namespace {

constexpr float kWeightGiven = 1e-5f;

bool Has(const std::vector<int32_t>& numbers, int64_t number) {
  return std::any_of(numbers.begin(), numbers.end(), [number](int32_t n) { return n == number; });
}

NegativeGenConfig Checked(NegativeGenConfig c) {
  const auto refuse = [](const std::string& why) { throw Error(ErrorCode::kUsage, why); };
  if (c.neg_num == 0) refuse("--neg-num: at least one");
  for (size_t i = 0; i < c.action_priority.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (c.action_priority[i] == c.action_priority[j])
        refuse("--action-priority: " + std::to_string(c.action_priority[i]) + " stands there twice");
  for (int32_t action : c.cache_negative_actions)
    if (Has(c.positive_actions, action))
      refuse("action " + std::to_string(action) + " is in --positive-action and in --cache-negative-action");
  if (!c.per_channel) c.record.channel_feature.reset();
  if (c.per_channel && !c.record.channel_feature) {
    if (c.record.type == RecordType::kExample) refuse("--per-channel: name the feature with --channel-feature NAME");
    c.record.channel_feature = "3";
  }
  return c;
}

}  // namespace

NegativeGen::NegativeGen(NegativeGenConfig config)
    : config_(Checked(std::move(config))),
      record_(config_.record),
      pool_(config_.start_num, config_.max_item_num),
      random_(config_.seed) {
  if (!config_.pool) return;
  folder_ = std::make_unique<PoolFolder>(*config_.pool);
  folder_->Restore(&pool_);
}

// The first action, or the one with the best place among those that have one.
int64_t NegativeGen::ActionThatCounts() const {
  const std::vector<int64_t>& actions = record_.actions();
  if (actions.size() > 1)
    for (int32_t action : config_.action_priority)
      if (std::find(actions.begin(), actions.end(), action) != actions.end()) return action;
  return actions[0];
}

bool NegativeGen::IsPositive() {
  if (!config_.positive_actions.empty())
    return !record_.actions().empty() && Has(config_.positive_actions, ActionThatCounts());
  if (record_.has_label()) return record_.label() == config_.positive_label;
  ++no_label_;
  return false;
}

bool NegativeGen::Cacheable(bool positive) const {
  if (positive || !config_.cache_only_pos) return true;
  const std::vector<int64_t>& actions = record_.actions();
  return std::any_of(actions.begin(), actions.end(),
                     [this](int64_t action) { return Has(config_.cache_negative_actions, action); });
}

void NegativeGen::Store(bool positive) {
  if (record_.channel() == 0) return;
  const float p = config_.origin_neg_in_pool_proba;
  if (!positive && p >= 0 && p < 1 && static_cast<float>(random_.Below(100)) / 100.0f > p) return;
  pool_.Push(record_.channel(), record_.item_id(), record_.item_fids(), record_.item_columns());
}

float NegativeGen::WeightOf(const ItemPool::Drawn& drawn) const {
  if (config_.sampled_neg_weight > kWeightGiven) return config_.sampled_neg_weight;
  if (!config_.unbias_sampled_neg) return 1;
  const double age = config_.decay_factor == 1 ? drawn.time_factor : std::pow(drawn.time_factor, config_.decay_factor);
  return static_cast<float>(1.0 + static_cast<double>(config_.neg_num) * age * drawn.freq_factor);
}

// Up to kAhead items into choices_; fewer than asked for when a channel has too few.
size_t NegativeGen::Draw(uint64_t wanted) {
  size_t n = 0;
  for (const size_t most = static_cast<size_t>(std::min<uint64_t>(wanted, kAhead)); n < most; ++n) {
    const bool easy = config_.per_channel && random_.UniformFloat() < config_.easy_hard_ratio;
    const uint64_t channel = easy ? pool_.SampleChannel(record_.channel(), &random_) : record_.channel();
    ++(easy ? easy_ : hard_);
    if (channel == 0 || !pool_.Choose(channel, &random_, &choices_[n])) break;
  }
  return n;
}

void NegativeGen::Generate(RecordSink* next) {
  Record negative;
  for (uint64_t made = 0; made < config_.neg_num;) {
    const uint64_t wanted = config_.neg_num - made;
    const size_t n = Draw(wanted);
    if (n > 0 && made == 0) record_.BeginNegatives();
    for (size_t i = 0; i < n; ++i) ItemPool::Fetch(choices_[i]);
    for (size_t i = 0; i < n; ++i) {
      const ItemPool::Drawn drawn = ItemPool::Take(choices_[i]);
      negative.payload = record_.Negative(drawn, WeightOf(drawn));
      next->Write(negative);
    }
    generated_ += n;
    made += n;
    if (n < std::min<uint64_t>(wanted, kAhead)) return;
  }
}

void NegativeGen::Process(const Record& record, RecordSink* next) {
  record_.Load(record.payload);
  const bool positive = IsPositive(), cacheable = Cacheable(positive);
  if (cacheable) {
    record_.Split();
    Store(positive);
  }
  if (positive)
    Generate(next);
  else
    ++negatives_;
  if (config_.throw_origin) {
    ++origin_dropped_;
  } else if (config_.throw_origin_neg && !positive) {
    ++negative_dropped_;
  } else {
    const float weight = positive || !(config_.real_neg_weight > kWeightGiven) ? 1 : config_.real_neg_weight;
    Record origin;
    origin.payload = record_.WithWeight(weight);
    next->Write(origin.payload.data() ? origin : record);
  }
  ++since_save_;
  if (folder_ && config_.save_every && since_save_ >= config_.save_every) {
    folder_->Save(pool_);
    since_save_ = 0;
  }
}

void NegativeGen::Finish(RecordSink*) {
  if (folder_ && since_save_ > 0) folder_->Save(pool_);
  since_save_ = 0;
}

std::map<std::string, uint64_t> NegativeGen::DroppedBy() const {
  std::map<std::string, uint64_t> by;
  if (origin_dropped_) by["origin"] = origin_dropped_;
  if (negative_dropped_) by["origin_negative"] = negative_dropped_;
  return by;
}

std::map<std::string, uint64_t> NegativeGen::Counts() const {
  return {{"negatives", negatives_}, {"generated", generated_}, {"hard_draws", hard_}, {"easy_draws", easy_},
          {"no_label", no_label_}};
}

}  // namespace monolith
