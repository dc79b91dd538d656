"""Ctrl-C while a command starts: it ends without a word, exit code 130.

``opg`` spends its first moments importing: nothing can be lost there, and Python would print a
traceback.  In a kernel, or in a program that imports this package, it does nothing."""

from __future__ import annotations

# Of builtin modules alone: ``signal`` would import ``enum`` first.
import _signal  # type: ignore[import-not-found]
import os
import sys

#: Exit code of whatever Ctrl-C ended.
INTERRUPTED = 130

#: The modules that are commands.
_COMMANDS = ("opg_magic.shell.main", "opg_magic.simnet")


def begin() -> None:
    """The imports are done, and there is something to end: Ctrl-C raises KeyboardInterrupt."""
    if _on:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def end() -> None:
    """The command is done: nothing is left that Ctrl-C could do but end what Python still does."""
    if _on:
        _signal.signal(_signal.SIGINT, _end)


def _end(*_: object) -> None:
    os._exit(INTERRUPTED)


def _is_command() -> bool:
    """Whether ``python -m`` runs a command, or the script whose only import is a command's."""
    if sys.argv[:1] == ["-m"]:  # so it is until the module has been found
        given = sys.orig_argv
        return "-m" in given and given[given.index("-m") + 1] in _COMMANDS
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == "__main__":
            return any(one in frame.f_code.co_names for one in _COMMANDS)
    return False


#: Whether this process is a command.  One that was told to ignore Ctrl-C (``nohup``) goes on to.
_on = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler and _is_command()
if _on:
    _signal.signal(_signal.SIGINT, _end)
