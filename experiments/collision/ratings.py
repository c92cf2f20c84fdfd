"""The ratings of the experiment: reading, liked or not, the parts, and the chain that hashes their ids into fewer rows."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

Rating = tuple[int, int, int]  # user, item, 1 where the user liked it
TO_FIDS = "pb-feature --exact-slot --hash user@1 --hash item@2"


@dataclass(frozen=True)
class Source:
    """Where ratings are and what they mean. timed: the fourth column is a time, and the parts follow it."""

    path: str
    header: bool
    liked: float
    timed: bool


SOURCES = {
    "anime": Source("anime/anime_ratings.dat", header=True, liked=8, timed=False),
    "ml-100k": Source("ml-100k/u.data", header=False, liked=4, timed=True),
}


def read(source: Source, folder: Path, limit: int | None = None) -> list[Rating]:
    """All ratings, or the first `limit`: in the order of their time, else in one random order that is the same every time."""
    lines = (folder / source.path).read_text(encoding="ascii").splitlines()[int(source.header):]
    rows = [line.split() for line in lines]
    if source.timed:
        rows.sort(key=lambda row: int(row[3]))
    else:
        random.Random(0).shuffle(rows)
    return [(int(row[0]), int(row[1]), int(float(row[2]) >= source.liked)) for row in rows[:limit]]


def split(ratings: list[Rating]) -> dict[str, list[Rating]]:
    """The first eight tenths to train on, the next to choose settings by, the last to test on."""
    first, second = len(ratings) * 8 // 10, len(ratings) * 9 // 10
    return {"train": ratings[:first], "valid": ratings[first:second], "test": ratings[second:]}


def row_of(key: int, rows: int, seed: int) -> int:
    """MD5 of the id, modulo the rows; the seed salts it, so that each seed has other collisions."""
    return int.from_bytes(hashlib.md5(f"{seed}:{key}".encode()).digest(), "big") % rows


def chain(ratings: list[Rating], share: float | None, seed: int) -> str:
    """The pb-run chain of a variant. share: rows over distinct ids, of users as of items; None keeps every id apart."""
    if share is None:
        return TO_FIDS
    tables = []
    for name, column in (("user", 0), ("item", 1)):
        ids = sorted({rating[column] for rating in ratings})
        rows = max(1, round(len(ids) * share))
        tables.append(f"--map-id '{name}=" + ",".join(f"{key}:{row_of(key, rows, seed)}" for key in ids) + "'")
    return f"pb-feature {' '.join(tables)} | {TO_FIDS}"
