"""Who may ask: a program on this machine that has the token.

Any page in the user's browser can reach a loopback port, under a name of its own (DNS rebinding).
So the ``Host`` must be this endpoint's, and a page of another origin is refused whatever it
sends."""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING

from opg_magic.endpoint.refusal import Refusal
from opg_magic.errors import ConfigError
from opg_magic.models.secret import Secret

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

#: Names by which this machine reaches itself.
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_BEARER = "bearer "


def loopback_address(text: str) -> str:
    """The address to listen on.  Raises ConfigError for one that other machines could reach."""
    if text == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ConfigError(
            f"--bind {text[:80]} is not a loopback address. opg serve pays for whoever reaches it, "
            f"so it listens on this machine alone.",
            hint="Use 127.0.0.1 or ::1.",
        )
    return str(address)


class Guard:
    """Lets a request in, or says why not.  ``address`` and ``port`` are those listened on."""

    def __init__(self, token: Secret[str], address: str, port: int) -> None:
        self._token = token
        shown = f"[{address}]" if ":" in address else address
        self._hosts = {f"{name}:{port}" for name in (*_LOOPBACK, shown)}
        self._origins = {f"http://{host}" for host in self._hosts}

    def refuse(self, headers: CIMultiDictProxy[str]) -> Refusal | None:
        """Why a request with these headers is not let in; None: it is."""
        if not _only_of(headers.getall("Host", []), self._hosts):
            return _forbidden("The Host of the request is not this endpoint's.", "foreign_host")
        origins = headers.getall("Origin", [])
        if origins and not _only_of(origins, self._origins):
            return _forbidden("Web pages may not call this endpoint.", "foreign_origin")
        given = headers.getall("Authorization", [])
        if len(given) != 1 or not self._is_token(given[0]):
            return Refusal(
                401,
                "The API key is not this endpoint's token. Use the one that opg serve showed when "
                "it started (OPENAI_API_KEY).",
                "authentication_error",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None

    def _is_token(self, header: str) -> bool:
        if not header.lower().startswith(_BEARER):
            return False
        given = header[len(_BEARER) :].strip().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self._token.reveal().encode())


def _only_of(given: list[str], allowed: set[str]) -> bool:
    return len(given) == 1 and given[0].lower() in allowed


def _forbidden(message: str, code: str) -> Refusal:
    return Refusal(403, message, "permission_error", code)
