#!/usr/bin/env bash
# The whole pipeline on a ratings file: run.sh RATINGS WORKDIR
#
# RATINGS: lines of user, movie, stars, time, as MovieLens has them in ratings.dat (`::`), u.data (tab) and ratings.csv
# (commas, with a header). Records go in the order of time; the last tenth is the test.
set -euo pipefail
export LC_ALL=C

if [ $# -ne 2 ]; then
  echo "usage: run.sh RATINGS WORKDIR" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
ratings=$1 work=$2
if [ ! -r "$ratings" ]; then
  echo "run.sh: cannot read $ratings" >&2
  exit 66
fi
PATH=$here/../../bin:$PATH
mkdir -p "$work"

say() { printf '\n== %s\n' "$*"; }

first=$(head -n 1 "$ratings")
header=0
case $first in
  *::*) schema=ratings_dat.toml sort_keys=(-t: -k7,7n) ;;
  *$'\t'*) schema=u_data.toml sort_keys=(-t $'\t' -k4,4n) ;;
  *,*) schema=ratings_csv.toml sort_keys=(-t, -k4,4n) header=1 ;;
  *)
    echo "run.sh: $ratings: the first line has neither ::, nor a tab, nor a comma: $first" >&2
    exit 65
    ;;
esac

say "Sorting by time, the last tenth apart"
tail -n +$((header + 1)) "$ratings" | sort -s "${sort_keys[@]}" > "$work/sorted"
count=$(wc -l < "$work/sorted")
cut=$((count * 9 / 10))
part() { if [ "$header" = 1 ]; then printf '%s\n' "$first"; fi; cat; }
head -n "$cut" "$work/sorted" | part > "$work/train.txt"
tail -n +$((cut + 1)) "$work/sorted" | part > "$work/test.txt"
rm "$work/sorted"
echo "$cut ratings to train on, $((count - cut)) to test on"

say "Converting to records"
for name in train test; do
  pb-convert -q --from csv --to instance --schema "$here/$schema" "$work/$name.txt" > "$work/$name.pb"
done
pb-head -n 1 "$work/train.pb" | pb-show

for class in MovieRanking MovieClick; do
  model=$here/model.py:$class
  dir=$work/$class
  say "$class: training from a pipe"
  pb-cat -q "$work/train.pb" | pb-filter -q --where 'req_time > 0' \
    | monolith-train --model "$model" --model-dir "$dir" --seed 1 --skip-consumed --drop-remainder
  say "$class: on the test part"
  monolith-eval --model "$model" --model-dir "$dir" "$work/test.pb" | tee "$work/$class.eval"
done

say "Three predictions"
pb-head -n 3 "$work/test.pb" \
  | monolith-predict --model "$here/model.py:MovieRanking" --model-dir "$work/MovieRanking" --json

say "Summary"
printf '%-14s %s\n' \
  "ratings" "$count, the last $((count - cut)) are the test" \
  "stars, RMSE" "$(awk '$2 == "rmse" {print $3}' "$work/MovieRanking.eval")" \
  "clicks, AUC" "$(awk '$2 == "auc" {print $3}' "$work/MovieClick.eval")" \
  "models" "$work/MovieRanking, $work/MovieClick"
