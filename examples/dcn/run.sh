#!/usr/bin/env bash
# DCN on the click log of Avazu: run.sh TRAIN.csv DEV.csv TEST.csv WORKDIR. All rows in the order of the log, the last fifth is the test.
SEEDS=${SEEDS:-1 2 3} EPOCHS=${EPOCHS:-2}
. "$(dirname "$0")/../pipeline.sh"
begin dcn "TRAIN.csv DEV.csv TEST.csv" 3 "$@"

say "The last fifth apart"
for file in "$1" "$2" "$3"; do tail -n +2 "$file"; done > "$work/rows"
split_by_order "$work/rows" 80
for part in train test; do
  pb-convert -q --from csv --to instance --schema "$here/avazu.toml" "$work/$part.txt" > "$work/$part.pb"
done
shuffled instance
judge ClickDCN instance --batch-size 128
