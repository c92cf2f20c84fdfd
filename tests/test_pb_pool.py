"""pb-pool: what is in item pools, damage, and several pools as one."""

import json
import struct

from monolith_cli._native import _core
from monolith_protos import example_pb2


def save(folder, *items, **values):
    pool = _core.ItemPool()
    for item in items:
        pool.push(*item)
    _core.PoolFolder(_core.PoolPlace(str(folder).encode(), **values)).save(pool)


COLUMN = example_pb2.Example(named_feature=[example_pb2.NamedFeature(name="a")]).SerializeToString()


def test_stat_and_dump(run, tmp_path):
    save(tmp_path, (3, 7, struct.pack("<2Q", 1, 1 << 63), b"", 2, 1), (3, 8, b"", COLUMN), (1 << 63, 9), shards=2)
    lines = run("pb-pool", "stat", "--json", tmp_path).stdout.decode().splitlines()
    assert [json.loads(line)["items"] for line in lines] == [1, 2]
    assert "channels 1, items 2, items drawn 1, fids 2" in run("pb-pool", "stat", tmp_path).stdout.decode()
    items = [json.loads(line) for line in run("pb-pool", "dump", tmp_path / "model.ckpt-0_item_pool_0_1_1").stdout.decode().splitlines()]
    assert items == [{"channel": 3, "id": 7, "fids": [1, 1 << 63], "features": [], "origin_cnt": 2, "sample_cnt": 1},
                     {"channel": 3, "id": 8, "fids": [], "features": ["a"], "origin_cnt": 1, "sample_cnt": 0}]
    assert run("pb-pool", "check", tmp_path).stdout == b""


def test_merge(run, tmp_path):
    save(tmp_path / "p", (3, 1, b"a" * 8), (3, 2), index=0, workers=2)
    save(tmp_path / "p", (3, 1, b"b" * 8), (3, 4), (5, 6), index=1, workers=2)
    run("pb-pool", "merge", tmp_path / "p", "--output-dir", tmp_path / "q", "--pool-step", 9)
    items = []
    _core.read_pool_file(str(tmp_path / "q" / "model.ckpt-9_item_pool_0_0_1"), items.append)
    assert [i[:3] + i[4:] for i in items] == [(3, 1, b"a" * 8, 2, 0), (3, 2, b"", 1, 0), (3, 4, b"", 1, 0), (5, 6, b"", 1, 0)]
    run("pb-pool", "merge", tmp_path / "p", "--output-dir", tmp_path / "q", "--max-item-num", 1)
    items.clear()
    _core.read_pool_file(str(tmp_path / "q" / "model.ckpt-0_item_pool_0_0_1"), items.append)
    assert [i[1] for i in items] == [4, 6]


def test_mistakes(run, tmp_path):
    assert "no item pool in this folder" in run("pb-pool", "stat", tmp_path, check=False).stderr
    done = run("pb-pool", "check", tmp_path / "none", check=False)
    assert done.returncode == 66 and "no such file" in done.stderr
    save(tmp_path, (3, 1))
    done = run("pb-pool", "merge", tmp_path, check=False)
    assert done.returncode == 2 and "--output-dir" in done.stderr
    path = tmp_path / "model.ckpt-0_item_pool_0_0_1"
    path.write_bytes(path.read_bytes()[:-1])
    done = run("pb-pool", "check", tmp_path, check=False)
    assert done.returncode == 65 and f"{path}: byte 0: " in done.stderr and "Traceback" not in done.stderr
    held = _core.PoolFolder(_core.PoolPlace(str(tmp_path / "q").encode()))
    save(tmp_path, (3, 1))
    assert run("pb-pool", "merge", tmp_path, "--output-dir", tmp_path / "q", check=False).returncode == 75
    del held
