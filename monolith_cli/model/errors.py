"""Mistakes in a model file, told with the line that made them."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Iterable
from contextlib import contextmanager

from monolith_cli.errors import ConfigError, Error

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = ("Arguments received by", "Exception encountered when calling", "Call arguments received", "in user code:")


class ModelError(ConfigError, ValueError):
    """The model file asks for something that cannot be; the message names it. `located` once it carries FILE:LINE."""

    located = False


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for a near name, else nothing."""
    near = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def short_message(error: BaseException) -> str:
    """The part of an exception's text that tells a person something, on one line."""
    if isinstance(error, KeyError) and error.args:
        text = f"key {error.args[0]!r} not found"
    else:
        text = str(getattr(error, "message", None) or error)
    lines = []
    for line in _ANSI.sub("", text).splitlines():
        line = line.strip()
        if line.startswith(_NOISE[0]):
            break
        if line and not line.startswith(_NOISE) and not line.startswith(("File ", "Traceback", "[[{{")):
            lines.append(line)
    return " ".join(lines[:3])[:500] or type(error).__name__


def user_line(frames: Iterable[traceback.FrameSummary], path: str) -> traceback.FrameSummary | None:
    """The innermost frame that lies in the model file."""
    found = [f for f in frames if f.filename == path]
    return found[-1] if found else None


@contextmanager
def user_code(path: str, what: str):
    """Runs code of the model file: every exception leaves as a ModelError that starts with FILE:LINE."""
    try:
        yield
    except ConfigError as e:
        if getattr(e, "located", False):
            raise
        _raise_located(e, path, what, str(e))
    except Error:
        raise
    except Exception as e:
        kind = "" if type(e).__module__.startswith("tensorflow") else f"{type(e).__name__}: "
        _raise_located(e, path, what, kind + short_message(e))


def _raise_located(error: Exception, path: str, what: str, message: str):
    frame = user_line(traceback.extract_tb(error.__traceback__), path)
    where = f"{path}:{frame.lineno}" if frame else path
    code = f" (in {what}: {frame.line})" if frame and frame.line else f" (in {what})"
    located = ModelError(f"{where}: {message}{code}")
    located.located = True
    raise located from error
