"""How single values stand in a receipt: times, bytes, figures, text."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

#: What :func:`iso` writes.
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z", re.ASCII)


def iso(value: datetime) -> str:
    """UTC with microseconds and ``Z``; ValueError for a time without zone."""
    if value.tzinfo is None:
        raise ValueError("a receipt's times must be aware")
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_of(text: str) -> datetime:
    """The moment that :func:`iso` wrote; ValueError for a day that is not in the calendar."""
    found = _TIME.fullmatch(text)
    if found is not None:
        return datetime(*map(int, found.groups()), tzinfo=UTC)  # type: ignore[arg-type,misc]
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def b64(value: bytes | None) -> str | None:
    """Standard base64, with padding."""
    return None if value is None else base64.b64encode(value).decode()


def decoded(text: str) -> bytes:
    """The bytes of base64; ValueError unless it is the one form that :func:`b64` writes."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64 that is not canonical")
    return raw


def decoded_or_none(text: str | None) -> bytes | None:
    """As :func:`decoded`; None of None."""
    return None if text is None else decoded(text)


def decimal_of(text: str | None) -> Decimal | None:
    """A figure that :func:`plain` wrote."""
    return None if text is None else Decimal(text)


def plain(value: Decimal | None) -> str | None:
    """A figure in digits, never with an exponent."""
    return None if value is None else f"{value:f}"


def clip(text: str | None, length: int) -> str | None:
    """At most ``length`` characters; what is cut ends in an ellipsis."""
    return text if text is None or len(text) <= length else text[: length - 1] + "…"


def clean(text: str) -> str:
    """Lone surrogates have no UTF-8 form and so can neither be hashed nor signed: U+FFFD stands for
    them."""
    return (
        text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    )


def cleaned(value: Any) -> Any:
    """A document whose values are all text that UTF-8 can hold; its keys are ours."""
    if isinstance(value, str):
        return value if value.isascii() else clean(value)
    if isinstance(value, dict):
        return {
            k if k.isascii() else clean(k): v
            if v is None or (type(v) is str and v.isascii())
            else cleaned(v)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [cleaned(v) for v in value]
    return value


def label(rpc: str) -> str:
    """A URL may carry an API key: only host and port of it are kept."""
    if "/" not in rpc and "@" not in rpc:
        return rpc
    from urllib.parse import urlsplit

    parts = urlsplit(rpc if "//" in rpc else f"//{rpc}")
    return parts.netloc.rpartition("@")[2] or "unnamed"
