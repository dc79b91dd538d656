"""No receipt holds a secret: session ids and payment signatures are looked for, never rewritten.

A receipt holds what was signed, byte for byte.  To take a secret out of it would change what others
check, and a host that chose its session's id could have any text taken out; so a document that
holds one is not made at all."""

from __future__ import annotations

from collections.abc import Iterable

from opg_magic.models.secret import Secret

#: Shortest text that is looked for: what is shorter is no secret, and would be found everywhere.
MIN_CHARS = 16


class HoldsSecret(ValueError):
    """The document would hold a session's id or a payment's signature.  Never says which
    characters."""

    def __init__(self) -> None:
        super().__init__("the answer repeats a secret that pays for calls")


def holds(document: bytes, secrets: Iterable[Secret[str]]) -> bool:
    """Whether one of them stands in a document's JSON bytes, in any case of its letters."""
    low = document.lower()
    return any(_needle(secret) in low for secret in secrets if _is_one(secret))


def masked(text: str | None, secrets: Iterable[Secret[str]]) -> str | None:
    """``text`` for a file that is not signed and not a receipt, with each of them marked where it
    stood."""
    import re

    for secret in secrets:
        if text is not None and _is_one(secret):
            text = re.sub(
                re.escape(_needle(secret).decode()),
                "<secret>",
                text,
                flags=re.IGNORECASE | re.ASCII,
            )
    return text


def _needle(secret: Secret[str]) -> bytes:
    return secret.reveal().removeprefix("0x").lower().encode()


def _is_one(secret: Secret[str]) -> bool:
    return len(_needle(secret)) >= MIN_CHARS
