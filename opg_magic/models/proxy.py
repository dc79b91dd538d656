"""The outgoing HTTP proxy that a user may have to go through."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from opg_magic.models.secret import Secret


@dataclass(frozen=True, slots=True)
class Proxy:
    """``url`` is ``http://name:port``; ``user`` and ``password`` are sent to the proxy alone, and
    never shown."""

    url: str
    user: str | None = field(default=None, repr=False)
    password: Secret[str] = field(default_factory=lambda: Secret(""), repr=False, hash=False)

    def __str__(self) -> str:
        return self.url if self.user is None else f"{self.url} (with a user's name)"

    @property
    def label(self) -> str:
        """Its name and port."""
        return self.url.removeprefix("http://")

    @property
    def auth(self) -> tuple[str, str] | None:
        """User and password; None where the proxy asks for neither."""
        return None if self.user is None else (self.user, self.password.reveal())

    @property
    def headers(self) -> dict[str, str]:
        """What says so to the proxy in a request's own headers."""
        from base64 import b64encode

        if self.auth is None:
            return {}
        return {"Proxy-Authorization": "Basic " + b64encode(":".join(self.auth).encode()).decode()}


def read_proxy(text: object) -> Proxy:
    """A proxy from ``http://[user:password@]name:port``.  ValueError, without the text, if it is
    none."""
    wanted = ValueError("a proxy such as http://proxy.example:3128")
    if not isinstance(text, str) or not text.isascii() or any(c <= " " for c in text.strip()):
        raise wanted
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise wanted from None
    if parts.scheme != "http" or not parts.hostname or not port or parts.path not in ("", "/"):
        raise wanted
    if parts.query or parts.fragment:
        raise wanted
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = None if parts.username is None else unquote(parts.username)
    secret = Secret(unquote(parts.password or ""))
    if not ((user or "") + secret.reveal()).isprintable() or ":" in (user or ""):
        raise wanted
    return Proxy(f"http://{name}:{port}", user, secret)


def proxy_for(url: str, proxy: Proxy | None) -> Proxy | None:
    """The proxy to go through for this URL: none for this machine itself, whatever is set."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    return None if proxy is None or is_this_machine(host) else proxy


def is_this_machine(host: str) -> bool:
    """Whether a name or an address means this machine by its form; nothing is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)
