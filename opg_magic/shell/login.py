"""``opg login``, ``opg logout`` and ``opg whoami``: the sign-in of the private route."""

from __future__ import annotations

import argparse
from typing import Any

from opg_magic.shell.common import add_network, in_a_shell, session


def add(commands: Any) -> None:
    """The commands."""
    login = commands.add_parser("login", help="sign in at a relay, for calls without a wallet")
    login.add_argument(
        "--no-browser", action="store_true", help="show the address; paste what the page shows"
    )
    add_network(login)
    login.set_defaults(handler=_login)
    logout = commands.add_parser("logout", help="delete the sign-in from this machine")
    add_network(logout)
    logout.set_defaults(handler=_logout)
    whoami = commands.add_parser("whoami", help="show who is signed in, at which relay, until when")
    add_network(whoami)
    whoami.set_defaults(handler=_whoami)


def _login(options: argparse.Namespace) -> int:
    from opg_magic.wallet.login import log_in

    log_in(session(options).network, no_browser=options.no_browser, say=_say)
    return 0


def _logout(options: argparse.Namespace) -> int:
    from opg_magic.wallet.login import log_out

    log_out(session(options).network, _say)
    return 0


def _whoami(options: argparse.Namespace) -> int:
    from opg_magic.wallet.login import who_am_i

    return 0 if who_am_i(session(options).network, _say) else 1


def _say(text: str) -> None:
    print(in_a_shell(text), flush=True)
