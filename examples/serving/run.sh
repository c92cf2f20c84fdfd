#!/usr/bin/env bash
# Serving on one machine: ZooKeeper, two agents of version 3, a model: run.sh WORKDIR
#
# The model is declared, laid out, served by both agents, replaced by a new version, and taken out again; a server is killed
# in between.
# ZK_SERVERS names a ZooKeeper that is there; without it one is started from Debian's package.
set -euo pipefail
export LC_ALL=C

if [ $# -ne 1 ]; then
  echo "usage: run.sh WORKDIR" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
PATH=$here/../../bin:$PATH
python=${MONOLITH_PYTHON:-python3}
started=()
trap 'for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done; wait' EXIT

say() { printf '\n== %s\n' "$*"; }

# until_true SECONDS COMMAND…: again and again until it succeeds
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      echo "run.sh: waited in vain for: $*" >&2
      exit 75
    fi
    sleep 0.3
  done
}

if [ -z "${ZK_SERVERS:-}" ]; then
  say "Starting ZooKeeper"
  port=$((20000 + $$ % 10000))
  mkdir -p "$work/zookeeper/data"
  cat > "$work/zookeeper/zoo.cfg" <<CFG
tickTime=500
dataDir=$work/zookeeper/data
clientPort=$port
clientPortAddress=127.0.0.1
admin.enableServer=false
CFG
  jars=/usr/share/java
  java -cp "$jars/zookeeper.jar:$jars/netty-codec.jar:$jars/netty-resolver.jar:$jars/slf4j-simple.jar" \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$work/zookeeper/zoo.cfg" > "$work/zookeeper/log" 2>&1 &
  started+=($!)
  ZK_SERVERS=127.0.0.1:$port
fi
export ZK_SERVERS
until_true 60 zk tree /zookeeper

say "Two agents"
for i in 0 1; do
  mkdir -p "$work/agent-$i"
  cat > "$work/agent-$i/agent.conf" <<CONF
bzid           demo
agent_version  3
deploy_type    unified
layout_pattern main
layout_filters entry; True
layout_filters ps_{i}; i % \${shard_num} == \${shard_id}
zk_servers     $ZK_SERVERS
run_dir        $work/agent-$i/run
CONF
  # What makes the two different: the pod's name, and which shard it is. The long pause leaves time to look, below.
  MY_POD_NAME=pod-$i SHARD_ID=$i MONOLITH_HOST_SHARD_N=2 \
    monolith-agent --conf "$work/agent-$i/agent.conf" --model-root "$work/model" --restart-pause 15 --tfs-log "$work/agent-$i/server.log" \
    2> "$work/agent-$i/log" &
  started+=($!)
done

say "A model is exported, declared and laid out"
"$python" "$here/model.py" "$work/export" 1 2
# A version appears whole: servers look into the folders every second.
put() { for name in entry ps_0; do mkdir -p "$work/model/$name" && mv "$work/export/$name/$1" "$work/model/$name/"; done; }
put 1
agent-controller decl --bzid demo --export-base "$work/model" --model-name demo
agent-controller pub --bzid demo --model-name 'demo:*' --layout main

info() { agent-controller bzid_info --bzid demo --json; }
# served NAME N: whether N containers serve the sub graph
served() { [ "$(info | jq ".model_info.demo.$1.bindings | length")" = "$2" ]; }
until_true 120 served entry 2
until_true 120 served ps_0 1
info | jq '.model_info'

say "Both answer"
mapfile -t http < <(info | jq -r '.container_info[][].service_info | fromjson | .http')
ask() { curl -sf "http://$1/v1/models/demo%3Aentry:predict" -d '{"instances": [1, 2, 3]}' | jq -c '.predictions | map(. + 0)'; }
for address in "${http[@]}"; do echo "$address $(ask "$address")"; done

say "A model server is killed: the other one answers, and the agent starts it again"
pkill -KILL -P "${started[-1]}" -f model_config_file
until_true 60 served entry 1
for address in "${http[@]}"; do echo "$address $(ask "$address" || echo 'does not answer')"; done
until_true 120 served entry 2

say "A new version"
put 2
is_new() { [ "$(ask "$1")" = '[2,4,6]' ]; }
for address in "${http[@]}"; do
  until_true 120 is_new "$address"
  echo "$address $(ask "$address")"
done

say "Out again"
agent-controller unpub --bzid demo --model-name 'demo:*' --layout main --yes
until_true 60 served entry 0
until_true 60 served ps_0 0
info | jq -c '.model_info.demo | {sub_graphs_total, sub_graphs_available}'
