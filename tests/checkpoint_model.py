"""What tables must hold after each generation of a made-up training: plain dicts, a slow and obvious model beside the core."""

import itertools

import numpy as np

from monolith_cli._native import _core
from monolith_cli.tables.config import (
    CombineAsSegment,
    ConstantsInitializer,
    CuckooHashTableConfig,
    Fp32Compressor,
    ZerosInitializer,
)

TABLES = ("a", "b")
KEYS = 300
DIM = 4

_numbers = itertools.count()


def config(*segments, initial=None, expire_days=None):
    """segments: (dim, optimizer). initial: of every weight."""
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    initializer = ZerosInitializer() if initial is None else ConstantsInitializer(initial)
    proto = EmbeddingHashTableConfig()
    proto.entry_config.segments.extend(CombineAsSegment(d, initializer, o, Fp32Compressor()) for d, o in segments)
    CuckooHashTableConfig().mutate_table(proto)
    if expire_days is not None:
        proto.slot_expire_time_config.default_expire_time = expire_days
    return proto.SerializeToString()


def opened(**configs):
    return _core.MultiTable(f"test_checkpoint_model_{next(_numbers)}", configs)


def touched(table: str, generation: int) -> np.ndarray:
    """Keys written in one generation: all in the first, a tenth or so later."""
    if generation == 1:
        return np.arange(KEYS, dtype=np.int64)
    rng = np.random.default_rng([generation, TABLES.index(table)])
    return np.sort(rng.choice(KEYS + generation, size=KEYS // 10, replace=False)).astype(np.int64)


def values(table: str, generation: int, keys: np.ndarray) -> np.ndarray:
    """float32 [n, DIM] that no other generation writes."""
    base = keys[:, None] * 7 + np.arange(DIM) + 1000 * TABLES.index(table)
    return (base + generation * 1e-3).astype(np.float32)


def advance(tables, generation: int) -> None:
    """Writes one generation into tables of the core."""
    for name in TABLES:
        keys = touched(name, generation)
        tables.assign(name, keys, values(name, generation, keys), 1000 + generation)


class Expected:
    """The content after each generation, made as it is asked for: [table][generation] -> (keys, values, times)."""

    def __init__(self):
        self._now = {name: {} for name in TABLES}
        self._states = [None]

    def at(self, generation: int) -> dict:
        while len(self._states) <= generation:
            g = len(self._states)
            for name in TABLES:
                keys = touched(name, g)
                self._now[name] |= {int(k): (row, 1000 + g) for k, row in zip(keys, values(name, g, keys))}
            self._states.append({name: dict(rows) for name, rows in self._now.items()})
        return self._states[generation]

    def check(self, tables, generation: int) -> None:
        """Every row of the core's tables equals the model's bit for bit, and there is no other."""
        for name, rows in self.at(generation).items():
            assert tables.sizes()[name] == len(rows), (name, generation)
            keys = np.array(list(rows), np.int64)
            want = np.array([row for row, _ in rows.values()])
            assert tables.lookup(name, keys).tobytes() == want.tobytes(), (name, generation)
            probe = keys[:: max(1, len(keys) // 7)]
            for k in probe:
                assert tables.row(name, int(k))[1] == rows[int(k)][1]
