"""What a host asks for and when it collects: the sets of terms that were seen of real gateways.

``april`` was recorded.  The other two come from public sources; only ``april`` was run with the
official SDK here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from opg_magic.errors import SimnetError
from opg_magic.network.profiles import OBSERVED_CAP

#: Hosts look for sessions to settle this often, in seconds.
LOOK_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Terms:
    """One set: ``cap`` in base units, the rest in seconds.

    ``stops_before``: such a host takes no more calls on a session, and settles it, this long before
    its deadline. None: it waits until the session is idle, even if the deadline passes meanwhile
    and nothing can be settled any more."""

    name: str
    says: str
    cap: int
    deadline: int
    idle: float
    stops_before: int | None = None


DEFAULT = "april"

TERMS = {
    terms.name: terms
    for terms in (
        Terms("april", "gateways of April 2026, as recorded", OBSERVED_CAP, 300, 100.0),
        Terms(
            "2026-07",
            "gateways of July 2026, by their public source",
            5 * 10**18,
            600,
            60.0,
            stops_before=120,
        ),
        Terms(
            "dev8",
            "the payment library og-x402 0.0.2.dev8, with the cap of late April",
            10**18,
            3600,
            100.0,
        ),
    )
}


def terms_named(name: str, *, cap: int | None = None, deadline: int | None = None) -> Terms:
    """The set of that name, with another cap or deadline where one is given.  SimnetError if there
    is none."""
    found = TERMS.get(name)
    if found is None:
        raise SimnetError(
            f"There are no terms called “{name}”.", hint=f"There are: {', '.join(TERMS)}"
        )
    if (cap is not None and cap <= 0) or (deadline is not None and deadline <= 0):
        raise SimnetError("A cap and a deadline must be above zero.")
    return replace(
        found,
        cap=found.cap if cap is None else cap,
        deadline=found.deadline if deadline is None else deadline,
    )


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When sessions are settled, in seconds of the payment chain's clock: see :class:`Terms`."""

    idle: float
    look: float
    stops_before: float | None = None


def rhythm(terms: Terms, *, idle: float | None = None, pace: float = 1.0) -> Rhythm:
    """The rhythm of these terms; ``idle`` overrides theirs, ``pace`` 10 lets sessions age ten times
    as fast.

    Whoever asks for a short idle time wants it looked for as often.
    """
    seconds = terms.idle if idle is None else idle
    return Rhythm(seconds / pace, min(LOOK_SECONDS, seconds / 2) / pace, terms.stops_before)
