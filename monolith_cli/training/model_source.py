"""Where a command takes its model from: `FILE.py:CLASS`, or a ModelDump."""

from __future__ import annotations

import os

from monolith_cli.errors import NoInputError


def is_dump(spec: str) -> bool:
    """Whether `--model SPEC` names a ModelDump, rather than a model file. Raises NoInputError for a file that is not there."""
    if spec.endswith(".py") or ".py:" in spec or (":" in spec and not os.path.exists(spec)):
        return False
    if not os.path.isfile(spec):
        found = "is a directory" if os.path.isdir(spec) else "no such file"
        raise NoInputError(f"--model {spec}: {found}; name FILE.py:CLASS, as movie.py:MovieRanking, or a file that model-show --dump has written")
    return True


def load(spec: str):
    """The model object; its `model_file` is the path. Raises UsageError, NoInputError, ModelError, BadDataError."""
    if is_dump(spec):
        from monolith_cli.training import replay

        return replay.load(spec)
    from monolith_cli.model.loader import load_model

    return load_model(spec)
