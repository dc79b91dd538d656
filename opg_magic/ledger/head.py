"""The head of a ledger: how many receipts it holds, and one hash over the digests of all, in order.

Kept elsewhere, it tells later whether one of them was removed, moved or changed.  A ledger that was
put back to an older state shows nothing of that by itself: only a head kept elsewhere tells."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from opg_magic.errors import ConfigError

_HEAD = re.compile(r"(0|[1-9][0-9]{0,11})-[0-9a-f]{64}")


def head_of(digests: Sequence[str]) -> str:
    """The head of receipts with these digests: ``12-`` and 64 hex digits."""
    whole = hashlib.sha256(b"opg ledger head 1\n")
    for one in digests:
        whole.update(one.encode() + b"\n")
    return f"{len(digests)}-{whole.hexdigest()}"


def head_fault(head: str, digests: Sequence[str]) -> str | None:
    """What sets these digests apart from those of a head that was kept, beyond what came since;
    None if nothing does.  Raises ConfigError for what is no head."""
    kept = _HEAD.fullmatch(head)
    if kept is None:
        raise ConfigError(
            "That is not the head of a ledger.", hint="opg ledger check prints it: 12-5f1c…"
        )
    number = int(kept[1])
    if len(digests) < number:
        return (
            f"The head is of {number} receipts; here are {len(digests)}. Some were removed, or "
            "this is the ledger as it was before."
        )
    if head_of(digests[:number]) != head:
        return (
            f"The first {number} receipts are not those of the head: one was removed, moved or "
            "changed."
        )
    return None
