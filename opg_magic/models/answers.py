"""What comes of a call, while it runs and when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from opg_magic.models import strict_json
from opg_magic.models.evidence import Evidence
from opg_magic.models.hosts import Host
from opg_magic.models.money import Cost, Money
from opg_magic.models.verdicts import Verdict


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


class CallReceipt(Protocol):
    """What an answer's receipt says: :class:`opg_magic.receipt.document.Receipt` implements it."""

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document with its digest; treat it as read-only."""

    @property
    def id(self) -> str:
        """The call's id, 10 characters of Crockford's base32."""

    @property
    def digest(self) -> str:
        """The digest (``sha256:`` and hex) that the document states."""

    @property
    def supersedes(self) -> str | None:
        """Of a later version, the digest of the receipt as it was first made."""

    @property
    def created_at(self) -> datetime:
        """When the call began, UTC."""

    @property
    def text(self) -> str | None:
        """The answer's text exactly as received, whatever the verdict."""

    @property
    def verdict_at_creation(self) -> Verdict | None:
        """The verdict of the author's kernel.  Judge :meth:`evidence` for a current one."""

    @property
    def cost(self) -> Cost:
        """What the call cost, as far as it is known."""

    def evidence(self) -> Evidence:
        """All that a verdict is made from."""

    def to_json(self) -> str:
        """The document as one line of canonical JSON (RFC 8785)."""


@dataclass(frozen=True)
class Answer:
    """A checked answer: ``text`` exactly as signed, its verdict, receipt and cost."""

    text: str
    verdict: Verdict
    receipt: CallReceipt
    cost: Cost
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    #: What else is to be said of the call, in words: a payee that differs, hosts that were passed
    #: over.
    notes: tuple[str, ...] = ()
    #: What the text holds, where a schema or a format was asked for: an object, a list, a table.
    data: Any = field(default=None, compare=False)
    #: It is out of the ledger, at no cost: this notebook had asked the same before.
    repeated: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return f"<Answer {self.verdict.label} {self.receipt.id} {shown!r}>"

    def json(self) -> Any:
        """The text parsed as JSON; ValueError if it is not JSON, or ambiguous (a name twice,
        NaN)."""

        return strict_json.loads(self.text)
