"""``opg``: the same engine from a shell.  It adds nothing that a notebook cannot do.

Exit codes: 0 done, 1 a check failed or a call was refused, 2 unreadable input or wrong usage, 3 not
enough to say, 4 the program itself failed (a broken installation, a full disk, a bug): nothing was
judged."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opg_magic import __version__, errors
from opg_magic.display import output
from opg_magic.shell import ledger

Handler = Callable[[argparse.Namespace], int]

#: Exit code of a failure of the program itself, which is never one of a check.
BROKEN = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; print expected failures as one short paragraph on stderr."""
    output.never_fails(sys.stdout, sys.stderr)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["attestation"]:
        from opg_magic.shell.attestation import command

        return command(arguments[1:])
    if arguments[:1] == ["simnet"]:
        return _simnet(arguments[1:])
    options = _parser().parse_args(arguments)
    handler: Handler = options.handler
    try:
        code = handler(options)
        # Here, not while Python ends: a pager that was closed is no traceback.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except (errors.UnreadableReceipt, errors.ConfigError, errors.PromptError) as problem:
        return _complain(problem, 2)
    except errors.InstallationError as problem:
        return _complain(problem, BROKEN)
    except errors.OpgError as problem:
        # 1 is a verdict for `opg verify`, and this is none.
        return _complain(problem, BROKEN if handler is _verify else 1)
    except errors.CallInterrupted as stopped:
        return _complain(stopped, 130)
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
    finally:
        session = sys.modules.get("opg_magic.call.session")
        if session is not None:
            session.close_current_session()


def _broke() -> int:
    """Say that the program itself failed, and where."""
    import traceback

    traceback.print_exc()
    print(
        "\nopg itself failed: nothing was judged, and this says nothing about anyone's file.",
        file=sys.stderr,
    )
    return BROKEN


def _complain(problem: Any, code: int) -> int:
    # The hints name commands as a notebook has them.
    text = "\n".join(problem._render_traceback_()).replace("%opg receipts", "opg receipts list")
    print(re.sub(r"(?<!%)%opg(?= )", "opg", text), file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="opg", description="Verified AI calls: paid, signed, checked, recorded."
    )
    parser.add_argument("--version", action="version", version=f"opg_magic {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    verify = commands.add_parser(
        "verify", help="check a receipt (.json), receipts (.jsonl) or a notebook (.ipynb)"
    )
    verify.add_argument("path", type=Path)
    verify.add_argument("--policy", choices=("default", "strict", "audit"), default="default")
    verify.add_argument(
        "--rpc",
        action="append",
        default=[],
        metavar="URL",
        help="ask this RPC of the registry chain",
    )
    verify.add_argument(
        "--payment-rpc",
        action="append",
        default=[],
        metavar="URL",
        help="ask this RPC of the payment chain",
    )
    verify.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="CLAIM",
        help="a claim that must pass besides the policy's",
    )
    verify.add_argument("--receipt", metavar="ID", help="only this receipt")
    verify.add_argument(
        "--allow-simulated",
        action="store_true",
        help="exit 0 for this installation's own simulation",
    )
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    verify.set_defaults(handler=_verify)

    ask = commands.add_parser("ask", help="one call from the shell")
    ask.add_argument("prompt", help="the prompt, or - for standard input")
    ask.add_argument("--model")
    ask.add_argument("--system")
    ask.add_argument("--temperature", type=float)
    ask.add_argument("--max-tokens", type=int)
    ask.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="text at which the answer ends"
    )
    ask.add_argument("--settle", choices=("private", "batch"), default="private")
    ask.add_argument("--host")
    ask.add_argument(
        "--hosts",
        type=int,
        metavar="N",
        help="ask this many hosts of different owners, and compare",
    )
    ask.add_argument(
        "--quorum", type=int, metavar="N", help="with --hosts: how many must give one answer"
    )
    ask.add_argument("--network")
    ask.add_argument("--max-cost", metavar="OPG")
    ask.add_argument("--policy", choices=("default", "strict", "audit"))
    ask.add_argument("--timeout", type=float)
    ask.set_defaults(handler=_ask)

    receipts = commands.add_parser("receipts", help="the ledger").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = receipts.add_parser("list", help="print the ledger, one row a call")
    _filters(listing)
    listing.set_defaults(handler=_list)
    export = receipts.add_parser(
        "export", help="write .jsonl (whole receipts), .csv, .parquet or .xlsx (a row a call)"
    )
    export.add_argument("path", type=Path)
    export.add_argument("--excel", action="store_true", help="a .csv that Excel takes for UTF-8")
    _filters(export)
    export.set_defaults(handler=_export)

    ledger.add(commands)

    show = commands.add_parser("show", help="an answer out of the ledger, unpaid")
    show.add_argument("id", help="a receipt's id, its beginning, or 'last'")
    show.add_argument("--unverified", action="store_true", help="also an answer that was withheld")
    show.add_argument("--json", action="store_true", help="print the whole receipt")
    show.set_defaults(handler=_show)

    for name, text in (
        ("hosts", "hosts and their verification state"),
        ("models", "models and prices"),
    ):
        listing = commands.add_parser(name, help=text)
        listing.add_argument("--network")
        listing.set_defaults(handler=_hosts if name == "hosts" else _models)
    config = commands.add_parser(
        "config", help="each setting and where it came from; set one in your own file"
    )
    config.add_argument("key", nargs="?")
    config.add_argument("value", nargs="*")
    config.set_defaults(handler=_config)

    commands.add_parser(
        "reconcile", help="ask the payment chain what open payments came to"
    ).set_defaults(handler=_reconcile)
    settle = commands.add_parser("settle", help="look for batches that hold your calls' hashes")
    settle.add_argument("--watch", action="store_true", help="until none waits any more")
    settle.set_defaults(handler=_settle)
    pin = commands.add_parser(
        "pin", help="host builds and the registry's versions; trust one by your own review"
    )
    pin.add_argument("hashes", nargs="*", metavar="HASH")
    pin.add_argument("--remove", action="store_true")
    pin.set_defaults(handler=_pin)

    wallet = commands.add_parser("wallet", help="the paying key").add_subparsers(
        required=True, metavar="COMMAND"
    )
    new = wallet.add_parser(
        "new", help="make a key: an encrypted keystore file, or in the OS keyring"
    )
    new.add_argument(
        "--keyring", action="store_true", help="keep it in the OS keyring instead of a file"
    )
    new.set_defaults(handler=_wallet_new)
    for name, text in (
        ("show", "address and where the key is"),
        ("balance", "balance and Permit2 allowance"),
    ):
        command = wallet.add_parser(name, help=text)
        command.add_argument("--network")
        command.set_defaults(handler=_wallet_show)
    approve = wallet.add_parser(
        "approve",
        help="set how much OPG Permit2 may take from the wallet; it counts down (a transaction; "
        "costs gas)",
    )
    approve.add_argument("amount", metavar="OPG", help="how much, for instance 5")
    how = approve.add_mutually_exclusive_group()
    how.add_argument(
        "--set", action="store_true", help="this much in all, whatever is left (the default)"
    )
    how.add_argument("--add", action="store_true", help="this much more than is left")
    approve.add_argument("--network")
    approve.set_defaults(handler=_wallet_approve)

    commands.add_parser(
        "simnet", help="the simulated network: up, status, down, cheat", add_help=False
    )
    commands.add_parser(
        "attestation", help="verify FILE: check a Nitro attestation document", add_help=False
    )
    return parser


def _filters(parser: argparse.ArgumentParser) -> None:
    for name in ("since", "until", "notebook", "model", "verdict", "network"):
        parser.add_argument(f"--{name}")


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    names = ("since", "until", "notebook", "model", "verdict", "network")
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _session(options: argparse.Namespace | None = None) -> Any:
    from opg_magic.call.session import current_session

    session = current_session()
    if options is not None and getattr(options, "network", None):
        session.settings.set("network", options.network)
    return session


def _verify(options: argparse.Namespace) -> int:
    from opg_magic.audit.judgement import verify_path
    from opg_magic.call.session import reader_trust
    from opg_magic.settings.config import Settings
    from opg_magic.verify.policy import policy, requiring

    settings = Settings()
    readers: Any = None
    with contextlib.ExitStack() as stack:
        if options.rpc or options.payment_rpc:
            from opg_magic.audit.readers import readers_of
            from opg_magic.network.profiles import resolve_by_rpcs

            readers = stack.enter_context(
                readers_of(
                    registry_rpcs=options.rpc,
                    payment_rpcs=options.payment_rpc,
                    network=resolve_by_rpcs([*options.rpc, *options.payment_rpc], settings),
                )
            )
        report = verify_path(
            options.path,
            policy=requiring(
                policy(options.policy), [*settings.get("required_claims"), *options.require]
            ),
            trust=reader_trust(settings),
            rpc_reader=readers and readers.registry,
            payment_reader=readers and readers.payment,
            settlement_reader=readers and readers.settlement,
            allow_simulated=options.allow_simulated,
            receipt=options.receipt,
        )
    try:
        print(
            json.dumps(report.to_json(), indent=2) if options.json else report.to_text(), flush=True
        )
    except BrokenPipeError:
        # Nobody reads on; the verdict is the same.
        output.nobody_reads()
    return int(report.exit_code)


def _ask(options: argparse.Namespace) -> int:
    from opg_magic.api import agree, ask

    prompt = _standard_input() if options.prompt == "-" else options.prompt
    names = (
        "model",
        "system",
        "temperature",
        "max_tokens",
        "stop",
        "settle",
        "host",
        "network",
        "max_cost",
        "policy",
    )
    given = {name: getattr(options, name) for name in (*names, "timeout")}
    if options.hosts is None:
        if options.quorum is not None:
            raise errors.ConfigError("--quorum says how many of --hosts must agree: give both")
        return _print_answer(ask(prompt, **given))
    agreed = agree(prompt, hosts=options.hosts, quorum=options.quorum, **given)
    print(agreed.claim.sentence, file=sys.stderr)
    return _print_answer(agreed.answer)


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise errors.PromptError(
            f"The prompt on standard input is not {sys.stdin.encoding} text. Nothing was sent.",
            hint="Set the shell's encoding, or PYTHONIOENCODING, to that of the text.",
        ) from None


def _print_answer(answer: Any) -> int:
    """The answer on stdout, its card on stderr."""
    from opg_magic.display import card, plain
    from opg_magic.models.plain_text import inert

    text = inert(answer.text)
    print(text)
    if not output.holds(text):
        escapes = "as \\x, \\u or \\U with its number"
        print(
            f"\nThis output is {sys.stdout.encoding}: a character that it lacks is printed "
            f"{escapes}.",
            file=sys.stderr,
        )
    print("\n" + plain.card(card.of_answer(answer), all_rows=True), file=sys.stderr)
    return 0


def _list(options: argparse.Namespace) -> int:
    import pandas as pd

    frame = _session().receipts(**_chosen(options))
    columns = [
        "time",
        "id",
        "verdict",
        "simulated",
        "model",
        "host",
        "charge",
        "cost_opg",
        "settled_opg",
        "notebook",
    ]
    with pd.option_context(
        "display.max_rows", None, "display.width", 160, "display.max_columns", None
    ):
        print(frame[columns].to_string(index=False) if len(frame) else "no receipts")
    return 0


def _export(options: argparse.Namespace) -> int:
    from opg_magic.ledger.export import export

    done = export(_session().ledger, options.path, excel=options.excel, **_chosen(options))
    print(done)
    return 1 if done.damaged or done.file_damaged else 0


def _show(options: argparse.Namespace) -> int:
    session = _session()
    if options.json:
        receipt = session.ledger.last() if options.id == "last" else session.ledger.get(options.id)
        if receipt is None:
            raise errors.LedgerError("the ledger holds no receipt yet")
        print(output.json_text(receipt.document, receipt.to_json()))
        return 0
    try:
        answer = session.show(options.id, unverified=options.unverified)
    except errors.CallFailed as problem:
        # There is no answer to print: the card says what there is, and the error how to read what
        # was withheld.
        if problem.receipt_id is not None:
            from opg_magic.display import card, plain

            kept = card.of_kept(session.ledger.get(problem.receipt_id), problem.verdict)
            print(plain.card(kept, all_rows=True))
            problem.receipt_id = None
        raise
    return _print_answer(answer)


def _hosts(options: argparse.Namespace) -> int:
    for row in _session(options).hosts():
        state = "active" if row.active else "not active"
        notes = "; ".join(
            filter(None, (row.reason, row.set_aside and f"set aside: {row.set_aside}"))
        )
        seen = (
            "unreachable" if row.attestation == "unreachable" else f"attestation {row.attestation}"
        )
        print(f"{row.host.tee_id}  {state}, {seen}  {row.name or ''}  {notes}".rstrip())
    return 0


def _models(options: argparse.Namespace) -> int:
    for row in _session(options).models():
        price = row.price
        shown = (
            f"${price.input_usd}/${price.output_usd} per million tokens ({price.as_of})"
            if price
            else "price unknown"
        )
        print(f"{row.name:45} {shown}")
    return 0


def _config(options: argparse.Namespace) -> int:
    settings = _session().settings
    if options.key is not None:
        from opg_magic.settings import config, paths

        key = config.option(options.key).key
        if options.value:
            config.write_user(key, " ".join(options.value))
            settings.reload()
            print(f"written to {paths.config_file()}")
        print(f"{key} = {settings.shown(key, settings.get(key))}   (from: {settings.origin(key)})")
        return 0
    for key, value, origin, text in settings.rows():
        print(f"{key:22} {value:24} {origin:28} {text}")
    for note in settings.ignored():
        print(note, file=sys.stderr)
    return 0


def _reconcile(_: argparse.Namespace) -> int:
    from opg_magic.display.words import plural

    print(f"{plural(_session().reconcile(), 'authorisation')} settled or expired")
    return 0


def _settle(options: argparse.Namespace) -> int:
    found = _session().settle(watch=options.watch)
    for outcome in found:
        print(f"{outcome.receipt_id}  {outcome.status}  {outcome.detail}")
    if not found:
        print("no receipt waits for a settlement")
    return 0 if all(outcome.status == "settled" for outcome in found) else 3


def _pin(options: argparse.Namespace) -> int:
    session = _session()
    if options.hashes:
        print("\n".join(session.pin(options.hashes, remove=options.remove)))
        return 0
    for build in session.builds():
        state = "pinned" if build.pinned else "not pinned"
        listed = {True: "approved", False: "revoked", None: "not listed"}[build.approved]
        print(f"{build.pcr_hash}  {state}  {listed}  {build.version or ''}".rstrip())
    return 0


def _wallet_new(options: argparse.Namespace) -> int:
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


def _wallet_show(options: argparse.Namespace) -> int:
    for key, value in _session(options).wallet_info().items():
        print(f"{key:22} {value}")
    return 0


def _wallet_approve(options: argparse.Namespace) -> int:
    from opg_magic.models import Money, parse_units
    from opg_magic.models.networks import OPG_DECIMALS
    from opg_magic.wallet.funds import allowance_words

    try:
        amount = parse_units(options.amount, OPG_DECIMALS)
    except ValueError as problem:
        raise errors.ConfigError(str(problem)) from None
    session = _session(options)
    network = session.network
    now, then = session.allowances(amount, add=options.add)
    left, to = allowance_words(now, network), allowance_words(then, network)
    day = session.settings.get("max_cost_per_day")
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
    print(f"transaction {session.approve(then)}")
    return 0


def _simnet(arguments: list[str]) -> int:
    import subprocess

    from opg_magic.network import simnet_client

    command, environ = simnet_client.launcher(), simnet_client.clean_environment()
    return subprocess.call([*command, *arguments], env=environ)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
