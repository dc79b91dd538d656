"""What an examination found: whether a call can be made now, and what would mend what cannot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How one check came out.  Only ``BLOCKS`` means that no call can be made."""

    GOOD = "good"
    MEND = "to mend"
    BLOCKS = "blocks calls"
    UNKNOWN = "unknown"
    IDLE = "not needed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, how it came out, a sentence, and the one command that mends it.

    ``mend`` is a line for a shell, None where there is nothing to mend.  No secret stands in any of
    them."""

    check: str
    state: State
    says: str
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, for one network and route."""

    network: str
    route: str
    simulated: bool
    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing was found that keeps a call from being made."""
        return all(finding.state is not State.BLOCKS for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "ready": self.ready,
            "network": self.network,
            "route": self.route,
            "checks": [
                {"check": f.check, "state": f.state.value, "says": f.says, "mend": f.mend}
                for f in self.findings
            ],
        }
