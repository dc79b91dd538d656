"""``opg``: the same engine from a shell.  Each command is a file of this room, with an ``add``.

Exit codes: 0 done, 1 a check failed or a call was refused, 2 unreadable input or wrong usage, 3 not
enough to say, 4 the program itself failed (a broken installation, a full disk, a bug): nothing was
judged, 5 good but for calls that failed when they were made, as their receipts say, 130 stopped by
Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from opg_magic import __version__, errors
from opg_magic.display import output
from opg_magic.settings import interrupt
from opg_magic.shell import (
    ask,
    audit_model,
    chat,
    doctor,
    ledger,
    login,
    map,
    models,
    network,
    payments,
    receipts,
    serve,
    settings,
    verify,
    wallet,
)
from opg_magic.shell.common import in_a_shell
from opg_magic.shell.parser import Parser

Handler = Callable[[argparse.Namespace], int]

_COMMANDS = (
    verify,
    ask,
    map,
    chat,
    receipts,
    ledger,
    models,
    audit_model,
    network,
    settings,
    payments,
    wallet,
    login,
    serve,
    doctor,
)

#: Exit code of a failure of the program itself, which is never one of a check.
BROKEN = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; print expected failures as one short paragraph on stderr."""
    interrupt.begin()
    code: int | None = None
    try:
        try:
            code = _run(argv)
        finally:
            _close_session()
        return code
    except KeyboardInterrupt:  # also a second one, while the session is being closed
        return interrupt.INTERRUPTED
    except Exception:
        # Modules whose import was interrupted may close nothing.
        if code is None:
            return interrupt.INTERRUPTED
        raise
    finally:
        interrupt.end()


def _run(argv: Sequence[str] | None) -> int:
    output.never_fails(sys.stdout, sys.stderr)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["attestation"]:
        from opg_magic.shell.attestation import command

        return command(arguments[1:])
    if arguments[:1] == ["simnet"]:
        return _simnet(arguments[1:])
    options = parser().parse_args(arguments)
    handler: Handler = options.handler
    try:
        code = handler(options)
        # Here, not while Python ends: a closed pager must not end in a traceback.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except (errors.UnreadableReceipt, errors.ConfigError, errors.PromptError) as problem:
        return _complain(problem, 2)
    except errors.InstallationError as problem:
        return _complain(problem, BROKEN)
    except errors.OpgError as problem:
        # 1 is a verdict for `opg verify` and `opg audit-model`, and this is none.
        code = BROKEN if getattr(options, "judges", False) else getattr(options, "undecided", 1)
        return _complain(problem, code)
    except errors.CallInterrupted as stopped:
        return _complain(stopped, interrupt.INTERRUPTED)
    except BrokenPipeError:
        output.nobody_reads()
        return 0
    except ModuleNotFoundError as problem:
        hint = "Install it, or opg_magic again: pip install --force-reinstall opg_magic"
        return _complain(
            errors.InstallationError(f"The module {problem.name} is missing.", hint=hint), BROKEN
        )
    except Exception:
        return _broke()


def _close_session() -> None:
    session = sys.modules.get("opg_magic.call.session")
    if session is not None:
        session.close_current_session()


def _broke() -> int:
    """Say that the program itself failed, and where."""
    import traceback

    traceback.print_exc()
    print(
        "\nopg itself failed. Nothing was checked, and this says nothing about the file.",
        file=sys.stderr,
    )
    return BROKEN


def _complain(problem: Any, code: int) -> int:
    print(in_a_shell("\n".join(problem._render_traceback_())), file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """All commands; each stands in a file of its own."""
    whole = Parser(
        prog="opg",
        description="Ask AI models, pay for each call, verify every answer and keep its receipt.",
    )
    whole.add_argument(
        "--version",
        action="version",
        version=f"opg_magic {__version__}",
        help="print the version and exit",
    )
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for one in _COMMANDS:
        one.add(commands)
    commands.add_parser(
        "simnet", help="control the simulated network: up, status, down, cheat", add_help=False
    )
    commands.add_parser("attestation", help="check a Nitro attestation document", add_help=False)
    return whole


def _simnet(arguments: list[str]) -> int:
    import subprocess

    from opg_magic.network import simnet_client

    command, environ = simnet_client.launcher(), simnet_client.clean_environment()
    return subprocess.call([*command, *arguments], env=environ)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
