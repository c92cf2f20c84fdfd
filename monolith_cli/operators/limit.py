"""Letting the first records of a stream through."""

from __future__ import annotations


def limit(records: int):
    """An operator that lets `records` records through and then ends the reading."""
    from monolith_cli._native import _core

    return _core.Limit(records)
