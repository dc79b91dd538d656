"""Where a running table stands, in one line."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from opg_magic.models import Cost, Money
from opg_magic.models.networks import Token
from opg_magic.models.plain_text import inert


@dataclass(slots=True)
class Tally:
    """Counts of prompts (each different one once) and base units.  ``cap``: the most that the calls
    so far may cost, by what is authorised."""

    total: int
    token: Token
    recorded: int = 0
    #: On record too, and not what the schema asks for.
    unfit: int = 0
    answered: int = 0
    failed: int = 0
    spent: int = 0
    cap: int = 0
    #: Why the rest was not asked, where the table ended early.
    ended: str | None = None
    #: Nothing more is asked now, though something is left.
    over: bool = False
    begun: float = field(default_factory=time.monotonic)
    #: Prompts that were to be asked when it began.
    to_ask: int = 0
    #: Calls whose cost is known.
    _priced: int = 0

    @property
    def done(self) -> int:
        """Prompts that have an answer, or a reason why not."""
        return self.recorded + self.unfit + self.answered + self.failed

    @property
    def likely_rest(self) -> int:
        """Base units that the calls that have not ended are likely to cost, by those that have; 0
        before the first."""
        left = max(0, self.to_ask - self.answered - self.failed)
        return left * self.spent // self._priced if self._priced else 0

    def spend(self, cost: Cost) -> None:
        """Count what a call cost, where that is known."""
        if cost.amount is not None:
            self.spent += cost.amount.amount
            self._priced += 1

    @property
    def rate(self) -> float:
        """Calls per second so far."""
        return (self.answered + self.failed) / max(1e-6, time.monotonic() - self.begun)

    @property
    def figures(self) -> str:
        """The line without words of others and without what is left: what a notebook keeps."""
        spent, cap = Money(self.spent, self.token), Money(self.cap, self.token)
        parts = [f"{self.done:,} of {self.total:,} prompts"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.recorded:
            parts.append(f"{self.recorded:,} from the ledger")
        if self.unfit:
            parts.append(f"{self.unfit:,} on record do not fit")
        parts.append(f"cost {spent} of at most {cap}")
        if self.answered + self.failed:
            parts.append(f"{self.rate:.3g}/s")
        return " · ".join(parts)

    def __str__(self) -> str:
        parts = [self.figures]
        left = self.total - self.done
        if self.ended:
            # It may quote a host: one line, and nothing that a terminal obeys.
            parts.append(" ".join(inert(self.ended).split()))
        elif left and self.answered and not self.over:
            parts.append(f"{_duration(left / self.rate)} left")
        return " · ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
