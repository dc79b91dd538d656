"""The verdict of the author's kernel: history, never a current verdict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from opg_magic.models import Basis, Claim, ClaimName, Status, Verdict, VerdictStatus
from opg_magic.receipt.parts.values import clip, iso, time_of

#: Who computed it.
CHECKED_BY = "author's kernel"


def verdict_json(verdict: Verdict | None, at: datetime) -> dict[str, Any] | None:
    """The verdict and its claims as JSON data; ``at`` is when it was computed."""
    if verdict is None:
        return None
    return {
        "at": iso(at),
        "by": CHECKED_BY,
        "verdict": verdict.outcome.value,
        "simulated": verdict.simulated,
        "policy": verdict.policy,
        "withheld": verdict.withheld,
        "because": [clip(b, 4096) for b in verdict.because],
        "claims": [
            {
                "name": c.name,
                "status": c.status.value,
                "basis": c.basis.value if c.basis is not None else None,
                "sentence": clip(c.sentence, 4096),
                "reason": clip(c.reason, 4096),
                "code": clip(c.code, 64),
                "expires": iso(c.expires) if c.expires is not None else None,
            }
            for c in verdict.claims.values()
            if not _came_later(c)
        ],
    }


def _came_later(claim: Claim) -> bool:
    """Whether the claim came to the schema later and says nothing here: the first readers of
    version 1 read the receipt too."""
    return claim.name == "weights" and claim.status is Status.NOT_APPLICABLE


def _claim(d: Mapping[str, Any]) -> Claim:
    return Claim(
        name=cast(ClaimName, d["name"]),
        status=Status(d["status"]),
        basis=Basis(d["basis"]) if d["basis"] is not None else None,
        sentence=d["sentence"],
        reason=d["reason"],
        code=d["code"],
        expires=time_of(d["expires"]) if d["expires"] is not None else None,
    )


def verdict_of(checked: Mapping[str, Any] | None) -> Verdict | None:
    """The verdict out of its JSON data; None where nothing was judged."""
    if checked is None:
        return None
    claims = {c["name"]: _claim(c) for c in checked["claims"]}
    return Verdict(
        status=VerdictStatus(checked["verdict"]),
        simulated=checked["simulated"],
        claims=claims,
        policy=checked["policy"],
        because=tuple(checked["because"]),
        withheld=checked["withheld"],
    )
