"""Files that only their owner may read, written beside their place and then moved there whole."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write a file of mode 0600, over the one before it.  A crash leaves the old file or the new.

    Raises OSError."""
    beside = _written(path, text)
    try:
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def create(path: Path, text: str) -> None:
    """Write a new file of mode 0600.  Raises FileExistsError if there is one, which stays as it is;
    OSError."""
    beside = _written(path, text)
    try:
        # Unlike a move, link() never overwrites.
        os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside
