"""What the chat app's sign-in page hands over: a token, whose it is, and where it is to be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opg_magic.errors import SignInNeeded
from opg_magic.models import strict_json
from opg_magic.models.secret import Secret

#: What a bundle says that it is.
BUNDLE_TYPE = "opengradient-cli-auth"
MAX_BUNDLE_BYTES = 64 * 1024
_MAX_TOKEN_CHARS = 16 * 1024


@dataclass(frozen=True, slots=True)
class Bundle:
    """``expires_at``: aware UTC, None if unknown.  ``relay``, ``registry_rpc`` and
    ``registry_address`` are proposals: nothing takes them without asking.

    The refresh token is not kept: how to use one is not public."""

    token: Secret[str] = field(repr=False)
    expires_at: datetime | None
    account: str | None
    relay: str | None
    registry_rpc: str | None
    registry_address: str | None


def parse(text: Secret[str], *, now: datetime | None = None) -> Bundle:
    """Return what a bundle holds.

    Raises SignInNeeded if it is malformed, or its token has expired; no word of it is repeated."""
    found = _read(text, now or datetime.now(UTC))
    # Raised here, where no local variable holds the token: some tracebacks print them.
    if isinstance(found, str):
        raise SignInNeeded(f"The sign-in was refused: {found}.", hint="Sign in again: %opg login")
    return found


def _read(text: Secret[str], now: datetime) -> Bundle | str:
    """The bundle, or what is wrong with it."""
    if len(text.reveal().encode("utf-8", "surrogatepass")) > MAX_BUNDLE_BYTES:
        return "it is too large"
    try:
        data = strict_json.loads(text.reveal())
    except Exception:
        data = None
    if not isinstance(data, dict) or data.get("type") != BUNDLE_TYPE:
        return "this is not what the sign-in page hands over"
    token = data.get("access_token")
    # It goes into a header: what cannot stand there is not a token.
    if (
        not isinstance(token, str)
        or not 0 < len(token) <= _MAX_TOKEN_CHARS
        or not all("!" <= character <= "~" for character in token)
    ):
        return "it holds no usable token"
    if str(data.get("token_type") or "bearer").lower() != "bearer":
        return "its token is not a bearer token"
    expires_at = _time(data, now)
    if isinstance(expires_at, str):
        return expires_at
    if expires_at is not None and now >= expires_at:
        return "its token has expired"
    user, config = _table(data, "user"), _table(data, "config")
    return Bundle(
        Secret(token),
        expires_at,
        _text(user, "email") or _text(user, "id"),
        _text(config, "chat_api_base_url"),
        _text(config, "tee_registry_rpc_url"),
        _text(config, "tee_registry_address"),
    )


def _time(data: Mapping[str, Any], now: datetime) -> datetime | str | None:
    at, after = data.get("expires_at"), data.get("expires_in")
    for value in (at, after):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return "its expiry is not a time"
    try:
        if at is not None:
            return datetime.fromtimestamp(at, UTC)
        return None if after is None else datetime.fromtimestamp(now.timestamp() + after, UTC)
    except (ValueError, OverflowError, OSError):
        return "its expiry is not a time"


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _text(data: Mapping[str, Any], name: str) -> str | None:
    found = data.get(name)
    return found if isinstance(found, str) and 0 < len(found) <= 500 else None
