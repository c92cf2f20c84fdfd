// What pb-run and pb-transform are made of.
#include <nanobind/stl/tuple.h>

#include "core/operators/limit.h"
#include "core/operators/transform.h"
#include "python/bind.h"

namespace monolith {
namespace {

using Branch = std::pair<std::string, nb::object>;  // of None the operator that drops everything

std::vector<Transform::Step> StepsOf(const std::vector<std::vector<Branch>>& steps) {
  std::vector<Transform::Step> made;
  for (const auto& step : steps) {
    Transform::Step& branches = made.emplace_back();
    for (const auto& [name, op] : step)
      branches.push_back({name, op.is_none() ? nullptr : nb::cast<std::shared_ptr<Operator>>(op)});
  }
  return made;
}

}  // namespace

void BindChains(nb::module_& m) {
  nb::class_<Limit, Operator>(m, "Limit")
      .def(nb::init<uint64_t>(), nb::arg("records"), "Lets that many records through, then ends the reading.");
  nb::class_<Transform, Operator>(m, "Transform", nb::dynamic_attr())
      .def("__init__",
           [](Transform* self, const std::vector<std::vector<Branch>>& steps) { new (self) Transform(StepsOf(steps)); },
           nb::arg("steps"), "Steps of one or two (name, operator or None); see monolith_cli.operators.transform.")
      .def("summary", [](const Transform& self) {
        std::vector<std::tuple<std::string, uint64_t, uint64_t>> all;
        for (Transform::Counts& c : self.Summary()) all.emplace_back(std::move(c.name), c.in, c.out);
        return all;
      }, "(name, input, output) of each branch in order, then of the whole; may be called while it runs.");
}

}  // namespace monolith
