"""No receipt holds a secret: session ids and payment signatures are looked for, never rewritten.

A receipt holds what was signed, byte for byte.  To take a secret out of it would change what others
check, and a host that chose its session's id could have any text taken out; so a document that
holds one is not made at all."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opg_magic.models.secret import Secret

#: A visible ASCII character as JSON may also write it.  In JSON that stands in JSON, more
#: backslashes come before: they are taken out after it.  So the expression begins with fixed
#: characters, which are found in kilobytes of base64 in a twentieth of the time.
_ESCAPED = re.compile(rb"\\u00([2-7][0-9a-f])")

#: Shortest text that is looked for: what is shorter is no secret, and would be found everywhere.
MIN_CHARS = 16


class HoldsSecret(ValueError):
    """The document would hold a session's id or a payment's signature.  Never says which
    characters."""

    def __init__(self) -> None:
        super().__init__("the answer repeats a secret that pays for calls")


def holds(document: bytes, secrets: Iterable[Secret[str]]) -> bool:
    """Whether one of them stands in a document's JSON bytes, in any case of its letters and however
    JSON writes them: a host's frame is kept as it came."""
    needles = [*map(_needle, filter(_is_one, secrets))]
    if not needles:
        return False
    low = document.lower()
    if any(needle in low for needle in needles):
        return True
    if b"\\" not in low:
        return False
    read = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), low).lower()
    read = read.replace(b"\\", b"")
    return any(needle in read for needle in needles)


def masked(text: str | None, secrets: Iterable[Secret[str]]) -> str | None:
    """``text`` for a file that is not signed and not a receipt, with each of them marked where it
    stood; nothing of it where one stands there in JSON's escapes."""
    for secret in secrets:
        if text is not None and _is_one(secret):
            text = re.sub(
                re.escape(_needle(secret).decode()),
                "<secret>",
                text,
                flags=re.IGNORECASE | re.ASCII,
            )
            if holds(text.encode("utf-8", "replace"), [secret]):
                return "<secret>"
    return text


def _needle(secret: Secret[str]) -> bytes:
    return secret.reveal().removeprefix("0x").lower().encode()


def _is_one(secret: Secret[str]) -> bool:
    return len(_needle(secret)) >= MIN_CHARS
