"""Mixing records in a bounded buffer."""

from __future__ import annotations


def shuffle(buffer: int = 100_000, max_bytes: int = 1 << 30, seed: int | None = None):
    """An operator that holds up to `buffer` records and `max_bytes` bytes, and lets them out in random order.

    seed: the same one gives the same order; None draws one from the system.
    """
    from monolith_cli._native import _core

    return _core.shuffle_operator(_core.random_seed() if seed is None else seed, buffer, max_bytes)
