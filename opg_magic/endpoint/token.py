"""The token that a client of the endpoint must have: made at the start, or the user's own."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from opg_magic.errors import ConfigError
from opg_magic.models.secret import Secret
from opg_magic.settings import environment

VARIABLE = "OPG_SERVE_TOKEN"
#: Long enough that nobody guesses it, and fit for a header and a shell.
_FORM = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}", re.ASCII)
_MAX_FILE = 4096


@dataclass(frozen=True, slots=True)
class Token:
    """The token, and what a shell writes to get it again without showing it; None where it was
    made just now and stands nowhere."""

    secret: Secret[str]
    shell: str | None = None


def token_of(file: Path | None) -> Token:
    """The token of ``file``, which is made if need be; else of ``OPG_SERVE_TOKEN``; else a new one.

    Raises ConfigError if the file can be read by others, or holds no token."""
    if file is not None:
        return Token(_of_file(file), f'"$(cat {_quoted(file)})"')
    held = environment.secret(VARIABLE)
    if held is not None:
        return Token(_checked(held, VARIABLE), f'"${VARIABLE}"')
    return Token(_new())


def _new() -> Secret[str]:
    return Secret(f"opg-{secrets.token_urlsafe(32)}")


def _of_file(file: Path) -> Secret[str]:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(file)
    except OSError as problem:
        raise ConfigError(f"{file} cannot be written: {problem.strerror}.") from None
    made = _new()
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(made.reveal() + "\n")
    return made


def _read(file: Path) -> Secret[str]:
    try:
        found = file.stat()
        if os.name == "posix" and found.st_mode & 0o077:
            raise ConfigError(f"{file} can be read by others.", hint=f"chmod 600 {_quoted(file)}")
        if found.st_size > _MAX_FILE:
            raise ConfigError(f"{file} is too large for a token.")
        held = Secret(file.read_text("ascii", "replace").strip())
    except OSError as problem:
        raise ConfigError(f"{file} cannot be read: {problem.strerror}.") from None
    return _checked(held, str(file))


def _checked(held: Secret[str], where: str) -> Secret[str]:
    if not _FORM.fullmatch(held.reveal()):
        raise ConfigError(
            f"{where} holds no token: 32 to 512 letters, digits and . _ ~ + / = - are needed.",
            hint="Name a file that does not exist: opg serve --token-file makes it.",
        )
    return held


def _quoted(file: Path) -> str:
    import shlex

    return shlex.quote(str(file))
