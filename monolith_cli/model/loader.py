"""Model files: FILE.py:CLASS -> the class."""

from __future__ import annotations

import importlib.util
import os
import sys

from monolith_cli.errors import NoInputError, UsageError
from monolith_cli.model.errors import ModelError, suggestion, user_code


def split_model_spec(spec: str) -> tuple[str, str]:
    """`FILE.py:CLASS` -> (absolute path, class name or ""). Raises UsageError, NoInputError."""
    path, colon, name = spec.rpartition(":")
    if not colon:
        path, name = spec, ""
    if not path.endswith(".py"):
        raise UsageError(f"--model {spec}: expected FILE.py:CLASS, for example movie.py:MovieRanking")
    if not os.path.isfile(path):
        raise NoInputError(f"--model {spec}: no such file: {path}")
    return os.path.abspath(path), name


def load_model(spec: str):
    """The model object that `FILE.py:CLASS` names; its `model_file` is the path.

    CLASS may be left out where the file defines one model alone. Raises UsageError for a class that is not there, and
    ModelError (FILE:LINE: message) when the file does not load.
    """
    path, name = split_model_spec(spec)
    module = _load_module(path)
    cls = _find_class(module, path, name)
    with user_code(path, f"{cls.__name__}()"):
        model = cls()
    if not getattr(model, "_initialized", False):
        raise ModelError(f"{path}: {cls.__name__}.__init__ does not call super().__init__()")
    model.model_file = path
    return model


def _load_module(path: str):
    name = "monolith_model_" + os.path.splitext(os.path.basename(path))[0]
    loader_spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(loader_spec)
    sys.modules[name] = module
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        with user_code(path, "import"):
            loader_spec.loader.exec_module(module)
    except ModelError as e:
        cause = e.__cause__
        if isinstance(cause, SyntaxError):
            located = ModelError(f"{cause.filename}:{cause.lineno}: {type(cause).__name__}: {cause.msg}")
            located.located = True
            raise located from cause
        raise
    return module


def _find_class(module, path: str, name: str):
    from monolith_cli.model.model import MonolithModel

    models = {
        k: v
        for k, v in vars(module).items()
        if isinstance(v, type) and issubclass(v, MonolithModel) and v.__module__ == module.__name__
    }
    if not name:
        if len(models) == 1:
            return next(iter(models.values()))
        raise UsageError(f"--model {path}: name one class, FILE.py:CLASS; the file has {', '.join(models) or 'no model'}")
    found = getattr(module, name, None)
    if found is None:
        raise UsageError(
            f"--model {path}:{name}: no class {name} in this file; it has {', '.join(models) or 'no model'}"
            + suggestion(name, models)
        )
    if not (isinstance(found, type) and issubclass(found, MonolithModel)):
        raise UsageError(f"--model {path}:{name}: {name} is not a subclass of MonolithModel")
    return found
