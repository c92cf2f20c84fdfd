# Makes the files that the examples of the manuals speak of, in the current folder.
set -euo pipefail
examples=$(dirname "$(readlink -f "$(command -v pb-gen)")")/../examples
python=${MONOLITH_PYTHON:-python3}
pb-gen -q -n 2000 --seed 1 --line-id uid,req_time,item_id,chnid,actions > clicks.pb
pb-convert -q --from instance --to example clicks.pb > examples.pb
pb-convert -q --from instance --to example_batch --batch-size 100 clicks.pb > batches.pb
cat > feature_list.conf <<'CONF'
# features of clicks.pb and its kin
feature_name=f_user; depend=uid; method=DirectInt64; slot=1
feature_name=f_item; depend=item_id; method=DirectInt64; slot=2
feature_name=f_tag; depend=tag; method=VectorTopString; slot=4791; feature_version=2
CONF
cat > clicks.toml <<'TOML'
[[column]]
from = "user"
to = "line_id"
name = "uid"
[[column]]
from = "time"
to = "line_id"
name = "req_time"
[[column]]
from = "actions"
to = "line_id"
name = "actions"
[[column]]
from = "label"
to = "label"
TOML
mkdir -p log/20260101 log/20260102
for day in 20260101 20260102; do
  for part in 0 1 2 3; do pb-gen -q -n 200 --seed "$day$part" > log/$day/part-$part; done
  cp log/$day/part-0 log/part-$day
done
"$python" - <<'PYTHON'
import glob
import struct
import zstandard
for path in glob.glob("log/part-*"):
    with open(path, "rb") as f:
        data = f.read()
    with open(path + ".zst", "wb") as f:
        f.write(zstandard.compress(data))
PYTHON
cp "$examples/movielens/model.py" movie.py
cp "$examples/movielens/ratings_dat.toml" .
cp "$examples/movielens/u_data.toml" u.data.toml
"$python" "$examples/movielens/generate.py" ratings.all
head -n 2000 ratings.all > ratings.dat
rm ratings.all
sed 's/::/\t/g' ratings.dat > u.data
pb-convert -q --from csv --to instance --schema ratings_dat.toml ratings.dat > train.pb
pb-head -q -n 200 train.pb > test.pb
cp train.pb ratings.pb
"$python" - <<'PYTHON'
import struct
import tensorflow as tf
def feature(v):
    return tf.train.Feature(float_list=tf.train.FloatList(value=[v])) if isinstance(v, float) else tf.train.Feature(int64_list=tf.train.Int64List(value=[v]))
with tf.io.TFRecordWriter("trips-0.gz", "GZIP") as w:
    for i in range(50):
        w.write(tf.train.Example(features=tf.train.Features(feature={"company": feature(i % 7), "fare": feature(i * 0.5), "tips": feature(i * 0.1)})).SerializeToString())
data = open("train.pb", "rb").read()
with tf.io.TFRecordWriter("train.tfrecord") as w:
    at = 0
    while at < len(data):
        n = struct.unpack_from("<Q", data, at)[0]
        w.write(data[at + 8:at + 8 + n])
        at += 8 + n
PYTHON
monolith-train -q --model movie.py:MovieRanking --model-dir m --batch-size 2 --max-steps 1000 train.pb
table-dump m | jq -c 'select(.fid % 7 != 0) | .weights[0] *= 1.01' | table-load -q -o yesterday
cat > chain.textproto <<'TEXT'
# two channels, and of them what ranks first or was liked
configs { basic_config { filter_by_value { field_name: "chnid" op: "in" int_operand: [1, 2] } } }
configs {
  logical_or_config {
    x { filter_by_value { field_name: "rank" op: "eq" int_operand: 0 } }
    y { filter_by_action { has_actions: 2 } }
  }
}
TEXT
cat > models.cfg <<'TEXT'
model_config_list {
  config { name: "m" base_path: "/models/m" model_platform: "tensorflow" }
  config { name: "n" base_path: "/models/n" model_platform: "tensorflow" model_version_policy { specific { versions: 7 } } }
}
TEXT
"$python" - "$examples/../tests" <<'PYTHON'
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
import saved_models
saved_models.double("models/double", 1)
saved_models.mlp("models/ranking", 1)
PYTHON
cat > models.conf <<TEXT
model_config_list {
  config { name: "double" base_path: "$PWD/models/double" model_platform: "tensorflow" }
  config { name: "ranking" base_path: "$PWD/models/ranking" model_platform: "tensorflow" model_version_policy { latest { num_versions: 2 } } }
}
TEXT
cat > batching.conf <<'TEXT'
max_batch_size { value: 1024 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
TEXT
cat > agent.conf <<'CONF'
bzid demo
base_name movie
base_path /models/movie
num_ps 2
deploy_type mixed
zk_servers 127.0.0.1:2181
CONF
mkdir -p export/ffm
"$python" - <<'PYTHON'
import os
from tensorflow.core.protobuf import saved_model_pb2
for sub in ("entry", "ps_0", "ps_1"):
    folder = f"export/ffm/{sub}/1700000000"
    os.makedirs(folder)
    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    saved.meta_graphs.add().graph_def.node.add(name="call", op="TfServingRemotePredict").attr["model_name"].s = b"ffm:ps_0"
    with open(f"{folder}/saved_model.pb", "wb") as f:
        f.write(saved.SerializeToString())
PYTHON
