#!/usr/bin/env bash
# DIN on purchases of groceries: run.sh PURCHASES ITEMS WORKDIR. PURCHASES: user, item, time; ITEMS: item, category, apart by tabs, with
# headers. The last purchase of each user is the test; negatives are drawn from the items of all purchases, four for each in
# training and ten in the test.
SEEDS=${SEEDS:-1 2 3} EPOCHS=${EPOCHS:-2}
. "$(dirname "$0")/../pipeline.sh"
begin din "PURCHASES ITEMS" 2 "$@"

say "Histories"
tail -n +2 "$1" | sort -s -t $'\t' -k1,1n -k3,3n \
  | awk -v CATEGORIES="$2" -v TRAIN="$work/train.txt" -v TEST="$work/test.txt" -f "$here/prepare.awk"
wc -l "$work/train.txt" "$work/test.txt"

say "Converting to records, with negatives"
negatives() { # PART NUMBER
  pb-convert -q --from csv --to example --schema "$here/grocery.toml" "$work/$1.txt" \
    | pb-negative-gen -q -t example --seed 1 --neg-num "$2" --item-feature item,category --negative-label 0 --start-num 0 \
        --pool-dir "$work/pool" > "$work/$1.pb"
}
negatives train 4
negatives test 10
pb-stat -t example "$work/train.pb"
shuffled example
judge Interest example --batch-size 512
