"""``opg audit-model``: whether a model answers a battery of short questions as a reference did."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opg_magic.errors import ConfigError
from opg_magic.shell.common import add_network

#: How often a question is asked for a reference: how steady each answer is must be known.
REPEATS = 3
#: What a result of this is, and what it is not.
LIMITS = (
    "Basis: asked live; a statistic over answers, not a proof. A difference does not say which "
    "model answered or why (an update, a hidden prompt and other settings differ, too); no "
    "difference does not say that the model is the one named."
)


def add(commands: Any) -> None:
    """The command."""
    audit = commands.add_parser(
        "audit-model", help="compare a model's answers to short questions with a reference"
    )
    audit.add_argument("model", nargs="?", metavar="MODEL", help="the model; default: your own")
    what = audit.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--reference", type=Path, metavar="REF.json", help="compare with this reference"
    )
    what.add_argument(
        "--record", type=Path, metavar="REF.json", help="write a reference; asks three times"
    )
    audit.add_argument(
        "--max-cost", metavar="C", help="ask as many questions as C OPG pay for (required to ask)"
    )
    audit.add_argument("--host", metavar="ID", help="ask only this host")
    add_network(audit)
    audit.add_argument(
        "--fresh", action="store_true", help="use no answers that an earlier run paid for"
    )
    audit.add_argument("--dry-run", action="store_true", help="print what it would cost")
    audit.set_defaults(handler=_audit, undecided=3)


def _audit(options: argparse.Namespace) -> int:
    from opg_magic.audit import model_reference
    from opg_magic.call import model_audit
    from opg_magic.call.naming import model_for
    from opg_magic.call.session import current_session
    from opg_magic.call.state import CallOptions
    from opg_magic.models import arguments

    session = current_session()
    most = None if options.max_cost is None else arguments.opg("max_cost", options.max_cost)
    network = options.network or session.settings.get("network")
    model = model_for(options.model, session.settings, network)
    reference = None
    if options.reference is not None:
        reference = model_reference.load(options.reference, model=model, network=network)
    else:
        _writable(options.record)
    call = CallOptions(host=options.host, network=options.network)
    made = model_audit.plan(
        session,
        model,
        call,
        most=most,
        repeats=REPEATS if reference is None else 1,
        reference=reference,
    )
    print(made.sentence, file=sys.stderr, flush=True)
    if options.dry_run:
        print("Dry run: nothing was paid.")
        return 0
    if most is None:
        raise ConfigError(
            "--max-cost is missing: say how much this may cost. Nothing was sent.",
            hint=f"All questions: --max-cost {made.most.decimal}",
        )
    found = model_audit.answers(
        session,
        made,
        call,
        most=most,
        without=frozenset() if reference is None else reference.receipts,
        fresh=options.fresh,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if reference is not None:
        return _compared(reference, found, simulated=network == "sim")
    if sum(not one.answer for given in found for one in given) * 2 > made.repeats * len(found):
        raise ConfigError(
            "Most answers hold neither a number nor a word, so they make no reference.",
            hint="A model that reasons before it answers may need more tokens than these calls "
            "allow.",
        )
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    _write(options.record, model_reference.Reference(model, network, now, found).to_json())
    print(
        f"Reference of {model} in {options.record}: {len(found)} questions, {REPEATS} answers each."
    )
    return 0


def _compared(reference: Any, found: Any, *, simulated: bool) -> int:
    from opg_magic.audit.model_statistics import Asked, compare

    result = compare(
        [
            Asked(tuple(one.answer for one in recorded), given[0].answer)
            for recorded, given in zip(reference.answers, found, strict=False)
        ]
    )
    print(("SIMULATED · " if simulated else "") + result.sentence)
    print(
        f"{result.agree} of {result.questions} answers are among the reference's, which "
        f"contradicts itself on {result.unsteady} (recorded {reference.created_at})."
    )
    print(LIMITS)
    return 1 if result.differs else 0


def _writable(path: Path) -> None:
    """Refuse before anything is paid what could not be written afterwards."""
    if path.exists():
        raise ConfigError(f"{path} exists already. Nothing was sent.", hint="Choose another name.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"Cannot write into {path.parent}. Nothing was sent.")


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as problem:
        raise ConfigError(
            f"Cannot write {path}: {problem.strerror}. The answers are kept.",
            hint="Run it again within 24 hours; nothing is paid twice.",
        ) from None
