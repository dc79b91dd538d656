"""What there is to say of a file: a finding, and a receipt with the verdict on it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from opg_magic.models import Verdict, VerdictStatus
from opg_magic.receipt.document import Receipt

#: ``failed``: something is not as the file says; ``unreadable``; ``incomplete``: not enough to say;
#: ``note``: no harm.
Level = Literal["failed", "unreadable", "incomplete", "note"]
#: How a level is marked in a report.
SIGNS: dict[Level, str] = {"failed": "✗", "unreadable": "✗", "incomplete": "○", "note": "·"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to report beyond the claims; ``where`` says in the file's own terms (``cell 3``,
    ``line 7``)."""

    level: Level
    code: str
    message: str
    where: str | None = None
    receipt_id: str | None = None


@dataclass(frozen=True)
class Checked:
    """One receipt and the verdict on it now.  ``accepted`` as simulated: see
    :attr:`Report.exit_code`.

    ``excused``: required claims that were accepted although they rest on the author's word alone.
    """

    receipt: Receipt
    where: str
    verdict: Verdict
    accepted: bool
    excused: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.verdict.label

    @property
    def failed(self) -> bool:
        """Whether it fails now."""
        return self.verdict.status is VerdictStatus.FAILED

    @property
    def failed_when_made(self) -> bool:
        """Whether it fails now just as its author's kernel said when the call was made: the receipt
        says FAILED itself, is whole, and no other claim fails.

        That is the author's word: who alters a receipt can also write that it failed.  It is never
        accepted for that."""
        then = self.receipt.verdict_at_creation
        return (
            self.failed
            and then is not None
            and then.status is VerdictStatus.FAILED
            and self.receipt.digest_matches
            and self.receipt.is_faithful
            and _failing(self.verdict) <= _failing(then)
        )


def _failing(verdict: Verdict) -> set[str]:
    return {claim.name for claim in verdict.failed_claims}
