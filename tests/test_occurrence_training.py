"""monolith-train with occurrence thresholds: which ids get rows, when, and what a checkpoint keeps of the counts."""

import json
import random
import shutil

import pytest
from model_files import fid, instance, items, wire, write_model

pytest.importorskip("tensorflow")

# Counts how often every id was trained: SGD with rate 1 and a gradient of -1 from zeros.
MODEL = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Counter(MonolithModel):
        head_name = "count"
        filter_capacity = 3000
        {attributes}

        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            self.create_embedding_feature_column("item", {column})
            (count,) = self.lookup_embedding_slice(
                ["item"], "count", 1, initializer=ZerosInitializer(), optimizer=SgdOptimizer(learning_rate=1.0))
            return EstimatorSpec(features["label"], count, loss=-tf.reduce_sum(count), classification=False,
                                 optimizer=tf.compat.v1.train.GradientDescentOptimizer(1.0))
"""


def model(folder, column, attributes="", name="model.py"):
    return write_model(folder, MODEL.format(column=column, attributes=attributes), name)


def sample(n, ids, seed=0):
    rng = random.Random(seed)
    return [rng.randrange(ids) << 17 for _ in range(n)]


def expected(values, threshold, batch=64):
    """The spec's words: absent ids of a batch are counted, with their number in it, before any is inserted."""
    seen, trained = {}, {}
    for at in range(0, len(values), batch):
        part = values[at : at + batch]
        for key in dict.fromkeys(part):
            count = part.count(key)
            if key not in trained and threshold:
                old = seen.get(key, 0)
                seen[key] = min(15, old + count)
                if old < threshold:
                    continue
            trained[key] = trained.get(key, 0) + count
    return trained


def train(run, model, folder, values, *args, **kwargs):
    return run("monolith-train", "--model", model, "--model-dir", folder, "--batch-size", "64", "--json", *args, stdin=items(values), **kwargs)


def predictions(run, model, folder, values) -> dict[int, float]:
    out = run("monolith-predict", "-q", "--model", model, "--model-dir", folder, stdin=items(values)).stdout.decode().split()
    return dict(zip(values, map(float, out)))


def check(run, model, folder, values, threshold):
    every = sorted(set(values))
    trained = expected(values, threshold)
    assert predictions(run, model, folder, every) == {k: trained.get(k, 0) for k in every}
    return len(trained)


@pytest.mark.parametrize("threshold", [0, 4])
def test_rows_appear_after_the_threshold(run, tmp_path, threshold):
    values = sample(1500, 300)
    path = model(tmp_path, f"occurrence_threshold={threshold}")
    done = train(run, path, tmp_path / "m", values)
    rows = check(run, path, tmp_path / "m", values, threshold)
    assert json.loads(done.stdout)["tables"] == {"item": rows}
    assert "no effect" not in done.stderr
    assets = tmp_path / "m/model.ckpt-24.assets"
    assert len(list(assets.glob("hash_filter_0-*-of-00007"))) == (7 if threshold else 0)


def test_counts_survive_a_restart(run, tmp_path):
    """In one go, or stopped and started twice: the same rows."""
    values = sample(1500, 300)
    path = model(tmp_path, "occurrence_threshold=5")
    for steps in ("9", "10"):
        train(run, path, tmp_path / "m", values, "--skip-consumed", "--max-steps", steps)
    train(run, path, tmp_path / "m", values, "--skip-consumed")
    check(run, path, tmp_path / "m", values, 5)


def test_thresholds_with_incremental_checkpoints(run, tmp_path):
    """A delta has the counts whole beside the rows that changed; the table commands pass over them."""
    values = sample(1500, 60)
    path, folder = model(tmp_path, "occurrence_threshold=5"), tmp_path / "m"
    incremental = ["--skip-consumed", "--save-every-steps", "3", "--incremental-checkpoints", "5"]
    train(run, path, folder, values, *incremental, "--max-steps", "6")
    names = [p.name for p in (folder / "model.ckpt-6.assets").iterdir()]
    assert any(".delta." in n for n in names) and sum(n.startswith("hash_filter_0-") for n in names) == 7
    rows = len(expected(values[: 6 * 64], 5))
    run("table-verify", folder)
    assert len(run("table-dump", folder).stdout.splitlines()) == rows > 0
    train(run, path, folder, values, *incremental)
    check(run, path, folder, values, 5)


def test_thresholds_over_a_checkpoint_without_counts(run, tmp_path):
    values, more = sample(640, 100), sample(640, 200, seed=1)
    before, after = model(tmp_path, "", name="before.py"), model(tmp_path, "occurrence_threshold=3", name="after.py")
    train(run, before, tmp_path / "m", values)
    done = train(run, after, tmp_path / "m", more)
    assert "hash_filter_0: no files of an occurrence filter, so that it starts empty" in done.stderr
    known, new = set(values), expected([v for v in more if v not in values], 3, 10**9)
    rows = predictions(run, after, tmp_path / "m", sorted(known | set(more)))
    assert all(rows[k] == values.count(k) + more.count(k) for k in known)
    assert new == {} and sum(rows[k] > 0 for k in set(more) - known) > 10
    again = train(run, after, tmp_path / "m", more)
    assert "starts empty" not in again.stderr


def test_damaged_counts(run, tmp_path):
    values = sample(640, 100)
    path = model(tmp_path, "occurrence_threshold=3")
    train(run, path, tmp_path / "m", values, "--save-every-steps", "5")
    split = tmp_path / "m/model.ckpt-10.assets/hash_filter_0-00002-of-00007"
    split.write_bytes(split.read_bytes()[:-3])
    done = train(run, path, tmp_path / "m", values, check=False)
    assert done.returncode == 65 and "hash_filter_0-00002-of-00007: at byte" in done.stderr and "--use-previous" in done.stderr
    done = train(run, path, tmp_path / "m", values, "--use-previous", "--skip-consumed")
    assert json.loads(done.stdout)["steps"] == 5
    check(run, path, tmp_path / "m", values, 3)


def test_another_filter_than_the_one_saved(run, tmp_path):
    values = sample(640, 100)
    path = model(tmp_path, "occurrence_threshold=3")
    train(run, path, tmp_path / "m", values)
    shutil.copytree(tmp_path / "m", tmp_path / "n")
    other = model(tmp_path, "occurrence_threshold=3", "filter_split_num = 9", "other.py")
    done = train(run, other, tmp_path / "m", values, check=False)
    assert done.returncode == 78 and "split_num was 7, but is now 9" in done.stderr
    larger = model(tmp_path, "occurrence_threshold=3", "filter_capacity = 6000", "larger.py")
    train(run, larger, tmp_path / "n", values)


def test_no_filter(run, tmp_path):
    values = sample(640, 100)
    path = model(tmp_path, "occurrence_threshold=20", 'filter_type = "no_filter"')
    train(run, path, tmp_path / "m", values)
    check(run, path, tmp_path / "m", values, 0)
    assert not list((tmp_path / "m/model.ckpt-10.assets").glob("hash_filter*"))


def test_probabilistic_filter(run, tmp_path):
    """About as many rows as its chances tell, the same for the same seed, and in one go or two."""
    values = [k << 17 for k in range(3000)]
    path = model(tmp_path, "occurrence_threshold=50", 'filter_type = "probabilistic_filter"; filter_equal_probability = False')
    rows = []
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        train(run, path, tmp_path / folder, values, "--seed", seed, *(["--max-steps", "20"] if folder == "b" else []))
        if folder == "b":
            train(run, path, tmp_path / folder, values, "--skip-consumed")
        found = predictions(run, path, tmp_path / folder, values)
        rows.append({k for k, v in found.items() if v})
    assert rows[0] == rows[1] != rows[2]
    assert all(30 <= len(r) <= 95 for r in rows)
    equal = model(tmp_path, "occurrence_threshold=50", 'filter_type = "probabilistic_filter"', "equal.py")
    done = train(run, equal, tmp_path / "d", values, "--seed", "1")  # 1 - 0.05^(1/50) = 0.058
    assert 120 <= json.loads(done.stdout)["tables"]["item"] <= 230


TWO = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Two(MonolithModel):
        filter_capacity = 3000
        default_occurrence_threshold = 2

        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["user", "slot_7", "tag", "other"], dense_features=["label"],
                                   dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            self.create_embedding_feature_column("user", occurrence_threshold=0)
            self.create_embedding_feature_column(7, occurrence_threshold=1)
            self.create_embedding_feature_column("tag")
            self.create_embedding_feature_column("other", shared_name="tag", occurrence_threshold=5)
            out = self.lookup_embedding_slice(["user", 7, "tag", "other"], "vec", 1, initializer=ZerosInitializer(),
                                              optimizer=SgdOptimizer(learning_rate=1.0))
            loss = -tf.add_n([tf.reduce_sum(o) for o in out])
            return EstimatorSpec(features["label"], tf.concat(out, axis=1)[:, :1], loss=loss, classification=False,
                                 optimizer=tf.compat.v1.train.GradientDescentOptimizer(1.0))
"""


def test_a_threshold_for_each_column(run, tmp_path):
    """A number of its own, the model's default, none, and the one of the table that is shared."""
    path = write_model(tmp_path, TWO)
    record = instance(user=[fid(1, 1 << 17)], slot_7=[fid(7, 2 << 17)], tag=[fid(3, 3 << 17)], other=[fid(3, 4 << 17)])
    seen = []
    for n in range(1, 5):
        done = run("monolith-train", "--model", path, "--model-dir", tmp_path / "m", "--json", stdin=wire([record]))
        seen.append(list(json.loads(done.stdout)["tables"].values()))
    assert list(json.loads(done.stdout)["tables"]) == ["slot_7", "tag", "user"]
    assert seen == [[0, 0, 1], [1, 0, 1], [1, 2, 1], [1, 2, 1]]
    assert "column 'other': occurrence_threshold 5 has no effect, the table of 'tag' that it shares has 2" in done.stderr


@pytest.mark.parametrize(
    ("column", "attributes", "message"),
    [
        ("occurrence_threshold=16", "", "slot 'item': occurrence_threshold 16 is above 15"),
        ("occurrence_threshold=1", 'filter_type = "bloom"', "filter_type 'bloom' is unknown: use sliding_hash_filter, "),
        ("occurrence_threshold=1", "filter_split_num = 0", "filter_split_num must be 1..99999, not 0"),
    ],
)
def test_mistakes_of_a_model(run, tmp_path, column, attributes, message):
    done = train(run, model(tmp_path, column, attributes), tmp_path / "m", sample(10, 5), check=False)
    assert done.returncode == 78 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("threshold", [-1, 1.5, "3"])
def test_thresholds_that_are_none(threshold):
    from monolith_cli.model import ModelError, MonolithModel

    with pytest.raises(ModelError, match=f"column 'a': occurrence_threshold must be a whole number, 0 or more, not {threshold!r}"):
        MonolithModel().create_embedding_feature_column("a", occurrence_threshold=threshold)


def expiries(**days):
    """Expiry of the tables of a model with these slots: s3 is slot 3, any other name has no number."""
    from monolith_cli.model.feature import FeatureFactory, FeatureSlotConfig
    from monolith_cli.training import plan

    factory = FeatureFactory()
    for name, expire in days.items():
        slot_id = int(name[1:]) if name[1:].isdigit() else None
        factory.create_feature_slot(FeatureSlotConfig(name=name, slot_id=slot_id, expire_time=expire)).add_feature_slice(2)
    configs = [c.table_config for c in plan.table_configs(factory).values()]
    return [c.slot_expire_time_config if c.HasField("slot_expire_time_config") else None for c in configs], plan.expire_notes(factory)


def test_every_table_knows_when_slots_expire():
    configs, notes = expiries(s1=0, s2=1, s3=36500)
    for config in configs:
        assert {e.slot: e.expire_time for e in config.slot_expire_times} == {1: 0, 2: 1, 3: 36500}
        assert config.default_expire_time == 36500
    assert not notes
    assert expiries(s1=36500, user=36500) == ([None, None], [])


def test_named_features_expire_with_the_longest():
    configs, notes = expiries(s1=3, user=5, item=9)
    assert [c.default_expire_time for c in configs] == [9, 9, 9]
    assert len(notes) == 1 and notes[0].startswith("column 'user': its ids expire after 9 days, not 5")
    assert expiries(user=5)[0][0].default_expire_time == 5
