"""``audit-model`` as the shell and a notebook both run it: one order of steps, and the words in
which its result is told."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.audit import model_reference
from opg_magic.audit.model_reference import Given, Reference
from opg_magic.audit.model_statistics import Asked, Comparison, compare
from opg_magic.call import model_audit
from opg_magic.call.model_audit import Plan
from opg_magic.call.naming import model_for
from opg_magic.call.state import CallOptions
from opg_magic.errors import ConfigError
from opg_magic.models import arguments
from opg_magic.models.networks import SIM
from opg_magic.settings import paths

if TYPE_CHECKING:
    from opg_magic.call.session import Session

#: How often a question is asked for a reference: how steady each answer is must be known.
REPEATS = 3
#: What a result of this is, and what it is not.
LIMITS = (
    "Basis: asked live; a statistic over answers, not a proof. A difference does not say which "
    "model answered or why (an update, another processor, a hidden prompt and other settings "
    "differ, too); no difference does not say that the model is the one named."
)
_RECORDED = "recorded"
_DRY_RUN = "Dry run: nothing was paid."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one ``audit-model``.

    ``comparison`` and ``reference``: of an audit; of a recording only ``reference``, which was
    written to ``written``; of a dry run neither.  ``receipts``: those of the answers, a tuple a
    question."""

    plan: Plan
    network: str
    reference: Reference | None = None
    comparison: Comparison | None = None
    written: Path | None = None
    receipts: tuple[tuple[str, ...], ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the answers differ from the reference, at the level that the test has."""
        return self.comparison is not None and self.comparison.differs

    @property
    def lines(self) -> list[str]:
        """The result for people."""
        if self.comparison is not None and self.reference is not None:
            result = self.comparison
            return [
                ("SIMULATED · " if self.network == SIM else "") + result.sentence,
                f"{result.agree} of {result.questions} answers are among the reference's, which "
                f"contradicts itself on {result.unsteady} (recorded {self.reference.created_at}).",
                LIMITS,
            ]
        if self.written is not None and self.reference is not None:
            return [
                f"Reference of {self.plan.model} in {self.written}: "
                f"{len(self.reference.answers)} questions, {self.plan.repeats} answers each."
            ]
        return [_DRY_RUN]

    def to_json(self) -> dict[str, Any]:
        """The same for programs; sums are integers of base units, p and ``missed`` are shares."""
        made, result = self.plan, self.comparison
        told: dict[str, Any] = {
            "model": made.model,
            "network": self.network,
            "simulated": self.network == SIM,
            "questions": len(made.questions),
            "repeats": made.repeats,
            "most": {"amount": made.most.amount, "token": made.most.token.symbol},
            "result": "dry-run" if self.reference is None else _RECORDED,
        }
        if self.written is not None:
            told["reference"] = str(self.written)
        if result is not None and self.reference is not None:
            told |= {
                "result": "differs" if result.differs else "no-difference-seen",
                "basis": "asked",
                "p": result.p,
                "agree": result.agree,
                "unsteady": result.unsteady,
                "missed_at_90_percent": result.missed,
                "reference_created_at": self.reference.created_at,
            }
        if self.receipts:
            told["receipts"] = [list(one) for one in self.receipts]
        return told | {"said": self.lines}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("\n".join(self.lines))


def run(
    session: Session,
    options: argparse.Namespace,
    *,
    network: str | None = None,
    say: Callable[[str], object] = print,
) -> Outcome:
    """Record a reference, or compare with one, as :mod:`opg_magic.call.model_audit_words` has it.

    ``say`` is told the cost before anything is paid, and how far it is.  Raises ConfigError for
    what cannot be asked, before anything is sent, and what :func:`model_audit.answers` raises."""
    most = None if options.max_cost is None else arguments.opg("max_cost", options.max_cost)
    network = network or session.settings.get("network")
    model = model_for(options.model, session.settings, network)
    reference = None
    if options.reference is not None:
        path = paths.expanded(options.reference)
        reference = model_reference.load(path, model=model, network=network)
    else:
        _writable(paths.expanded(options.record))
    call = CallOptions(host=options.host, network=network)
    made = model_audit.plan(
        session,
        model,
        call,
        most=most,
        repeats=REPEATS if reference is None else 1,
        reference=reference,
    )
    say(made.sentence)
    if options.dry_run:
        return Outcome(made, network)
    if most is None:
        raise ConfigError(
            "--max-cost is missing: say how much this may cost. Nothing was sent.",
            hint=f"All questions: --max-cost {made.most.plain}",
        )
    found = model_audit.answers(
        session,
        made,
        call,
        most=most,
        without=frozenset() if reference is None else reference.receipts,
        fresh=options.fresh,
        say=say,
    )
    receipts = tuple(tuple(one.receipt for one in given) for given in found)
    if reference is None:
        made_now = _reference(made, network, found)
        written = paths.expanded(options.record)
        _write(written, made_now.to_json())
        return Outcome(made, network, made_now, written=written, receipts=receipts)
    asked = [
        Asked(tuple(one.answer for one in recorded), given[0].answer)
        for recorded, given in zip(reference.answers, found, strict=False)
    ]
    return Outcome(made, network, reference, compare(asked), receipts=receipts)


def _reference(made: Plan, network: str, found: tuple[tuple[Given, ...], ...]) -> Reference:
    if sum(not one.answer for given in found for one in given) * 2 > made.repeats * len(found):
        raise ConfigError(
            "Most answers hold neither a number nor a word, so they make no reference.",
            hint="A model that reasons before it answers may need more tokens than these calls "
            "allow.",
        )
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Reference(made.model, network, now, found)


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


__all__ = ["LIMITS", "REPEATS", "Outcome", "run"]
