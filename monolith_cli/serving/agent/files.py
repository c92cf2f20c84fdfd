"""Files that others read while the agent writes them."""

from __future__ import annotations

import os
import tempfile

from monolith_cli import errors


def write_whole(path: str, text: str) -> None:
    """Writes a file that appears whole or not at all. CannotCreateError names it."""
    folder = os.path.dirname(os.path.abspath(path))
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=folder, prefix=".", suffix=".part", delete=False) as f:
            temporary = f.name
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(temporary, 0o644)
        os.rename(temporary, path)
    except OSError as e:
        if temporary:
            os.unlink(temporary)
        raise errors.CannotCreateError(f"{path}: {e.strerror}") from None
