#!/usr/bin/env bash
# MMoE on MovieLens 100k: run.sh u.data u.user WORKDIR. Ratings in the order of time, the last tenth is the test.
SEEDS=${SEEDS:-1 2 3} EPOCHS=${EPOCHS:-3}
. "$(dirname "$0")/../pipeline.sh"
begin mmoe "u.data u.user" 2 "$@"

say "Ratings with what is known of the user, the last tenth apart"
awk -F'[\t|]' -v OFS='\t' 'NR == FNR { age[$1] = int($2 / 5); gender[$1] = $3; job[$1] = $4; next }
  { print $1, $2, $3, $4, age[$1], gender[$1], job[$1] }' "$2" "$1" | sort -s -t $'\t' -k4,4n > "$work/rows"
split_by_order "$work/rows" 90
for part in train test; do
  pb-convert -q --from csv --to instance --schema "$here/movielens.toml" "$work/$part.txt" > "$work/$part.pb"
done
shuffled instance
judge Ratings instance --batch-size 256
