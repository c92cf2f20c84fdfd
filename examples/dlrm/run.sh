#!/usr/bin/env bash
# DLRM on Criteo's display ads: run.sh TRAIN.tsv DEV.tsv TEST.tsv WORKDIR. All rows in their order, the last fifth is the test.
SEEDS=${SEEDS:-1 2 3} EPOCHS=${EPOCHS:-1}
. "$(dirname "$0")/../pipeline.sh"
begin dlrm "TRAIN.tsv DEV.tsv TEST.tsv" 3 "$@"

say "The last fifth apart"
cat "$1" "$2" "$3" > "$work/rows"
split_by_order "$work/rows" 80
for part in train test; do
  pb-convert -q --from csv --to instance --schema "$here/criteo.toml" "$work/$part.txt" > "$work/$part.pb"
done
shuffled instance
judge DLRM instance --batch-size 128
