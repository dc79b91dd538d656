"""``opg serve``: verified calls for programs that speak OpenAI's API."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ConfigError
from opg_magic.models import arguments
from opg_magic.shell.common import add_network, in_a_shell, session

if TYPE_CHECKING:
    from opg_magic.call.state import CallOptions
    from opg_magic.endpoint.token import Token

#: Where it listens unless told otherwise: always the same, so that programs keep their settings.
PORT = 8402


def add(commands: Any) -> None:
    """The command."""
    serve = commands.add_parser(
        "serve", help="give programs that use OpenAI's API verified answers, on this machine"
    )
    serve.add_argument(
        "--port",
        type=int,
        default=PORT,
        metavar="N",
        help=f"use this port ({PORT}); 0: any that is free",
    )
    serve.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS", help="use this loopback address"
    )
    serve.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="read the token from this file, or make both; else OPG_SERVE_TOKEN, else a new token",
    )
    serve.add_argument(
        "--strict",
        action="store_true",
        help="keep an answer back until all its checks have passed",
    )
    add_network(serve)
    serve.add_argument(
        "--route", choices=arguments.ROUTES, help="use the direct or the private route"
    )
    serve.add_argument(
        "--policy", choices=arguments.POLICIES, help="use this policy, if it is stricter than yours"
    )
    serve.add_argument("--host", metavar="ID", help="ask only this host")
    serve.add_argument("--max-cost", metavar="C", help="refuse a call whose cap exceeds C OPG")
    serve.add_argument("--timeout", type=float, metavar="S", help="end a call after S seconds")
    serve.set_defaults(handler=_serve)


def _serve(options: argparse.Namespace) -> int:
    from opg_magic.endpoint.app import Manner
    from opg_magic.endpoint.listening import Endpoint
    from opg_magic.endpoint.token import token_of
    from opg_magic.network.background import Stopped

    if not 0 <= options.port <= 65535:
        raise ConfigError(f"--port must be from 0 to 65535, not {options.port}.")
    call = _call_options(options)
    token = token_of(options.token_file)
    _refuse_to_write_down(token)
    here = session(options)
    manner = Manner(call, options.strict, in_a_shell, _tell)
    endpoint = Endpoint(here, manner, token, bind=options.bind, port=options.port)
    # Here, not with the first request: what is missing is said at once.
    engine = here.engine(call)
    here.by_id(call)
    here.run(endpoint.start())
    _introduce(endpoint.base_url, token, engine.network.title, engine.route.name)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        here.loop().run(lambda _emit: endpoint.wait())
    except Stopped as stopped:
        print("Stopped.", file=sys.stderr)
        return 0 if stopped.ended else 130
    return 0


def _call_options(options: argparse.Namespace) -> CallOptions:
    from opg_magic.call.state import CallOptions

    return CallOptions(
        host=options.host,
        max_cost=None
        if options.max_cost is None
        else arguments.opg("--max-cost", options.max_cost),
        policy=options.policy,
        timeout=options.timeout,
        route=options.route,
    )


def _refuse_to_write_down(token: Token) -> None:
    """A new token is shown on a terminal alone: elsewhere it would stay, in a log."""
    if token.shell is None and not (sys.stdout is not None and sys.stdout.isatty()):
        raise ConfigError(
            "The output is not a terminal, so the token would be written down there.",
            hint="Use --token-file FILE, or set OPG_SERVE_TOKEN.",
        )


def _introduce(base_url: str, token: Token, network: str, route: str) -> None:
    shown = token.shell if token.shell is not None else token.secret.reveal()
    print(
        f"Serving verified calls: {network}, {route} route. Ctrl-C stops.\n\n"
        f"  export OPENAI_BASE_URL={base_url}\n"
        f"  export OPENAI_API_KEY={shown}\n",
        flush=True,
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
