"""The ``OPG_…`` variables as they were when the process started.

A notebook can write to its kernel's environment (``%env``, ``os.environ``), and a notebook may be a
stranger's: that must not loosen limits, pins or RPCs, nor move the folder in which the ledger is.
So the variables count as they stood at the start.  In a kernel that is the environment that the
process was given, where the system tells it (Linux); elsewhere, and in programs, it is that of the
moment when this package was first imported.

Two things are read from the environment as it is now: what tightens a setting, and
``OPG_KEYSTORE_PASSWORD``, which only opens the user's own keystore to whoever knows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from opg_magic.models.secret import Secret

PREFIX = "OPG_"
HOME = "OPG_HOME"
PASSWORD = "OPG_KEYSTORE_PASSWORD"  # noqa: S105 - the variable's name

_AS_STARTED = Path("/proc/self/environ")


def get(name: str) -> str | None:
    """Return the value that a variable had at the start; None if it was not set, or empty."""
    return _start.get(name)


def secret(name: str) -> Secret[str] | None:
    """Return the same for a key.  No local variable holds it: a traceback would print it."""
    return _start.secret(name)


def password() -> Secret[str] | None:
    """Return the keystore's password, as it is now; None if it is not set."""
    return Secret(os.environ[PASSWORD]) if os.environ.get(PASSWORD) else None


def now(name: str) -> str | None:
    """Return the value that a variable has now: to be used only if it tightens."""
    return os.environ.get(name) or None


def home() -> Path | None:
    """Return ``OPG_HOME``, made absolute at the start: ``os.chdir`` does not move the ledger."""
    text = get(HOME)
    return None if text is None else Path(_absolute(text))


def pass_on() -> None:
    """Give the processes that this one starts the absolute ``OPG_HOME``: kernels work in their
    notebooks' folders."""
    if (folder := home()) is not None:
        os.environ[HOME] = str(folder)


def changed() -> list[str]:
    """Return the names of variables that were set, changed or removed since the start, sorted."""
    names = {
        name
        for name in (*_start.names(), *os.environ)
        if name.startswith(PREFIX) and name != PASSWORD
    }
    return sorted(name for name in names if _start.differs(name))


def forget(name: str) -> None:
    """Drop what is held of a variable: the simulated network holds nobody's key."""
    _start.forget(name)


class Start:
    """The variables at the start of this process.  ``live``: a mapping to look into instead, for
    tests."""

    def __init__(self, variables: Mapping[str, str], *, live: bool = False) -> None:
        self.live = live
        self._live = variables if live else {}
        # Each in a wrapper, for one of them is a key.
        self._held = (
            {}
            if live
            else {k: Secret(v) for k, v in variables.items() if k.startswith(PREFIX) and v}
        )
        self._given_home = variables.get(HOME)
        if HOME in self._held:
            self._held[HOME] = Secret(_absolute(self._held[HOME].reveal()))

    def get(self, name: str) -> str | None:
        """Return a variable's value, None if it was not set."""
        found = self.secret(name)
        return None if found is None else found.reveal()

    def secret(self, name: str) -> Secret[str] | None:
        """Return a variable's value as a secret, None if it was not set."""
        if self.live:
            return Secret(self._live[name]) if self._live.get(name) else None
        return self._held.get(name)

    def names(self) -> list[str]:
        """Return the names of the variables held."""
        return list(self._live if self.live else self._held)

    def differs(self, name: str) -> bool:
        """Return whether a variable has another value now."""
        held = self.secret(name)
        if name == HOME and held is not None:
            return now(name) not in (held.reveal(), self._given_home)
        return held != (None if now(name) is None else Secret(os.environ[name]))

    def forget(self, name: str) -> None:
        """Drop what is held of a variable."""
        self._held.pop(name, None)


def start_from(variables: Mapping[str, str]) -> None:
    """Take ``variables`` for those of the start, looked into each time: the tests' way in."""
    global _start
    _start = Start(variables, live=True)


def _as_started() -> Mapping[str, str]:
    """The environment that this process was given, if it is a kernel and the system tells; else the
    present one."""
    if not _in_ipython():
        return os.environ
    try:
        raw = _AS_STARTED.read_bytes()
    except OSError:
        return os.environ
    pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if b"=" in entry)
    given = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs if name}
    # A program that renames itself writes over this memory: then nothing of it can be believed.
    return given if given.keys() & os.environ.keys() - {PASSWORD} else os.environ


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - Path.absolute keeps what ".." means


def _in_ipython() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


_start = Start(_as_started())
