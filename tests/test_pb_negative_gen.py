"""pb-negative-gen: the vectors of spec 20, TV-G, and the options as a user gives them."""

import os
import signal
import struct
import subprocess
import sys

import pytest

from monolith_cli._native import _core
from monolith_protos import example_pb2, proto_parser_pb2


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def unframe(stream: bytes) -> list[bytes]:
    return list(_core.MemoryReader(stream))


def v1(slot: int, signature: int) -> int:
    return slot << 54 | signature


def generate(run, *options, records, **kwargs) -> list[bytes]:
    return unframe(run("pb-negative-gen", *options, stdin=frame(*records), **kwargs).stdout)


def instances(payloads):
    return [proto_parser_pb2.Instance.FromString(p) for p in payloads]


# -------------------------------------------------------------------------------------------------------------- TV-G

A = bytes.fromhex("0a10640000000000400007000000000000321a04000080bf2a09210b00000000000000")
B = bytes.fromhex("0a10650000000000400008000000000000321a040000803f2a09210b00000000000000")
A_OUT = "0a10640000000000400007000000000000321a04000080bf250000003f2a09210b00000000000000"
N1 = "0a10650000000000400007000000000000321a04000080bf25000040402a09210b00000000000000"
N2 = N1.replace("2500004040", "2500000040")
B_OUT = "0a10650000000000400008000000000000321a040000803f250000803f2a09210b00000000000000"
G12 = ["--neg-num", 2, "--item-feature", 200, "--start-num", 0, "--max-item-num", 100, "--cache-all",
       "--real-neg-instance-weight", 0.5]


@pytest.mark.parametrize(("options", "expected"), [
    ([], [A_OUT, N1, N2, B_OUT]),
    (["--throw-origin"], [N1, N2]),
    (["--throw-origin-neg"], [N1, N2, B_OUT]),
    (["--start-num", 1], [A_OUT, B_OUT]),
    (["--sampled-neg-instance-weight", 0.25], [A_OUT, N1.replace("2500004040", "250000803e"), N1.replace("2500004040", "250000803e"), B_OUT]),
    (["--no-unbias-sampled-neg"], [A_OUT, N1.replace("2500004040", "250000803f"), N1.replace("2500004040", "250000803f"), B_OUT]),
], ids=["G12", "G13 throw origin", "G13 throw origin neg", "G13 start num", "G14 weight", "G14 not unbiased"])
def test_vectors(run, options, expected):
    assert [p.hex() for p in generate(run, *G12, *options, records=[A, B])] == expected


def test_only_positives_are_pooled(run):
    out = instances(generate(run, *G12, "--cache-only-pos", records=[B]))  # G15
    assert [list(r.fid) for r in out] == [[v1(1, 101), v1(200, 8)]] * 3
    assert [r.label[0] for r in out] == [-1, -1, 1]


def labelled(item: int, label: float):
    record = proto_parser_pb2.Instance(fid=[v1(1, item), v1(200, item)], label=[label])
    record.line_id.item_id = item
    return record.SerializeToString()


def test_counts_of_negatives(run):
    """G16: positives are those whose number divides by three."""
    records = [labelled(i, 1 if i % 3 == 0 else 0) for i in range(1, 1001)]
    positives = 333
    options = ["--neg-num", 5, "--start-num", 10, "--item-feature", 200, "--seed", 5]
    out = instances(generate(run, *options, "--cache-only-pos", records=records))
    assert len(out) - 1000 == 5 * (positives - 10)
    late = 1000 // 3 - 10 // 3  # positives among the records 11 to 1000
    assert len(instances(generate(run, *options, records=records))) - 1000 == 5 * late


def test_draws_are_even_and_seeded(run):
    records = [labelled(i, 0) for i in range(1, 51)] + [labelled(51, 1)]
    options = ["--neg-num", 5000, "--start-num", 50, "--max-item-num", 51, "--item-feature", 200]
    out = generate(run, *options, "--seed", 1, "--throw-origin", records=records)
    counts = {i: 0 for i in range(1, 52)}
    for r in instances(out):
        assert list(r.fid) == [v1(1, 51), v1(200, r.line_id.item_id)]
        counts[r.line_id.item_id] += 1
    assert sum((n - 5000 / 51) ** 2 / (5000 / 51) for n in counts.values()) < 86.7  # chi square of 50, 0.999
    assert out == generate(run, *options, "--seed", 1, "--throw-origin", records=records)
    assert out != generate(run, *options, "--seed", 2, "--throw-origin", records=records)


@pytest.mark.parametrize(("proba", "share"), [(0.5, 0.51), (0, 0.01), (1.0, 1), (0.29, 0.30), (-1, 1), (2, 1)])
def test_share_of_negatives_that_is_pooled(run, tmp_path, proba, share):
    """G17, and 0.29, which single precision must not round away."""
    n = 20000
    run("pb-negative-gen", "--neg-num", 1, "--seed", 1, f"--origin-neg-in-pool-proba={proba}", "--pool-dir", tmp_path,
        stdin=frame(*(labelled(i, 0) for i in range(n))))
    kept = len(pool_of(tmp_path / "model.ckpt-0_item_pool_0_0_1"))
    assert abs(kept - share * n) <= 4 * (n * share * (1 - share)) ** 0.5
    assert share < 1 or kept == n


def test_easy_negatives_come_from_any_channel(run):
    """Channel 1 has 300 items, channel 2 has 100: an easy draw takes them 3:1; the positive is of channel 2."""
    def record(channel, item, label):
        r = proto_parser_pb2.Instance(fid=[v1(3, channel), v1(200, item)], label=[label])
        r.line_id.item_id = item
        return r.SerializeToString()

    records = [record(1, i, 0) for i in range(300)] + [record(2, 1000 + i, 0) for i in range(99)] + [record(2, 1099, 1)]
    options = ["--neg-num", 4000, "--start-num", 0, "--item-feature", 200, "--per-channel", "--throw-origin", "--seed", 3]
    for ratio, share in ((0, 0), (1, 0.75), (0.4, 0.3)):
        out = instances(generate(run, *options, "--easy-hard-ratio", ratio, records=records))
        other = sum(r.line_id.item_id < 300 for r in out)
        assert len(out) == 4000 and abs(other - 4000 * share) <= 4 * (4000 * share * (1 - share)) ** 0.5


def test_channel_zero_is_not_pooled_and_gives_no_negatives(run):
    record = proto_parser_pb2.Instance(fid=[0, v1(200, 1)], label=[1])
    out = generate(run, "--neg-num", 2, "--start-num", 0, "--per-channel", "--channel-feature", 0, records=[record.SerializeToString()])
    assert len(out) == 1


# ----------------------------------------------------------------------------------------------------------- the pool

def pool_of(path) -> list[tuple]:
    items = []
    _core.read_pool_file(str(path), items.append)
    return items


G3 = bytes.fromhex("16000000000000004f61be28080312120807120a8780808080808080320520022801382f5d32")


def test_pool_file_vector(tmp_path):
    place = _core.PoolPlace(os.fsencode(tmp_path))
    pool = _core.ItemPool()
    pool.push(3, 7, struct.pack("<2Q", 3602879701896396807, 5), b"", 2, 1)
    folder = _core.PoolFolder(place)
    folder.save(pool)
    path = tmp_path / "model.ckpt-0_item_pool_0_0_1"
    assert path.read_bytes() == G3
    assert pool_of(path) == pool.items()
    channel = example_pb2.ChannelCache.FromString(G3[12:-4])
    assert channel.channel_id == 3 and channel.feature_datas[0].origin_cnt == 2
    again = _core.ItemPool()
    assert folder.restore(again) == [path.name] and again.items() == pool.items()


def test_ids_keep_their_bits(tmp_path):
    pool = _core.ItemPool()
    pool.push(10808639105689190401, (1 << 64) - 1)  # G4
    _core.PoolFolder(_core.PoolPlace(os.fsencode(tmp_path))).save(pool)
    channel = example_pb2.ChannelCache.FromString((tmp_path / "model.ckpt-0_item_pool_0_0_1").read_bytes()[12:-4])
    assert channel.channel_id == -7638104968020361215 and channel.feature_datas[0].gid == -1


def test_shards(tmp_path):
    pool = _core.ItemPool()
    for channel in (84723967989907466, 3, 4, 6):
        pool.push(channel, 1)
    place = _core.PoolPlace(os.fsencode(tmp_path), step=1, shards=3)
    _core.PoolFolder(place).save(pool)
    names = [f"model.ckpt-1_item_pool_0_{s}_1" for s in range(3)]  # G1
    assert sorted(p.name for p in tmp_path.iterdir() if p.name[0] != ".") == names
    assert [[i[0] for i in pool_of(tmp_path / n)] for n in names] == [[3, 6], [4], [84723967989907466]]  # G5
    (tmp_path / "few").mkdir()
    pool = _core.ItemPool()
    pool.push(3, 1)
    _core.PoolFolder(_core.PoolPlace(os.fsencode(tmp_path / "few"), shards=2)).save(pool)
    assert (tmp_path / "few" / "model.ckpt-0_item_pool_0_0_1").read_bytes() == b""
    with pytest.raises(Exception, match="more than 2 shards"):
        _core.PoolFolder(_core.PoolPlace(os.fsencode(tmp_path), step=1, shards=2)).restore(_core.ItemPool())


def test_worker_of_cluster(run, tmp_path):
    config = '{"cluster": {"chief": ["a"], "worker": ["b", "c"], "ps": ["d"]}, "task": {"type": "worker", "index": 1}}'
    run("pb-negative-gen", "--neg-num", 1, "--pool-dir", tmp_path / "p", "--pool-step", 25, stdin=frame(A), env={"TF_CONFIG": config})
    assert (tmp_path / "p" / "model.ckpt-25_item_pool_2_0_3").exists()  # G2
    run("pb-negative-gen", "--neg-num", 1, "--pool-dir", tmp_path / "q", "--worker-index", 1, "--worker-count", 4, stdin=frame(A),
        env={"TF_CONFIG": config})
    assert (tmp_path / "q" / "model.ckpt-0_item_pool_1_0_4").exists()
    done = run("pb-negative-gen", "--neg-num", 1, "--pool-dir", tmp_path, stdin=b"", env={"TF_CONFIG": "{"}, check=False)
    assert done.returncode == 78 and "TF_CONFIG" in done.stderr


def test_queue(tmp_path):
    pool = _core.ItemPool(max_items=2)
    for i in (1, 2, 3):  # G6
        pool.push(9, i, bytes([i] * 8))
    assert [i[1] for i in pool.items()] == [2, 3]
    pool.push(9, 1)
    assert [i[1:] for i in pool.items()] == [(3, bytes([3] * 8), b"", 1, 0), (1, b"", b"", 1, 0)]
    pool = _core.ItemPool(max_items=2)
    for i, fids in ((1, b"f" * 8), (2, b""), (1, b"g" * 8)):  # G7
        pool.push(9, i, fids)
    assert pool.items()[0] == (9, 1, b"f" * 8, b"", 2, 0)
    pool.push(9, 3)
    assert [i[1] for i in pool.items()] == [2, 3]


def test_start_num():
    pool = _core.ItemPool(start_num=1)  # G8
    assert pool.sample(4, 1) is None
    pool.push(4, 1)
    assert pool.sample(4, 1) is None
    pool.push(4, 2)
    assert pool.sample(4, 1)[0] in (1, 2)


@pytest.mark.parametrize(("neg_num", "items", "index", "draw", "decay", "weight"), [
    (5, 11, 10, 1, 1, 6.0), (5, 11, 4, 3, 2, 1.34435260), (7, 20, 0, 1, 0.5, 2.56524754)], ids=["G9", "G10", "G11"])
def test_weights(run, tmp_path, neg_num, items, index, draw, decay, weight):
    """The item was drawn before: its pool says so; which seed draws it this time is found by trying."""
    pool = _core.ItemPool()
    for i in range(items - 1):
        pool.push(3, i, b"", b"", 1, draw - 1)
    place = _core.PoolPlace(os.fsencode(tmp_path))
    _core.PoolFolder(place).save(pool)
    # The positive itself becomes the newest item.
    record = labelled(items - 1, 1)
    if index == items - 1:
        assert draw == 1
    for seed in range(200):
        out = instances(generate(run, "--neg-num", neg_num, "--start-num", 0, "--neg-sample-decay-factor", decay, "--seed", seed,
                                 "--pool-dir", tmp_path, "--pool-step", seed + 1, records=[record]))
        os.remove(tmp_path / f"model.ckpt-{seed + 1}_item_pool_0_0_1")
        if out[0].line_id.item_id == index:
            assert out[0].instance_weight == struct.unpack("<f", struct.pack("<f", weight))[0]
            return
    pytest.fail("never drawn")
