"""What comes of a call, while it runs and when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from opg_magic.models.hosts import Host
from opg_magic.models.money import Cost, Money
from opg_magic.models.verdicts import Verdict

if TYPE_CHECKING:
    from opg_magic.receipt.document import Receipt


class Phase(StrEnum):
    """Where a running call stands."""

    QUOTE = "quote"
    PAY = "pay"
    ANSWER = "answering"
    CHECK = "check"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a running call, for whoever watches: text is everything so far, not checked
    yet."""

    phase: Phase
    text: str = ""
    tokens: int = 0
    host: Host | None = None
    cap: Money | None = None
    note: str | None = None


@dataclass(frozen=True)
class Answer:
    """A checked answer: ``text`` exactly as signed, its verdict, receipt and cost."""

    text: str
    verdict: Verdict
    receipt: Receipt
    cost: Cost
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    #: What else is to be said of the call, in words: a payee that differs, hosts that were passed
    #: over.
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return f"<Answer {self.verdict.label} {self.receipt.id} {shown!r}>"

    def json(self) -> Any:
        """The text parsed as JSON; ValueError if it is not JSON, or ambiguous (a name twice,
        NaN)."""
        from opg_magic.protocol import strict_json

        return strict_json.loads(self.text)
