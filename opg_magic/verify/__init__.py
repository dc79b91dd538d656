"""Verification: evidence in, claims and one verdict out.  Nothing here fetches anything."""

from __future__ import annotations

from opg_magic.verify.exchange import verify_exchange
from opg_magic.verify.policy import AUDIT, DEFAULT, STRICT, Policy, combine, policy, requiring
from opg_magic.verify.verdict import decide, judge

__all__ = [
    "AUDIT",
    "DEFAULT",
    "STRICT",
    "Policy",
    "combine",
    "decide",
    "judge",
    "policy",
    "requiring",
    "verify_exchange",
]
