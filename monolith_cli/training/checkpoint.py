"""Checkpoints of a training: dense variables and tables of a session, in and out of a model directory.

What makes one whole is in `checkpoint_store`. In it are tables (`<prefix>.assets/`), dense variables (`<prefix>.index`,
`<prefix>.data-…`), the input position (`<prefix>.input.json`) and `ckpt.info-<step>`.
"""

from __future__ import annotations

from monolith_cli.errors import BadDataError, ConfigError, Error
from monolith_cli.tables.names import assets_dir
from monolith_cli.training.checkpoint_store import CheckpointStore, State, saved_counts, step_of

__all__ = ["RESTORE_MODES", "CheckpointDirectory", "State", "step_of"]

# What may differ between a checkpoint and the model that goes on from it.
RESTORE_MODES = ("pad", "truncate", "reset-state", "reset-dense", "drop-tables")


class CheckpointDirectory(CheckpointStore):
    """Saves sessions to a model directory, and restores them."""

    def restore(self, session, built, prefix: str, warn=lambda text: None, modes: tuple[str, ...] = ("drop-tables",)) -> State:
        """Dense variables, then tables and filter, then the state. warn(text) is told what was not taken as it is.

        modes, of RESTORE_MODES: pad, truncate and reset-state as in `tables.graph.MultiTable.restore`; reset-dense: dense
        variables that the checkpoint does not have, or in another shape, start afresh; drop-tables: tables that the model does
        not have are left out. Raises BadDataError for a damaged checkpoint, ConfigError for one that another model has written.
        """
        import tensorflow as tf

        state = self.read_state(prefix)
        try:
            if "reset-dense" in modes:
                for text in _restore_matching(session, built, prefix):
                    warn(text)
            else:
                saver_def = built.saver.saver_def
                session.run(saver_def.restore_op_name, {saver_def.filename_tensor_name: prefix})
            if built.tables is not None:
                table_modes = [m for m in modes if m in ("pad", "truncate", "reset-state")]
                table_modes += [] if "drop-tables" in modes else ["known-tables"]
                for text in built.tables.restore(session, assets_dir(prefix), table_modes):
                    warn(text)
        except (tf.errors.OpError, Error) as e:
            raise _restore_error(prefix, e) from e
        return state

    def save(self, session, built, state: State) -> str:
        """Writes a whole checkpoint and deletes old ones; returns its prefix. Raises IoError; the old ones stay then."""
        import tensorflow as tf

        def write(prefix: str, kind: str) -> dict[str, int]:
            counts = {}
            if built.tables is not None:
                built.tables.save(session, assets_dir(prefix), kind)
                saved = saved_counts(assets_dir(prefix))
                counts = built.tables.sizes(session) if saved is None else saved
            saver_def = built.saver.saver_def
            session.run(saver_def.save_tensor_name, {saver_def.filename_tensor_name: prefix})
            return counts

        try:
            return self.publish(state, write)
        except (tf.errors.OpError, BadDataError) as e:
            raise self.cannot_write(state, _core_text(e)) from e


def _restore_matching(session, built, prefix: str) -> list[str]:
    """Restores the variables that the checkpoint has in the same shape; the others keep their initial value."""
    import tensorflow as tf

    shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
    with built.graph.as_default():
        variables = {v.op.name: v for v in tf.compat.v1.global_variables()}
        matching = {n: v for n, v in variables.items() if shapes.get(n) == v.shape.as_list()}
        if matching:
            tf.compat.v1.train.Saver(matching).restore(session, prefix)
    return [f"variable {n!r} starts afresh: the checkpoint has it " + (f"in shape {shapes[n]}" if n in shapes else "not")
            for n in sorted(set(variables) - set(matching))]


def _core_text(error: Exception) -> str:
    """What an error of a session says, without names of nodes."""
    from monolith_cli.model.errors import short_message
    from monolith_cli.tables.graph import unwrap_error

    return str(unwrap_error(error) or short_message(error))


def _restore_error(prefix: str, error: Exception) -> Error:
    import tensorflow as tf

    from monolith_cli.model.errors import short_message
    from monolith_cli.tables.graph import unwrap_error

    known = unwrap_error(error) if isinstance(error, tf.errors.OpError) else error
    if isinstance(known, ConfigError):
        hint = "" if "restore mode" in str(known) else _mode_hint(str(known))
        return ConfigError(f"{prefix}: {known}{hint}")
    if known is not None:
        return BadDataError(f"{prefix}: damaged: {known}")
    text = short_message(error)
    changed = isinstance(error, tf.errors.InvalidArgumentError) and "shape" in text.lower()
    changed = changed or (isinstance(error, tf.errors.NotFoundError) and "not found in checkpoint" in text)
    if changed:
        return ConfigError(
            f"{prefix}: written by another network than this model ({text}); give the model it was trained with, train into a "
            "new --model-dir, or let the dense variables that differ start afresh: --restore-mode reset-dense"
        )
    return BadDataError(f"{prefix}: damaged: {text}")


def _mode_hint(message: str) -> str:
    """What to do about a row or a table that does not fit."""
    if "is configured with" in message:
        return "; --restore-mode pad, truncate or reset-state takes what fits"
    return "; --restore-mode drop-tables leaves it out" if "it can be left out" in message else ""
