"""What is piped into ``opg ask``: the prompt, or a file ``-`` beside it.

A prompt that stands on the command line takes no other text along unasked: a shell that reads a
script from a pipe, as in a ``%%bash`` cell, hands each command the rest of that script."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence

from opg_magic.cells.context import MOST_BYTES
from opg_magic.errors import ConfigError, PromptError


def read(prompt: str | None, files: Sequence[str]) -> tuple[str, bytes | None]:
    """Return the prompt, and the bytes of the file ``-`` (None: there is none).

    Raises ConfigError where nothing says what to ask, and PromptError for a prompt that is no
    text."""
    if "-" in files:
        if prompt in (None, "-") or list(files).count("-") > 1:
            raise ConfigError(
                "Standard input can be the prompt or one file, not both. Nothing was sent.",
                hint="Give the prompt: opg ask PROMPT --file -",
            )
        assert prompt is not None
        return prompt, _bytes()
    if prompt is None and (sys.stdin is None or sys.stdin.isatty()):
        raise ConfigError(
            "There is no prompt. Nothing was sent.",
            hint="opg ask PROMPT, or pipe it in: echo PROMPT | opg ask",
        )
    if prompt in (None, "-"):
        return _text(), None
    assert prompt is not None
    if _waits():
        print("Standard input is not sent. To send it after the prompt: --file -", file=sys.stderr)
    return prompt, None


def _text() -> str:
    try:
        return "" if sys.stdin is None else sys.stdin.read()
    except UnicodeDecodeError:
        raise PromptError(
            f"The prompt on standard input is not {sys.stdin.encoding} text. Nothing was sent.",
            hint="Set the shell's encoding, or PYTHONIOENCODING, to that of the text.",
        ) from None


def _bytes() -> bytes:
    """As much as may be sent, and a byte more: that is too much."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(MOST_BYTES + 1)


def _waits() -> bool:
    """Whether a pipe holds text that nobody reads."""
    import select

    try:
        pipe = sys.stdin.fileno()
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            return False
        ready = select.select([pipe], [], [], 0)[0]
        return bool(ready) and _held(pipe) > 0
    except (OSError, ValueError, AttributeError, ImportError):  # not everywhere
        return False


def _held(pipe: int) -> int:
    """How many bytes stand in a pipe; a pipe that ended is ready as well, and holds none."""
    import fcntl
    import struct
    import termios

    told = fcntl.ioctl(pipe, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", told)[0])
