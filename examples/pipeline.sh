# What the run.sh of the examples have in common; sourced by them. SEEDS and EPOCHS may be set by the caller.
set -euo pipefail
export LC_ALL=C

# begin NAME USAGE FILES ARGUMENTS...: checks the arguments (data files, then WORKDIR) and makes the folder `work`.
begin() {
  example=$1 usage=$2 files=$3
  shift 3
  if [ $# -ne $((files + 1)) ]; then
    echo "usage: run.sh $usage WORKDIR" >&2
    exit 2
  fi
  for file in "${@:1:files}"; do
    if [ ! -r "$file" ]; then
      echo "run.sh: cannot read $file" >&2
      exit 66
    fi
  done
  work=${!#}
  here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
  PATH=$here/../../bin:$PATH
  mkdir -p "$work"
}

say() { printf '\n== %s\n' "$*"; }

# split_by_order FILE PERCENT: the first PERCENT of the lines to train.txt, the others to test.txt.
split_by_order() {
  local count cut
  count=$(wc -l < "$1")
  cut=$((count * $2 / 100))
  head -n "$cut" "$1" > "$work/train.txt"
  tail -n +$((cut + 1)) "$1" > "$work/test.txt"
  echo "$cut rows to train on, $((count - cut)) to test on"
}

# shuffled TYPE: a copy of train.pb for each epoch, in an order of its own.
shuffled() {
  for epoch in $(seq "$EPOCHS"); do
    pb-shuffle -q -t "$1" --seed "$epoch" "$work/train.pb" > "$work/epoch$epoch.pb"
  done
}

# judge CLASS TYPE OPTIONS...: trains and evaluates with each of SEEDS; the metrics of all, then mean, lowest and highest.
judge() {
  local class=$1 type=$2 model epochs
  shift 2
  model=$here/model.py:$class
  epochs=$(for epoch in $(seq "$EPOCHS"); do echo "$work/epoch$epoch.pb"; done)
  : > "$work/$class.eval"
  for seed in $SEEDS; do
    say "$class, seed $seed"
    # shellcheck disable=SC2086 # the names of the epochs are words
    monolith-train -t "$type" --model "$model" --model-dir "$work/$class$seed" --seed "$seed" "$@" $epochs
    monolith-eval -t "$type" --model "$model" --model-dir "$work/$class$seed" "$work/test.pb" | tee -a "$work/$class.eval"
  done
  say "$class: mean [lowest, highest] of seeds $SEEDS"
  awk '$2 ~ /^(auc|log_loss|copc|rmse)$/ && $3 != "-" {
      k = $1 " " $2; if (!(k in n)) order[++keys] = k
      if (!n[k]++ || $3 < low[k]) low[k] = $3
      if (n[k] == 1 || $3 > high[k]) high[k] = $3
      sum[k] += $3 }
    END { for (i = 1; i <= keys; i++) { k = order[i]; printf "%s %.4f [%.4f, %.4f]\n", k, sum[k] / n[k], low[k], high[k] } }' "$work/$class.eval"
}
