#include "core/operators/label_config.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/operators/config_text.h"

namespace monolith {
namespace {

using Piece = ConfigText::Piece;

constexpr int64_t kInt32Min = INT32_MIN, kInt32Max = INT32_MAX;

constexpr std::pair<std::string_view, NormMethod> kNormMethods[] = {
    {"log", NormMethod::kLog}, {"scale", NormMethod::kScale}, {"scale2int", NormMethod::kScale2Int},
    {"pow", NormMethod::kPow}, {"repow", NormMethod::kRepow}, {"scalelog", NormMethod::kScaleLog}};

std::string UnknownMethod(std::string_view name) {
  std::string all;
  for (const auto& known : kNormMethods) all += (all.empty() ? "" : ", ") + std::string(known.first);
  return "\"" + std::string(name) + "\" is no method; there are " + all;
}

const NormMethod* FindNormMethod(std::string_view name) {
  for (const auto& known : kNormMethods)
    if (known.first == name) return &known.second;
  return nullptr;
}

std::vector<int32_t> Actions(const ConfigText& text, Piece list) {
  std::vector<int32_t> actions;
  for (Piece piece : text.Split(list, ','))
    if (!piece.empty()) actions.push_back(static_cast<int32_t>(text.Integer(piece, kInt32Min, kInt32Max)));
  return actions;
}

}  // namespace

std::string MistakeIn(const TaskLabel& task) {
  if (task.positive.empty()) return "a task needs a positive action";
  for (int32_t action : task.positive)
    if (std::find(task.negative.begin(), task.negative.end(), action) != task.negative.end())
      return "action " + std::to_string(action) + " is both positive and negative";
  if (!(task.rate >= 0 && task.rate <= 1)) return "a rate of negatives is 0 to 1";
  return "";
}

std::vector<TaskLabel> ParseTasks(std::string_view option, std::string_view string) {
  const ConfigText text(option, string);
  std::vector<TaskLabel> tasks;
  for (Piece piece : text.Split(text.All(), ';')) {
    if (piece.empty()) continue;
    const std::vector<Piece> parts = text.Split(piece, ':', 3, "POS:NEG:RATE");
    TaskLabel task;
    task.positive = Actions(text, parts[0]);
    task.negative = Actions(text, parts[1]);
    task.rate = text.Number(parts[2]);
    const std::string mistake = MistakeIn(task);
    if (!mistake.empty()) text.Fail(piece, mistake);
    tasks.push_back(std::move(task));
  }
  if (tasks.empty()) text.Fail(text.All(), "no task; one looks like POS:NEG:RATE");
  return tasks;
}

std::vector<std::pair<int64_t, int32_t>> ParseScatter(std::string_view option, std::string_view string) {
  const ConfigText text(option, string);
  std::vector<std::pair<int64_t, int32_t>> map;
  for (Piece piece : text.Split(text.All(), ',')) {
    const std::vector<Piece> parts = text.Split(piece, ':', 2, "CHNID:INDEX");
    map.emplace_back(text.Integer(parts[0], INT64_MIN, INT64_MAX),
                     static_cast<int32_t>(text.Integer(parts[1], 0, kMostLabels - 1)));
  }
  return map;
}

NormMethod ParseNormMethod(std::string_view name) {
  if (const NormMethod* method = FindNormMethod(name)) return *method;
  throw Error(ErrorCode::kUsage, UnknownMethod(name));
}

const char* NormMethodName(NormMethod method) {
  for (const auto& known : kNormMethods)
    if (known.second == method) return known.first.data();
  return "";
}

std::vector<NormStep> ParseNormalization(std::string_view option, std::string_view string) {
  const ConfigText text(option, string);
  std::vector<NormStep> steps;
  for (Piece piece : text.Split(text.All(), ',')) {
    const std::vector<Piece> parts = text.Split(piece, '=', 2, "METHOD=VALUE");
    const NormMethod* method = FindNormMethod(text.Of(parts[0]));
    if (!method) text.Fail(parts[0], UnknownMethod(text.Of(parts[0])));
    steps.push_back({*method, text.Number(parts[1])});
  }
  return steps;
}

std::vector<std::pair<std::string, int32_t>> ParseHeads(std::string_view option, std::string_view string) {
  const ConfigText text(option, string);
  std::vector<std::pair<std::string, int32_t>> heads;
  for (Piece piece : text.Split(text.All(), ',')) {
    const std::vector<Piece> parts = text.Split(piece, '=');
    if (parts.size() < 2) text.Fail(piece, "should look like HEAD=INDEX");
    const Piece head = {piece.begin, parts[parts.size() - 2].end};
    if (text.Of(head).find(':') != std::string_view::npos) text.Fail(head, "a head has no \":\"");
    heads.emplace_back(text.Of(head), static_cast<int32_t>(text.Integer(parts.back(), 0, kMostLabels - 1)));
  }
  return heads;
}

std::vector<ActionWeight> ParseReweight(std::string_view option, std::string_view string) {
  const ConfigText text(option, string);
  std::vector<ActionWeight> weights;
  for (Piece piece : text.Split(text.All(), ',')) {
    const std::vector<Piece> parts = text.Split(piece, ':', 3, "ACTION:WEIGHT:LABEL");
    weights.push_back({static_cast<int32_t>(text.Integer(parts[0], kInt32Min, kInt32Max)),
                       static_cast<int32_t>(text.Integer(parts[1], 0, kMostCopies)),
                       static_cast<int32_t>(text.Integer(parts[2], kInt32Min, kInt32Max))});
  }
  return weights;
}

}  // namespace monolith
