#!/usr/bin/env bash
# Builds every fuzzer under address and undefined-behaviour sanitizers and runs each for FUZZ_SECONDS; corpora stay in fuzz-corpus/.
# With names as arguments only those run: native/fuzz/run.sh frame_fuzz wire_fuzz
set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=$(command -v clang++ || command -v clang++-14 || true)
[[ -n $compiler ]] || { echo "fuzzing needs clang++ (Debian: apt-get install clang)" >&2; exit 69; }
cmake=$(command -v cmake)
# A changed compiler makes cmake forget the options of an old build folder.
grep -qsxF "CMAKE_CXX_COMPILER:STRING=$compiler" build-fuzz/CMakeCache.txt || rm -rf build-fuzz
"$cmake" -S . -B build-fuzz -G Ninja -DCMAKE_CXX_COMPILER:STRING="$compiler" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMONOLITH_PYTHON=OFF \
  -DMONOLITH_TENSORFLOW=OFF -DMONOLITH_FUZZ=ON >/dev/null
ninja -C build-fuzz --quiet
names=("$@")
((${#names[@]})) || mapfile -t names < <(cd build-fuzz/native/fuzz && ls | grep '_fuzz$')
for name in "${names[@]}"; do
  mkdir -p "fuzz-corpus/$name"
  echo "$name: ${FUZZ_SECONDS:-600} s"
  "build-fuzz/native/fuzz/$name" -max_total_time="${FUZZ_SECONDS:-600}" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
    -artifact_prefix="fuzz-corpus/$name-" "fuzz-corpus/$name" 2>"fuzz-corpus/$name.log" \
    || { tail -n 40 "fuzz-corpus/$name.log" >&2; exit 1; }
  grep -E 'stat::number_of_executed_units' "fuzz-corpus/$name.log"
done
