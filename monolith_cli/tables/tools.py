"""Looking into checkpoint files of tables without building a table, TensorFlow or more memory than a few rows take."""

from __future__ import annotations

import math
import os
import re
import time
from dataclasses import dataclass, field

from monolith_cli.errors import BadDataError, NoInputError, UsageError

_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}")
_LISTED = re.compile(r'^\s*(all_model_checkpoint_paths|model_checkpoint_path)\s*:\s*"((?:[^"\\]|\\.)*)"', re.MULTILINE)
_AGES = ["under 1 hour", "under 1 day", "under 7 days", "under 30 days", "under 90 days", "under 365 days", "older"]


@dataclass
class Location:
    """Where the tables of a checkpoint are. basenames: of their sets of files. unfinished: what writers have left behind."""

    name: str
    basenames: list[str]
    unfinished: list[str] = field(default_factory=list)


def locate(path: str, checkpoint: str | None = None) -> Location:
    """The tables of `path`: a model directory (its newest checkpoint, or the one named `checkpoint`: a name or a step), the
    prefix of a checkpoint, its `.assets` directory, or the base name of one set of files.

    Raises NoInputError when there is nothing, BadDataError for a list of checkpoints that cannot be read, UsageError for a
    `checkpoint` where there is nothing to choose from.
    """
    state = os.path.join(path, "checkpoint")
    if os.path.isdir(path) and (os.path.exists(state) or not (path.rstrip("/").endswith(".assets") or sets_in(path))):
        if not os.path.exists(state):
            left = "; ".join(_half_written(path, []))
            raise NoInputError(f"{path}: no checkpoint here{': ' + left if left else ''}")
        listed = _listed(path, state)
        prefix = _choose(path, listed, checkpoint)
        return _in_assets(prefix, prefix + ".assets", _half_written(path, listed))
    if checkpoint is not None:
        raise UsageError(f"--checkpoint {checkpoint}: {path} is no model directory; leave the option out")
    if os.path.isdir(path):
        return _in_assets(path, path, [])
    if os.path.isdir(path + ".assets"):
        return _in_assets(path, path + ".assets", [])
    folder, name = os.path.split(path)
    if name in sets_in(folder or "."):
        return Location(path, [path], [n for n in _temporary_in(folder or ".") if os.path.basename(n).startswith(name)])
    raise NoInputError(f"{path}: no model directory, no checkpoint and no base name of table files")


def _listed(model_dir: str, state: str) -> list[str]:
    import codecs

    with open(state, "rb") as f:
        text = f.read().decode("utf-8", "surrogateescape")
    found = {"all_model_checkpoint_paths": [], "model_checkpoint_path": []}
    for key, value in _LISTED.findall(text):
        raw = codecs.escape_decode(value.encode("utf-8", "surrogateescape"))[0]
        found[key].append(os.path.join(model_dir, os.fsdecode(raw)))
    listed = found["all_model_checkpoint_paths"] or found["model_checkpoint_path"]
    if not listed:
        raise BadDataError(f"{state}: at byte 0: lists no checkpoint; name one yourself: {os.path.join(model_dir, 'model.ckpt-STEP')}")
    return listed


def _choose(model_dir: str, listed: list[str], checkpoint: str | None) -> str:
    if checkpoint is None:
        return listed[-1]
    for prefix in listed:
        name = os.path.basename(prefix)
        if checkpoint == name or checkpoint == name.rpartition("-")[2]:
            return prefix
    raise NoInputError(f"{model_dir}: no checkpoint {checkpoint}; there are: {', '.join(map(os.path.basename, listed))}")


def _in_assets(name: str, folder: str, unfinished: list[str]) -> Location:
    if not os.path.isdir(folder):
        raise BadDataError(f"{folder}: at byte 0: the directory of the tables is missing: the checkpoint is not whole")
    sets = sets_in(folder)
    return Location(name, [os.path.join(folder, s) for s in sets], [*_temporary_in(folder), *unfinished])


def sets_in(folder: str) -> list[str]:
    """Base names of the sets of table files in a folder. Filters are none, nor are TensorFlow's variables, which are named
    alike: `<prefix>.data-…` beside `<prefix>.index`."""
    there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    names = {m[1].removesuffix(".meta") for n in there if (m := _SHARD.fullmatch(n))}
    names |= {n.removesuffix(".manifest") for n in there if n.endswith(".manifest")}  # of a delta nothing else is named so
    return sorted(n for n in names if not n.startswith("hash_filter_")
                  and not (n.endswith(".data") and n.removesuffix(".data") + ".index" in there))


def _temporary_in(folder: str) -> list[str]:
    found = [n for n in sorted(os.listdir(folder)) if re.search(r"-tmp-\d+$|\.tmp-\d+$", n)]
    return [f"{os.path.join(folder, n)}: a temporary file of a save that was interrupted" for n in found]


def _half_written(model_dir: str, listed: list[str]) -> list[str]:
    known = {os.path.basename(p) for p in listed}
    names = {m[1] for n in os.listdir(model_dir) if (m := re.match(r"(.+-\d+)\.(assets|index|data-.*|input\.json)$", n))}
    left = [f"{os.path.join(model_dir, n)}: not in the list of checkpoints: an interrupted save, or set aside" for n in sorted(names - known)]
    return left + _temporary_in(model_dir)


# --- one pass over the rows ----------------------------------------------------------------------------------------------


def statistics(path: str, checkpoint: str | None = None, *, table: str | None = None, now: int | None = None) -> dict:
    """What the tables of a checkpoint hold: {checkpoint, tables: [{table, keys, bytes, dim, segments: [{optimizer, dim}],
    slots {slot: keys}, never_updated, oldest, newest, ages {name: keys}, zero_norms, non_finite, norms [{from, to, keys}],
    mean_norm, max_norm}]}.

    bytes: of the rows as they are stored, before compression. Times are unix seconds; ages are counted from `now` (default:
    the clock). Norms are Euclidean lengths of the weights, in bins that double. Raises BadDataError naming file and offset.
    """
    from monolith_cli._native import _core

    place = locate(path, checkpoint)
    tables = []
    for base in place.basenames:
        scan = _core.TableScan(base, int(time.time()) if now is None else now, False)
        while scan.step():
            pass
        tables += [{k: v for k, v in _readable(t).items() if k != "duplicates"} for t in scan.summaries()]
    return {"checkpoint": place.name, "tables": _only(place, tables, table)}


def verify(path: str, checkpoint: str | None = None) -> dict:
    """Reads every byte of a checkpoint's table files: {checkpoint, damages, findings: [text], unfinished: [text], tables: [...]}.

    A finding names file and byte: checksums, structure, shapes that differ, values that are not finite; the first hundred of
    each set of files. A table has {table, keys, bytes, dim, segments, non_finite, duplicates}. unfinished: files that an interrupted save has left, which no reader takes up.
    """
    from monolith_cli._native import _core

    try:
        place = locate(path, checkpoint)
    except BadDataError as e:
        return {"checkpoint": path, "damages": 1, "findings": [str(e)], "unfinished": [], "tables": []}
    findings, tables, damages = [], [], 0
    for base in place.basenames:
        try:
            scan = _core.TableScan(base, 0, True)
            while scan.step():
                pass
        except BadDataError as e:
            findings.append(_with_offset(str(e)))
            damages += 1
            continue
        findings += [_with_offset(text_of(f)) for f in scan.findings()]
        damages += scan.damages()
        try:
            summaries = scan.summaries()
        except BadDataError:  # the names of the tables cannot be read, which is a finding already
            continue
        for t in map(_readable, summaries):
            tables.append({k: t[k] for k in ("table", "keys", "bytes", "dim", "segments", "non_finite", "duplicates")})
            if t["duplicates"]:
                findings.append(f"{base}: at byte 0: table '{t['table']}' has {t['duplicates']:,} keys that were there before")
                damages += 1
    return {"checkpoint": place.name, "damages": damages, "findings": findings, "unfinished": place.unfinished, "tables": tables}


def _with_offset(finding: str) -> str:
    """A file that is missing is damaged from its first byte on."""
    return finding if ": at byte " in finding else finding + " (from byte 0 on)"


def json_lines(path: str, checkpoint: str | None = None, *, table: str | None = None, keys=None, write) -> set[int]:
    """Calls write(bytes) with the rows as JSON lines, of one table or all, those of `keys` or all; returns the keys found.

    A row has table, fid, slot (of a v2 fid), last_update (unix seconds), weights and optimizer: the state of each segment.
    keys: as int64. Raises BadDataError naming file and offset after the rows before it are written; UsageError for a table
    that is not there.
    """
    from monolith_cli._native import _core

    place = locate(path, checkpoint)
    sets = [(base, _core.TableLines(base, table or "", None if keys is None else list(keys))) for base in place.basenames]
    named = [(lines, [text_of(n) for n in lines.tables()]) for _, lines in sets]
    _only(place, [{"table": n} for _, names in named for n in names], table)
    found: set[int] = set()
    for lines, names in named:
        if table is not None and table not in names:
            continue
        while (text := lines.next()) is not None:
            if text:
                write(text)
        found.update(lines.found())
    return found


def parse_fid(text: str) -> int:
    """A fid in decimal (int64 or uint64), hexadecimal (0x…) or as SLOT:SIGNATURE of a v2 fid, as the int64 that tables have.
    Raises UsageError."""
    slot, colon, signature = text.partition(":")
    try:
        if colon:
            s, g = int(slot, 0), int(signature, 0)
            if not (0 <= s < 1 << 15 and 0 <= g < 1 << 48):
                raise UsageError(f"FID {text}: a slot is below 32768, a signature below 2^48")
            return s << 48 | g
        fid = int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        raise UsageError(f"FID {text}: give a decimal number, 0x and a hexadecimal one, or SLOT:SIGNATURE") from None
    if not -(1 << 63) <= fid < 1 << 64:
        raise UsageError(f"FID {text}: does not fit into 64 bits")
    return fid - (1 << 64) if fid >= 1 << 63 else fid


def text_of(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def check_table(place: Location, table: str, *others: Location) -> None:
    """Raises UsageError when no set of these checkpoints has a table of that name."""
    from monolith_cli._native import _core

    there = [text_of(n) for p in (place, *others) for base in p.basenames for n in _core.TableLines(base, "", []).tables()]
    _only(place, [{"table": n} for n in there], table)


def _only(place: Location, tables: list[dict], table: str | None) -> list[dict]:
    chosen = [t for t in tables if table is None or t["table"] == table]
    if table is not None and not chosen:
        raise UsageError(f"--table {table}: not in {place.name}; there are: {', '.join(t['table'] for t in tables) or 'none'}")
    return chosen


def _readable(t: dict) -> dict:
    binned = sum(t["norms"].values()) + t["zero_norms"]
    norms = [{"from": 2.0**i, "to": 2.0 ** (i + 1), "keys": n} for i, n in sorted(t["norms"].items())]
    timed = t["keys"] > t["never_updated"]
    return {
        "table": text_of(t["table"]), "keys": t["keys"], "bytes": t["bytes"], "dim": t["dim"], "segments": t["segments"],
        "slots": t["slots"], "never_updated": t["never_updated"], "oldest": t["oldest"] if timed else None,
        "newest": t["newest"] if timed else None, "ages": dict(zip(_AGES, t["ages"])), "zero_norms": t["zero_norms"],
        "non_finite": t["non_finite"], "norms": norms,
        "mean_norm": t["norm_sum"] / binned if binned and math.isfinite(t["norm_sum"]) else None,
        "max_norm": t["norm_max"] if binned else None, "duplicates": t["duplicates"],
    }
