"""``opg wallet``: the key that pays."""

from __future__ import annotations

import argparse
from typing import Any

from opg_magic.errors import ConfigError
from opg_magic.shell.common import add_network, session


def add(commands: Any) -> None:
    """The commands."""
    wallet = commands.add_parser("wallet", help="manage the key that pays").add_subparsers(
        required=True, metavar="COMMAND"
    )
    new = wallet.add_parser(
        "new", help="create a key: in an encrypted keystore file, or in the OS keyring"
    )
    new.add_argument(
        "--keyring", action="store_true", help="keep it in the OS keyring instead of a file"
    )
    new.set_defaults(handler=_new)
    for name, text in (
        ("show", "show the address and where the key is"),
        ("balance", "show the balance and the Permit2 allowance"),
    ):
        command = wallet.add_parser(name, help=text)
        add_network(command)
        command.set_defaults(handler=_show)
    approve = wallet.add_parser(
        "approve",
        help="set how much OPG Permit2 may take from the wallet; it counts down (a transaction; "
        "costs gas)",
    )
    approve.add_argument("amount", metavar="OPG", help="how much, for instance 5")
    how = approve.add_mutually_exclusive_group()
    how.add_argument(
        "--set", action="store_true", help="allow this much in all, whatever is left (the default)"
    )
    how.add_argument("--add", action="store_true", help="allow this much more than is left")
    add_network(approve)
    approve.set_defaults(handler=_approve)


def _new(options: argparse.Namespace) -> int:
    from opg_magic.settings import paths
    from opg_magic.wallet.keystore import create_keystore, new_password
    from opg_magic.wallet.os_keyring import write_keyring

    if options.keyring:
        print(
            f"new wallet {write_keyring()}\nin the OS keyring; to use it: opg config wallet keyring"
        )
    else:
        address = create_keystore(paths.keystore_file(), password=new_password())
        print(f"new wallet {address}\nencrypted keystore: {paths.keystore_file()}")
    print(
        "Fund it with OPG and a little ETH on Base, then: opg wallet approve 5 --network "
        "opengradient"
    )
    return 0


def _show(options: argparse.Namespace) -> int:
    for key, value in session(options).wallet.info().items():
        print(f"{key:22} {value}")
    return 0


def _approve(options: argparse.Namespace) -> int:
    from opg_magic.models import Money, parse_units
    from opg_magic.models.networks import OPG_DECIMALS
    from opg_magic.wallet.funds import allowance_words

    try:
        amount = parse_units(options.amount, OPG_DECIMALS)
    except ValueError as problem:
        raise ConfigError(str(problem)) from None
    kernel = session(options)
    network = kernel.network
    now, then = kernel.wallet.allowances(amount, add=options.add)
    left, to = allowance_words(now, network), allowance_words(then, network)
    day = kernel.settings.get("max_cost_per_day")
    print(f"{network.title}: Permit2 may take {left} from the wallet now.")
    print(
        f"Adding {options.amount} {network.token.symbol} to it: {to}."
        if options.add
        else f"Setting it to {to} in all."
    )
    lasts = (
        f" At your limit of {Money(day, network.token)} a day it lasts {then / day:.1f} days."
        if day
        else ""
    )
    print(
        f"It counts down with every settled payment.{lasts}"
        if then
        else "Nothing more can be taken."
    )
    print(f"transaction {kernel.wallet.approve(then)}")
    return 0
