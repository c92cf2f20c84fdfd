"""What the tests of the table commands share: files read without the code under test, checkpoints made of a few rows."""

import os
import struct

from test_table_tools import assign, config, rows_of, tables_of

from monolith_cli._native import _core
from monolith_cli.tables import tools
from monolith_cli.tables.config import AdagradOptimizer

ADAGRAD = AdagradOptimizer(0.1, 0.1)


def table_rows(path):
    """{(table, fid): row} of a checkpoint, as table-dump tells them."""
    rows = {(r["table"], r["fid"]): r for r in rows_of(path)}
    assert len(rows) == len(rows_of(path))
    return rows


def messages(path):
    """{(table, key): bytes of the EntryDump}: read with TensorFlow's framing undone by hand and protobuf's parser."""
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    found = {}
    for base in tools.locate(str(path)).basenames:
        lines = _core.TableLines(base, "", None)
        names = [n.decode() for n in lines.tables()]
        for shard in sorted(os.listdir(os.path.dirname(base))):
            if not shard.startswith(os.path.basename(base) + "-"):
                continue
            data = open(os.path.join(os.path.dirname(base), shard), "rb").read()
            meta = os.path.join(os.path.dirname(base), shard.replace("-", ".meta-", 1))
            order = names[:1] * 10**6
            if os.path.exists(meta):
                data = unsnapped(data)
                order = [t for t, n in metadata(open(meta, "rb").read()) for _ in range(n)]
            for name, payload in zip(order, records(data), strict=False):
                found[name, EntryDump.FromString(payload).id] = payload
    return found


def records(data):
    at = 0
    while at < len(data):
        n = struct.unpack_from("<Q", data, at)[0]
        yield data[at + 12:at + 12 + n]
        at += 16 + n


def metadata(data):
    """MultiHashTableMetadata: table_name = 1, num_entries = 2."""
    def one(r):
        name = r[2:2 + r[1]]
        n = sum((b & 127) << 7 * i for i, b in enumerate(r[3 + r[1]:]))
        return name.decode(), n

    return [one(r) for r in records(data)]


def unsnapped(data):
    import pyarrow as pa

    out, at = [], 0
    while at < len(data):
        n = struct.unpack_from(">I", data, at)[0]
        block = data[at + 4:at + 4 + n]
        size, shift, i = 0, 0, 0
        while True:
            size |= (block[i] & 127) << shift
            if block[i] < 128:
                break
            i, shift = i + 1, shift + 7
        out.append(pa.Codec("snappy").decompress(block, size, asbytes=True))
        at += 4 + n
    return b"".join(out)


GOOD = {"table": "a", "fid": 1, "last_update": 5, "weights": [1, 2], "optimizer": [{"adagrad": {"norm": [1, 2]}}]}


def two(tmp_path, a, b, optimizer=ADAGRAD):
    """Checkpoints of {table: {fid: (weights, time)}}."""
    out = []
    for name, content in (("a", a), ("b", b)):
        dims = {t: len(next(iter(rows.values()))[0]) for t, rows in content.items()}
        t = tables_of(**{n: config((d, optimizer)) for n, d in dims.items()})
        for table, rows in content.items():
            for fid, (weights, at) in rows.items():
                assign(t, table, {fid: weights}, at)
        (tmp_path / name).mkdir()
        out.append(tmp_path / name / "MonolithMultiHashTable_0")
        t.save(str(out[-1]), len(out))
        t.close()
    return out
