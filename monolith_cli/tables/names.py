"""Names of tables and of their files in a checkpoint (spec 30, 13.1 and 15.4).

A checkpoint's `prefix` is `<model_dir>/model.ckpt-<step>`; a `basename` is what the names of one set of files begin with.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable

_LEGACY_SLOT = re.compile(r"fc_slot_[0-9]*")


def assets_dir(prefix: str) -> str:
    """The directory of everything sparse in a checkpoint."""
    return prefix + ".assets"


def table_basename(prefix: str, suffix: str) -> str:
    """Basename of a single table; suffix: its name, with `_<index>` of its parameter server where there are some."""
    return os.path.join(assets_dir(prefix), f"MonolithHashTable_{suffix}".replace(":", "-").replace("/", "-"))


def multi_table_basename(prefix: str, suffix: str | int) -> str:
    """Basename of all tables of one server or worker; suffix: its index, or "" where there is but one."""
    return os.path.join(assets_dir(prefix), f"MonolithMultiHashTable_{suffix}")


def hash_filter_basename(prefix: str, index: int) -> str:
    """Basename of the occurrence filter of one server."""
    return os.path.join(assets_dir(prefix), f"hash_filter_{index}")


def info_path(prefix: str) -> str:
    """The file that says how many rows each table has, beside the checkpoint."""
    folder, name = os.path.split(prefix)
    return os.path.join(folder, "ckpt.info-" + name.rpartition("-")[2])


def merged_table_name(slots: Iterable[str]) -> tuple[str, list[str]]:
    """(name, older names) of the table that slots of equal configuration share: the md5 of their sorted names. Checkpoints from
    before slots were named `fc_slot_<n>` have it under the md5 of the names without `fc_`."""
    names = sorted(slots)
    old = [n.removeprefix("fc_") if _LEGACY_SLOT.fullmatch(n) else n for n in names]
    name, old_name = _md5(names), _md5(old)
    return name, [] if name == old_name else [old_name]


def _md5(names: list[str]) -> str:
    return hashlib.md5(",".join(names).encode()).hexdigest()
