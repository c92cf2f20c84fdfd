"""The checkpoints of a model directory as files: which there are, what belongs to one, how one is published.

A checkpoint is whole when the state file `checkpoint` lists it. What it consists of is written and synced first; then
`checkpoint` is replaced by a synced file in one rename. A crash leaves the old list or the new one.

With `incremental` the tables of most checkpoints are deltas: what changed since the one before. A delta needs the whole
checkpoint it began with and the deltas between, so those stay as long as it does, over `max_to_keep` if need be.

TensorFlow is not needed here.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from monolith_cli.errors import BadDataError, CannotCreateError, IoError, NoInputError
from monolith_cli.tables.names import assets_dir, info_path
from monolith_cli.tables.outputs import sync
from monolith_cli.whole_file import write_whole

BASE_NAME = "model.ckpt"
STATE_FILE = "checkpoint"
MONOLITH_STATE_FILE = "monolith_checkpoint"

_LINE = re.compile(r'\s*(\w+)\s*:\s*(?:"((?:[^"\\\n]|\\.)*)"|([-+.\w]+))\s*')


@dataclass
class State:
    """What a checkpoint keeps beside tables and variables.

    records: trained over the life of the model. input: the position in the sources (see `position`). seed: of the run.
    """

    global_step: int
    records: int = 0
    seed: int = 0
    batch_size: int = 0
    input: dict = field(default_factory=dict)


def step_of(prefix: str) -> int:
    """The step in `model.ckpt-<step>`; 0 without one."""
    digits = prefix.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


class CheckpointStore:
    """Listing, publishing and deleting the checkpoints of one model directory.

    max_to_keep: how many stay; 0 keeps all. incremental: how many deltas may follow a whole checkpoint; 0 writes whole ones
    alone. Deltas that together are over half as large as the whole one end with the next whole one too.
    """

    def __init__(self, model_dir: str, max_to_keep: int = 10, incremental: int = 0):
        self.model_dir = model_dir
        self.max_to_keep = max_to_keep
        self.incremental = incremental
        self._deltas = self._delta_bytes = self._base_bytes = 0

    # --- reading -----------------------------------------------------------------------------------------------------

    def prefixes(self) -> list[str]:
        """Prefixes of the whole checkpoints, oldest first. Raises BadDataError when the state file cannot be read."""
        path = os.path.join(self.model_dir, STATE_FILE)
        try:
            with open(path, encoding="utf-8") as f:
                text = f.read()
        except FileNotFoundError:
            return []
        except UnicodeDecodeError as e:
            raise BadDataError(f"{path}: not a list of checkpoints: {e}") from None
        found: dict[str, list[str]] = {"all_model_checkpoint_paths": [], "model_checkpoint_path": []}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line)
            if not match:
                raise BadDataError(f"{path}: not a list of checkpoints: line {number}: {line!r}; restore it from a copy, or use a new --model-dir")
            if match[1] in found and match[2] is not None:
                found[match[1]].append(_unescape(match[2]))
        listed = found["all_model_checkpoint_paths"] or found["model_checkpoint_path"]
        if not listed:
            raise BadDataError(f"{path}: lists no checkpoint; restore it from a copy, or use a new --model-dir")
        return [p if os.path.isabs(p) else os.path.join(self.model_dir, p) for p in listed]

    def choose(self, step: int | None = None) -> str:
        """Prefix of the newest checkpoint, or of the one at `step`. Raises NoInputError when there is none."""
        prefixes = self.prefixes()
        if not prefixes:
            raise NoInputError(f"{self.model_dir}: no checkpoint here; train first: monolith-train --model-dir {self.model_dir} …")
        if step is None:
            return prefixes[-1]
        for prefix in prefixes:
            if step_of(prefix) == step:
                return prefix
        steps = ", ".join(str(step_of(p)) for p in prefixes)
        raise NoInputError(f"{self.model_dir}: no checkpoint of step {step}; there are those of step {steps}")

    def read_state(self, prefix: str) -> State:
        """What `publish` was given. A checkpoint of another program has none: State with the step alone."""
        path = prefix + ".input.json"
        try:
            with open(path, encoding="utf-8") as f:
                outer = json.load(f)
            body = outer["state"]
            if zlib.crc32(body.encode()) != outer["crc32"]:
                raise ValueError("checksum does not match")
            return State(**json.loads(body))
        except FileNotFoundError:
            return State(global_step=step_of(prefix))
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise BadDataError(f"{path}: damaged: {e}") from None

    def unlisted(self) -> list[str]:
        """Prefixes that have files but are not listed: saves that were interrupted, or checkpoints set aside."""
        listed = {os.path.basename(p) for p in self.prefixes()}
        pattern = re.compile(rf"({re.escape(BASE_NAME)}-\d+)\.(assets|index|data-.*|input\.json)(-tmp-.*|\.tmp-.*)?")
        names = os.listdir(self.model_dir) if os.path.isdir(self.model_dir) else []
        found = {m[1] for n in names if (m := pattern.fullmatch(n))}
        return [os.path.join(self.model_dir, n) for n in sorted(found - listed, key=step_of)]

    def needs(self, prefix: str) -> list[str]:
        """Prefixes of the older checkpoints without which the tables of this one cannot be restored, oldest first.

        Raises BadDataError naming the one that is missing or was replaced."""
        from monolith_cli._native import _core

        needed = []
        for manifest in sorted(glob.glob(glob.escape(assets_dir(prefix)) + "/*.manifest")):
            chain = _core.checkpoint_chain(manifest.removesuffix(".manifest"))[:-1]
            needed += [os.path.normpath(os.path.dirname(link)).removesuffix(".assets") for link in chain]
        return sorted(set(needed), key=step_of)

    # --- writing -----------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Makes the directory, and `monolith_checkpoint` where it is missing."""
        try:
            os.makedirs(self.model_dir, exist_ok=True)
        except OSError as e:
            raise CannotCreateError(f"--model-dir {self.model_dir}: {e.strerror}") from None
        if not os.path.exists(os.path.join(self.model_dir, MONOLITH_STATE_FILE)):
            self._write_monolith_state()

    def next_kind(self) -> str:
        """How the tables of the next checkpoint are to be saved: "whole", "base" or "delta"."""
        if not self.incremental:
            return "whole"
        small = 2 * self._delta_bytes <= self._base_bytes
        return "delta" if self._base_bytes and self._deltas < self.incremental and small else "base"

    def publish(self, state: State, write: Callable[[str, str], dict[str, int]]) -> str:
        """Makes a whole checkpoint of what `write(prefix, kind)` writes, and deletes old ones; returns its prefix.

        write: makes files `<prefix>.…`; the directory `<prefix>.assets` is there. It returns how many rows each table has, which
        goes to `ckpt.info-<step>`. Raises IoError, or what `write` raises; the old checkpoints stay then.
        """
        prefix = os.path.join(os.path.abspath(self.model_dir), f"{BASE_NAME}-{state.global_step}")
        listed = [p for p in map(os.path.abspath, self.prefixes()) if p != prefix]
        try:
            with self._removed_unless_listed(prefix):
                _remove_checkpoint(prefix)  # what an interrupted save at this step has left
                os.makedirs(assets_dir(prefix))
                counts = write(prefix, self.next_kind())
                write_whole(prefix + ".input.json", _encode_state(state))
                self._write_info(prefix, counts)
                self._sync(prefix)
                self._count(prefix)
                kept, dropped = self._keep([*listed, prefix])
                self._write_state(kept)
            self._write_monolith_state()
        except (OSError, IoError, CannotCreateError) as e:
            raise self.cannot_write(state, str(e)) from e
        for old in dropped:
            _remove_checkpoint(old)
        return prefix

    @contextlib.contextmanager
    def _removed_unless_listed(self, prefix: str):
        """What a save that fails has written goes again: a disk that was full would stay so."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError, BadDataError):
                if prefix not in map(os.path.abspath, self.prefixes()):
                    _remove_checkpoint(prefix)
            raise

    def cannot_write(self, state: State, why: str) -> IoError:
        """The error of a save that failed, with what is there to go on from."""
        try:
            steps = [step_of(p) for p in self.prefixes()]
        except (BadDataError, OSError):
            steps = []
        stands = f"that of step {steps[-1]} is the newest" if steps else "there is none before it"
        full = any(os.strerror(e) in why for e in (errno.ENOSPC, errno.EDQUOT))
        room = "; make room there, or keep fewer with --max-to-keep" if full else ""
        return IoError(f"{self.model_dir}: the checkpoint of step {state.global_step} could not be written: {why}; {stands}{room}")

    def forget_after(self, prefix: str) -> None:
        """Takes the checkpoints that are newer than `prefix` off the list; their files stay for whoever looks into them."""
        prefixes = self.prefixes()
        self._write_state(prefixes[: prefixes.index(prefix) + 1])

    def _count(self, prefix: str) -> None:
        folder = assets_dir(prefix)
        # A filter is written whole each time: it says nothing about how much of the tables changed.
        names = [n for n in os.listdir(folder) if not n.startswith("hash_filter_")]
        size = sum(os.path.getsize(os.path.join(folder, n)) for n in names)
        if any(".delta." in n for n in names):
            self._deltas += 1
            self._delta_bytes += size
        else:
            self._deltas, self._delta_bytes, self._base_bytes = 0, 0, size

    def _keep(self, prefixes: list[str]) -> tuple[list[str], list[str]]:
        """(kept, dropped): the oldest leave, but not what a kept one needs, nor those that `monolith_checkpoint` exempts."""
        exempt = {os.path.basename(p) for p in self._exempt()}
        free = [p for p in prefixes if os.path.basename(p) not in exempt]
        old = set(free[: -self.max_to_keep] if self.max_to_keep > 0 else [])
        needed = {os.path.basename(n) for p in prefixes if p not in old for n in self._needs_or_none(p)}
        dropped = [p for p in prefixes if p in old and os.path.basename(p) not in needed]
        return [p for p in prefixes if p not in dropped], dropped

    def _needs_or_none(self, prefix: str) -> list[str]:
        try:
            return self.needs(prefix)
        except BadDataError:  # it cannot be restored whatever stays
            return []

    def _exempt(self) -> list[str]:
        state = self._read_monolith_state()
        return list(state.exempt_model_checkpoint_paths) if state else []

    def _write_state(self, prefixes: list[str]) -> None:
        names = [os.path.basename(p) for p in prefixes]
        lines = [f'model_checkpoint_path: "{names[-1]}"']
        lines += [f'all_model_checkpoint_paths: "{n}"' for n in names]
        times = [os.path.getmtime(p + ".index") if os.path.exists(p + ".index") else time.time() for p in prefixes]
        lines += [f"all_model_checkpoint_timestamps: {t!r}" for t in times]
        lines.append(f"last_preserved_timestamp: {times[0]!r}")
        write_whole(os.path.join(self.model_dir, STATE_FILE), "\n".join(lines) + "\n")

    def _read_monolith_state(self):
        from google.protobuf import text_format
        from monolith_protos.monolith_checkpoint_state_pb2 import MonolithCheckpointState

        try:
            with open(os.path.join(self.model_dir, MONOLITH_STATE_FILE), encoding="utf-8") as f:
                return text_format.Parse(f.read(), MonolithCheckpointState())
        except (OSError, UnicodeDecodeError, text_format.ParseError):
            return None

    def _write_monolith_state(self) -> None:
        from google.protobuf import text_format
        from monolith_protos.monolith_checkpoint_state_pb2 import MonolithCheckpointState

        state = self._read_monolith_state() or MonolithCheckpointState()
        state.last_checkpoint_save_timestamp = int(time.time())
        state.builtin_hash_table_type = MonolithCheckpointState.MULTI_CUCKOO_HASH_MAP
        path = os.path.join(self.model_dir, MONOLITH_STATE_FILE)
        write_whole(path, text_format.MessageToString(state))

    def _write_info(self, prefix: str, counts: dict[str, int]) -> None:
        from google.protobuf import text_format
        from monolith_protos.ckpt_info_pb2 import CkptInfo

        info = CkptInfo(feature_counts=counts)
        write_whole(info_path(prefix), text_format.MessageToString(info))

    def _sync(self, prefix: str) -> None:
        for path in glob.glob(glob.escape(prefix) + ".*"):
            for folder, _, files in os.walk(path):
                for name in files:
                    sync(os.path.join(folder, name))
            sync(path)
        sync(self.model_dir)


def saved_counts(folder: str) -> dict[str, int] | None:
    """Rows of each table as the metadata of the sets in `folder` has them, summed over sets; None where a set is a delta."""
    from monolith_cli._native import _core

    counts: dict[str, int] = {}
    metas = {re.sub(r"\.meta-\d{5}-of-\d{5}$", "", n) for n in os.listdir(folder) if re.search(r"\.meta-\d{5}-of-\d{5}$", n)}
    if any(".delta." in n for n in os.listdir(folder)):
        return None
    for name in sorted(metas):
        for table, rows in _core.feature_counts(os.path.join(folder, name)).items():
            counts[table] = counts.get(table, 0) + rows
    return counts


def _unescape(text: str) -> str:
    import codecs

    if "\\" not in text:
        return text
    return codecs.escape_decode(text.encode())[0].decode("utf-8", "surrogateescape")


def _encode_state(state: State) -> bytes:
    body = json.dumps(vars(state), sort_keys=True)
    return json.dumps({"crc32": zlib.crc32(body.encode()), "state": body}).encode()


def _remove_checkpoint(prefix: str) -> None:
    for path in glob.glob(glob.escape(prefix) + ".*"):
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    if os.path.exists(info_path(prefix)):
        os.unlink(info_path(prefix))
