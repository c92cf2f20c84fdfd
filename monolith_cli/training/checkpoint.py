"""Checkpoints of a model directory.

A checkpoint is whole when the state file `checkpoint` lists it. It is written in this order: tables (`<prefix>.assets/`),
dense variables (`<prefix>.index`, `<prefix>.data-…`), the input position (`<prefix>.input.json`), `ckpt.info-<step>`; all
of it is synced; then `checkpoint` is replaced by a synced file in one rename. A crash leaves the old list or the new one.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import time
import zlib
from dataclasses import dataclass, field

from monolith_cli.errors import BadDataError, CannotCreateError, ConfigError, Error, IoError, NoInputError

BASE_NAME = "model.ckpt"
STATE_FILE = "checkpoint"
MONOLITH_STATE_FILE = "monolith_checkpoint"


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


def write_atomically(path: str, data: bytes) -> None:
    """The file appears whole, and is on the disk when this returns."""
    temporary = f"{path}.tmp-{os.getpid()}"
    try:
        with open(temporary, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    sync_path(os.path.dirname(path) or ".")


def sync_path(path: str) -> None:
    """fsync of one file or directory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def step_of(prefix: str) -> int:
    """The step in `model.ckpt-<step>`; 0 without one."""
    digits = prefix.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


class CheckpointDirectory:
    """The checkpoints of one model directory: listing, saving, restoring, deleting old ones.

    max_to_keep: how many stay; 0 keeps all.
    """

    def __init__(self, model_dir: str, max_to_keep: int = 10):
        self.model_dir = model_dir
        self.max_to_keep = max_to_keep

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
        from google.protobuf import text_format
        from tensorflow.python.training.checkpoint_state_pb2 import CheckpointState

        try:
            state = text_format.Parse(text, CheckpointState())
        except text_format.ParseError as e:
            raise BadDataError(f"{path}: not a list of checkpoints: {e}; restore it from a copy, or use a new --model-dir") from None
        listed = list(state.all_model_checkpoint_paths) or [p for p in [state.model_checkpoint_path] if p]
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
        """What `save` was given. A checkpoint of another program has none: State with the step alone."""
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
        except (ValueError, KeyError, TypeError) as e:
            raise BadDataError(f"{path}: damaged: {e}") from None

    def restore(self, session, built, prefix: str, warn=lambda text: None) -> State:
        """Dense variables, then tables and filter, then the state. warn(text) is told what a person should know. Raises BadDataError for a damaged checkpoint, ConfigError for one
        that another model has written."""
        import tensorflow as tf

        state = self.read_state(prefix)
        try:
            saver_def = built.saver.saver_def
            session.run(saver_def.restore_op_name, {saver_def.filename_tensor_name: prefix})
            if built.tables is not None:
                for text in built.tables.restore(session, prefix + ".assets"):
                    warn(text)
        except (tf.errors.OpError, Error) as e:
            raise _restore_error(prefix, e) from e
        return state

    # --- writing -----------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Makes the directory, and `monolith_checkpoint` where it is missing."""
        try:
            os.makedirs(self.model_dir, exist_ok=True)
        except OSError as e:
            raise CannotCreateError(f"--model-dir {self.model_dir}: {e.strerror}") from None
        if not os.path.exists(os.path.join(self.model_dir, MONOLITH_STATE_FILE)):
            self._write_monolith_state()

    def save(self, session, built, state: State) -> str:
        """Writes a whole checkpoint and deletes old ones; returns its prefix. Raises IoError; the old ones stay then."""
        import tensorflow as tf

        prefix = os.path.join(os.path.abspath(self.model_dir), f"{BASE_NAME}-{state.global_step}")
        listed = [p for p in map(os.path.abspath, self.prefixes()) if p != prefix]
        try:
            _remove_checkpoint(prefix)  # what an interrupted save at this step has left
            os.makedirs(prefix + ".assets")
            counts = {}
            if built.tables is not None:
                built.tables.save(session, prefix + ".assets")
                counts = built.tables.sizes(session)
            saver_def = built.saver.saver_def
            session.run(saver_def.save_tensor_name, {saver_def.filename_tensor_name: prefix})
            write_atomically(prefix + ".input.json", _encode_state(state))
            self._write_info(state.global_step, counts)
            self._sync(prefix)
            kept, dropped = self._keep([*listed, prefix])
            self._write_state(kept)
            self._write_monolith_state()
        except (tf.errors.OpError, OSError) as e:
            raise IoError(f"{prefix}: the checkpoint could not be written: {getattr(e, 'message', None) or e}") from e
        for old in dropped:
            _remove_checkpoint(old)
        return prefix

    def forget_after(self, prefix: str) -> None:
        """Takes the checkpoints that are newer than `prefix` off the list; their files stay for whoever looks into them."""
        prefixes = self.prefixes()
        self._write_state(prefixes[: prefixes.index(prefix) + 1])

    def _keep(self, prefixes: list[str]) -> tuple[list[str], list[str]]:
        """(kept, dropped): the oldest leave, those that `monolith_checkpoint` exempts never do."""
        exempt = {os.path.basename(p) for p in self._exempt()}
        free = [p for p in prefixes if os.path.basename(p) not in exempt]
        dropped = free[: -self.max_to_keep] if self.max_to_keep > 0 else []
        return [p for p in prefixes if p not in dropped], dropped

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
        write_atomically(os.path.join(self.model_dir, STATE_FILE), ("\n".join(lines) + "\n").encode())

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
        write_atomically(path, text_format.MessageToString(state).encode())

    def _write_info(self, step: int, counts: dict[str, int]) -> None:
        from google.protobuf import text_format
        from monolith_protos.ckpt_info_pb2 import CkptInfo

        info = CkptInfo(feature_counts=counts)
        write_atomically(_info_path(self.model_dir, step), text_format.MessageToString(info).encode())

    def _sync(self, prefix: str) -> None:
        for path in glob.glob(glob.escape(prefix) + ".*"):
            for folder, _, files in os.walk(path):
                for name in files:
                    sync_path(os.path.join(folder, name))
            sync_path(path)
        sync_path(self.model_dir)


def _encode_state(state: State) -> bytes:
    body = json.dumps(vars(state), sort_keys=True)
    return json.dumps({"crc32": zlib.crc32(body.encode()), "state": body}).encode()


def _info_path(model_dir: str, step: int) -> str:
    return os.path.join(model_dir, f"ckpt.info-{step}")


def _remove_checkpoint(prefix: str) -> None:
    for path in glob.glob(glob.escape(prefix) + ".*"):
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    info = _info_path(os.path.dirname(prefix), step_of(prefix))
    if os.path.exists(info):
        os.unlink(info)


def _restore_error(prefix: str, error: Exception) -> Error:
    import tensorflow as tf

    from monolith_cli.model.errors import short_message
    from monolith_cli.tables.graph import unwrap_error

    known = unwrap_error(error) if isinstance(error, tf.errors.OpError) else error
    if isinstance(known, ConfigError):
        return ConfigError(f"{prefix}: {known}")
    if known is not None:
        return BadDataError(f"{prefix}: damaged: {known}")
    text = short_message(error)
    changed = isinstance(error, tf.errors.InvalidArgumentError) and "shape" in text.lower()
    changed = changed or (isinstance(error, tf.errors.NotFoundError) and "not found in checkpoint" in text)
    if changed:
        return ConfigError(
            f"{prefix}: written by another network than this model ({text}); give the model it was trained with, or train "
            "into a new --model-dir"
        )
    return BadDataError(f"{prefix}: damaged: {text}")
