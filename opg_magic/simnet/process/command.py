"""The command line of the simulated network: ``opg simnet COMMAND``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from opg_magic.display import output
from opg_magic.errors import OpgError, SimnetError
from opg_magic.network import simnet_client, simnet_model
from opg_magic.settings import interrupt

if TYPE_CHECKING:
    from opg_magic.simnet.payment.terms import Terms


_HOST = "its name, or the beginning of its ID"


def parser() -> argparse.ArgumentParser:
    """The command line, for this module and for ``opg simnet``."""
    top = argparse.ArgumentParser(
        prog="opg simnet", description="The simulated network of this installation."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the network in the background, if it is not running")
    up.add_argument(
        "--timeout", type=float, default=60.0, help="seconds to wait until it answers (default: 60)"
    )
    serve = commands.add_parser("serve", help="run the network in the foreground")
    for command in (up, serve):
        _add_settings(command)

    status = commands.add_parser("status", help="show what is running")
    status.add_argument("--json", action="store_true", help="print one JSON object")
    commands.add_parser("down", help="stop the network")

    cheat = commands.add_parser("cheat", help="make a host lie")
    cheat.add_argument("host", help=_HOST)
    cheat.add_argument(
        "mode", help="how it lies (list: opg simnet cheats); off makes it honest again"
    )
    commands.add_parser("cheats", help="list the ways a host can lie")

    commands.add_parser("settle", help="settle open payments and commit the collected hashes now")

    restart = commands.add_parser(
        "restart", help="make a host forget its payment sessions, as a restart does"
    )
    restart.add_argument("host", help=_HOST)

    registry = commands.add_parser("registry", help="change a host's entry in the registry")
    registry.add_argument("host", help=_HOST)
    registry.add_argument(
        "action", choices=["disable", "enable", "revoke", "approve", "silence", "heartbeat"]
    )
    return top


def _add_settings(command: argparse.ArgumentParser) -> None:
    """What can be set of a network that starts."""
    answers = command.add_mutually_exclusive_group()
    answers.add_argument(
        "--model", metavar="FILE.gguf", help="answer with the model in this file, on this machine"
    )
    answers.add_argument("--scripted", action="store_true", help="answer with a script")
    answers.add_argument(
        "--upstream", metavar="URL", help="forward to this OpenAI-compatible server"
    )
    command.add_argument(
        "--token-delay",
        type=float,
        default=0.015,
        metavar="S",
        help="seconds between the scripted model's tokens",
    )
    command.add_argument(
        "--terms",
        metavar="NAME",
        help="payment terms that hosts offer: april (the default), 2026-07 or dev8",
    )
    command.add_argument("--cap", metavar="OPG", help="use this cap instead of the terms' own")
    command.add_argument(
        "--deadline", type=int, metavar="S", help="use this deadline instead of the terms' own"
    )
    command.add_argument(
        "--settle-idle",
        type=float,
        metavar="S",
        help="settle sessions after this many idle seconds",
    )
    command.add_argument(
        "--pace", type=float, metavar="N", help="make sessions age N times as fast"
    )
    command.add_argument(
        "--idle-exit", type=float, metavar="S", help="stop this long after the last client leaves"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code.  Expected failures are one short message on standard error,
    exit code 1.  Ctrl-C ends it quietly."""
    interrupt.begin()
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return interrupt.INTERRUPTED
    finally:
        interrupt.end()


def _run(argv: Sequence[str] | None) -> int:
    output.never_fails(sys.stdout, sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        code = _COMMANDS[arguments.command](arguments)
        # Here, not while Python ends: a pager that was closed is no traceback.
        sys.stdout.flush()
        return code
    except OpgError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        output.nobody_reads()
        return 0


# ------------------------------------------------------------------------------ one command each


def _serve(arguments: argparse.Namespace) -> int:
    from opg_magic.simnet.process import supervisor

    idle = supervisor.IDLE_SECONDS if arguments.idle_exit is None else arguments.idle_exit
    code = supervisor.serve(
        idle_seconds=idle,
        choice=chosen(arguments),
        token_delay=arguments.token_delay,
        terms=terms_of(arguments),
        settle_idle=arguments.settle_idle,
        pace=1.0 if arguments.pace is None else arguments.pace,
    )
    if code == supervisor.ALREADY and sys.stderr.isatty():
        print("The simulated network is already running.", file=sys.stderr)
    return code


def _up(arguments: argparse.Namespace) -> int:
    from opg_magic.simnet.process import supervisor

    terms = terms_of(arguments)
    choice = chosen(arguments)
    if choice.weights is not None and simnet_client.read_state() is None:
        from opg_magic.simnet.model.local import examine

        # Here too: whoever waits gets the reason, not the end of a log.
        examine(choice.weights)
    state = supervisor.up(timeout=arguments.timeout, arguments=serve_flags(arguments))
    running = simnet_client.control(state, "GET", "/status")
    if _named(arguments) and running["answers"] != list(choice.flags):
        raise SimnetError(
            f"The simulated network already runs with another model: {running['model']}.",
            hint="End it first: opg simnet down",
        )
    if terms is not None and running["terms"] != asdict(terms):
        raise SimnetError(
            f"The simulated network already runs with other terms: {running['terms']['name']}.",
            hint="End it first: opg simnet down",
        )
    _print_status(running)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    status = simnet_client.status()
    if arguments.json:
        print(json.dumps(status, indent=2))
    elif status is None:
        print("The simulated network is not running.  Start it with: opg simnet up")
        _offer(())
    else:
        _print_status(status)
    return 0 if status is not None else 1


def _down(arguments: argparse.Namespace) -> int:
    ended = simnet_client.down()
    print("The simulated network has ended." if ended else "The simulated network was not running.")
    return 0


def _cheat(arguments: argparse.Namespace) -> int:
    answer = simnet_client.cheat(arguments.host, arguments.mode)
    print(f"{answer['host']} {answer['says']}.")
    return 0


def _cheats(arguments: argparse.Namespace) -> int:
    from opg_magic.display import columns
    from opg_magic.simnet.cheats.modes import MODES

    rows = [(mode, cheat.says) for mode, cheat in MODES.items()]
    print(columns.table(rows, columns.line_width(), wraps=True))
    return 0


def _restart(arguments: argparse.Namespace) -> int:
    answer = simnet_client.restart(arguments.host)
    print(
        f"{answer['host']} has restarted: {_count(answer['lost'], 'open session')} forgotten, "
        f"never collected."
    )
    return 0


def _settle(arguments: argparse.Namespace) -> int:
    done = simnet_client.settle()
    print(f"{_count(done['transactions'], 'payment')} settled.")
    print(f"{_count(done['batches'], 'batch', 'batches')} committed.")
    return 0


def _registry(arguments: argparse.Namespace) -> int:
    _print_status(simnet_client.registry(arguments.host, arguments.action))
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "serve": _serve,
    "status": _status,
    "down": _down,
    "cheat": _cheat,
    "cheats": _cheats,
    "settle": _settle,
    "restart": _restart,
    "registry": _registry,
}


# ----------------------------------------------------------------------- flags, what is printed


def chosen(arguments: argparse.Namespace) -> simnet_model.Choice:
    """Who is to answer, by the flags, the environment, and what is here.  Raises SimnetError if the
    runtime that a flag needs is missing."""
    return simnet_model.choose(
        upstream=arguments.upstream, model=arguments.model, scripted=arguments.scripted
    )


def _named(arguments: argparse.Namespace) -> bool:
    return bool(arguments.upstream or arguments.model or arguments.scripted)


def terms_of(arguments: argparse.Namespace) -> Terms | None:
    """The terms that the flags ask for; None where they name none.  Raises SimnetError for
    nonsense."""
    from opg_magic.models import parse_units
    from opg_magic.models.networks import OPG_DECIMALS
    from opg_magic.simnet.payment.terms import DEFAULT, terms_named

    if arguments.pace is not None and not 0 < arguments.pace <= 1_000_000:
        raise SimnetError("--pace must be a number above 0.")
    if arguments.terms is None and arguments.cap is None and arguments.deadline is None:
        return None
    try:
        cap = None if arguments.cap is None else parse_units(arguments.cap, OPG_DECIMALS)
    except ValueError:
        raise SimnetError(
            f"--cap must be an amount of OPG, such as 0.05, not {arguments.cap!r:.40}"
        ) from None
    return terms_named(arguments.terms or DEFAULT, cap=cap, deadline=arguments.deadline)


def serve_flags(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The flags of ``serve`` that mean the same as those of ``up``."""
    flags = ["--token-delay", str(arguments.token_delay), *chosen(arguments).flags]
    for name in ("terms", "cap", "deadline", "settle_idle", "pace", "idle_exit"):
        value = getattr(arguments, name)
        if value is not None:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    return tuple(flags)


def _count(things: list[Any] | int, one: str, many: str | None = None) -> str:
    number = things if isinstance(things, int) else len(things)
    return f"{number} {one if number == 1 else many or one + 's'}"


def _print_status(status: dict[str, Any]) -> None:
    from opg_magic.models import format_units
    from opg_magic.models.networks import OPG_DECIMALS

    terms = status["terms"]
    print(
        f"Simulated network, run {status['run_id']}, process {status['pid']}, model: "
        f"{status['model']}"
    )
    cap = format_units(terms["cap"], OPG_DECIMALS)
    faster = f", {status['pace']:g} times as fast" if status["pace"] != 1 else ""
    print(
        f"Terms: {terms['name']} (cap {cap} sim-OPG, deadline {terms['deadline']} s,"
        f" idle {status['settle_idle']:g} s{faster})"
    )
    if status["answers"] == list(simnet_model.Choice().flags):
        print(simnet_model.how_to_get_a_real_one())
    _offer(status["answers"])
    for host in status["hosts"]:
        standing = "active" if host["active"] else "not active"
        conduct = "honest" if host["cheat"] == "off" else f"{host['cheat']}: {host['says']}"
        print(
            f"  {host['name']:<8} {host['tee_id'][:10]}…  {host['endpoint']}  {standing}, {conduct}"
        )


def _offer(used: Sequence[str]) -> None:
    """Name the servers on this machine that could answer, but for the one in use."""
    for server in simnet_model.servers():
        if server.url not in used:
            models = f" ({', '.join(server.models[:3])})" if server.models else ""
            print(f"{server.name} runs here{models}: opg simnet up --upstream {server.url}")
