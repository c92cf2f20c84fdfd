#!/usr/bin/env bash
# DeepFM on Frappe: run.sh TRAIN TEST WORKDIR, with the two files in the form of libfm.
SEEDS=${SEEDS:-1 2 3} EPOCHS=${EPOCHS:-6}
. "$(dirname "$0")/../pipeline.sh"
begin deepfm "TRAIN TEST" 2 "$@"

say "Converting to records"
pb-convert -q --from csv --to instance --schema "$here/frappe.toml" "$1" > "$work/train.pb"
pb-convert -q --from csv --to instance --schema "$here/frappe.toml" "$2" > "$work/test.pb"
pb-stat "$work/train.pb"
shuffled instance
judge DeepFM instance --batch-size 256
