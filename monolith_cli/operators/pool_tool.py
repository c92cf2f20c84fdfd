"""Looking at item pools on disk, and putting several together."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable

from monolith_cli import errors


def files_of(paths: Iterable[str]) -> list[str]:
    """Pool files: paths that are files as they are, of folders all that have the name of one.

    Raises NoInputError for what is not there, or a folder without pool files.
    """
    from monolith_cli._native import _core

    files = []
    for path in paths:
        if os.path.isdir(path):
            names = _core.pool_file_names(path)
            if not names:
                raise errors.NoInputError(f"{path}: no item pool in this folder")
            files += [os.path.join(path, name) for name in names]
        elif os.path.exists(path):
            files.append(path)
        else:
            raise errors.NoInputError(f"{path}: no such file")
    return files


def stat(file: str) -> dict:
    """Counts of one file; it is read to its end, so that damage is found. Raises BadDataError."""
    from monolith_cli._native import _core

    channels: set[int] = set()
    items = drawn = fids = columns = 0

    def count(item):
        nonlocal items, drawn, fids, columns
        channels.add(item[0])
        items += 1
        fids += len(item[2]) // 8
        columns += len(item[3])
        drawn += item[5] > 0

    _core.read_pool_file(file, count)
    return {"file": file, "bytes": os.path.getsize(file), "channels": len(channels), "items": items, "items_drawn": drawn,
            "fids": fids, "column_bytes": columns}


def dump(file: str, visit: Callable[[dict], None]) -> None:
    """Calls visit for each item of one file, in its order: channel, id, fids, names of features, and counts."""
    from monolith_cli._native import _core
    from monolith_protos import example_pb2

    def show(item):
        channel, item_id, fids, columns, origin, sample = item
        names = [n.name for n in example_pb2.Example.FromString(columns).named_feature]
        visit({"channel": channel, "id": item_id, "fids": list(struct.unpack(f"<{len(fids) // 8}Q", fids)), "features": names,
               "origin_cnt": origin, "sample_cnt": sample})

    _core.read_pool_file(file, show)


def merge(files: Iterable[str], place, max_items: int) -> int:
    """Saves one pool of all files, as if their items had come in one after the other; returns its number of items.

    place: a PoolPlace. Raises BadDataError, CannotCreateError, TryAgainError when a run keeps that pool.
    """
    from monolith_cli._native import _core

    pool = _core.ItemPool(max_items=max_items)
    folder = _core.PoolFolder(place)
    for file in files:
        _core.read_pool_file(file, lambda item: pool.push(*item))
    folder.save(pool)
    return len(pool)
