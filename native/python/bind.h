#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/function.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "python/text.h"

namespace nb = nanobind;

namespace monolith {

void BindFilters(nb::module_& m);    // bind_filters.cc
void BindIo(nb::module_& m);         // readers, sinks, chains: bind_io.cc
void BindOperators(nb::module_& m);  // bind_operators.cc
void BindRecords(nb::module_& m);    // fids, conversion, generation: bind_records.cc
void BindTables(nb::module_& m);     // bind_tables.cc
void BindTableTools(nb::module_& m);  // bind_table_tools.cc
void BindTableEdit(nb::module_& m);   // bind_table_edit.cc
void BindTableColumns(nb::module_& m);  // bind_table_columns.cc

}  // namespace monolith
