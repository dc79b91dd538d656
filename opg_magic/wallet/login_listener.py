"""The listener on this machine to which the chat app's page hands a sign-in.

Any page in the user's browser, and any program here, can reach a loopback port.  So the path is
random, the ``Origin`` must be the chat app's, the ``Host`` this listener's, and the first bundle is
the only one: a page that plants its own session would read the user's calls on its account."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlencode, urlsplit

from opg_magic.errors import ConfigError, SignInNeeded
from opg_magic.models.secret import Secret
from opg_magic.network.ohttp_relay import relay_base
from opg_magic.wallet.login_bundle import MAX_BUNDLE_BYTES, Bundle, parse

APP_NAME = "opg_magic"
#: Seconds in which a connection must say what it wants.
_CONNECTION_TIMEOUT = 10.0


def origin_of(chat_app: str) -> str:
    """Return the chat app's origin as a browser names it.  Raises ConfigError for a URL without TLS
    outside this machine, or with a path."""
    parts = urlsplit(relay_base(chat_app))
    host = parts.hostname or ""
    usual = {"https": 443, "http": 80}[parts.scheme]
    named = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{named}{port}"


def sign_in_url(chat_app: str, redirect_uri: str) -> str:
    """Return the address of the chat app's sign-in page that hands over to ``redirect_uri``."""
    query = urlencode({"redirect_uri": redirect_uri, "app_name": APP_NAME})
    return f"{origin_of(chat_app)}/cli-auth?{query}"


class Listener:
    """Listens from its making until it is closed; a context manager."""

    def __init__(self, chat_app: str) -> None:
        """Raises ConfigError if the chat app's URL is not safe, or no port is free."""
        self.origin = origin_of(chat_app)
        self.path = f"/{secrets.token_urlsafe(32)}"
        self._came = threading.Event()
        self._lock = threading.Lock()
        self._bundle: Bundle | None = None
        handler = type("_Handler", (_Handler,), {"listener": self})
        try:
            self._server = _Server(("127.0.0.1", 0), handler)
        except OSError as problem:
            raise ConfigError(
                f"Cannot listen on this machine: {problem.strerror}.",
                hint="Paste the sign-in instead: %opg login --no-browser",
            ) from None
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.redirect_uri = f"http://{self.host}{self.path}"
        self.url = sign_in_url(chat_app, self.redirect_uri)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="opg-login",
            daemon=True,
        )
        self._thread.start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, timeout: float) -> Bundle:
        """Wait for the sign-in, at most ``timeout`` seconds.  Raises SignInNeeded."""
        self._came.wait(timeout)
        if self._bundle is None:
            raise SignInNeeded(
                f"Nobody signed in within {timeout:g} s.", hint="Try again: %opg login"
            )
        return self._bundle

    def take(self, text: Secret[str]) -> int:
        """Take a bundle, once; the HTTP status to answer with."""
        with self._lock:
            if self._bundle is not None:
                return 410
            try:
                self._bundle = parse(text)
            except SignInNeeded:
                return 400
        return 200

    def done(self) -> None:
        """The page has its answer."""
        self._came.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nobody's concern, and its traceback would be printed."""


class _Handler(BaseHTTPRequestHandler):
    listener: Listener
    timeout = _CONNECTION_TIMEOUT
    server_version = "opg"
    sys_version = ""

    def do_OPTIONS(self) -> None:
        refused = self._refused()
        self._answer(refused or 204)

    def do_POST(self) -> None:
        refused = self._refused() or self._body_refused()
        if refused:
            self._answer(refused)
            return
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.listener.take(Secret(raw.decode("utf-8", "replace")))
        del raw
        try:
            self._answer(status)
        finally:
            if status == 200:
                self.listener.done()

    def _refused(self) -> int | None:
        """Why nothing of this request counts."""
        if not hmac.compare_digest(self.path.encode(), self.listener.path.encode()):
            return 404
        allowed = {"Host": self.listener.host, "Origin": self.listener.origin}
        for name, value in allowed.items():
            if self.headers.get_all(name) != [value]:
                return 403
        return None

    def _body_refused(self) -> int | None:
        if self.headers.get_content_type() != "application/json":
            return 415
        length = self.headers.get_all("Content-Length") or []
        if len(length) != 1 or not (length[0].isascii() and length[0].isdecimal()):
            return 411
        return 413 if len(length[0]) > 8 or int(length[0]) > MAX_BUNDLE_BYTES else None

    def _answer(self, status: int) -> None:
        body = b"" if status == 204 else json.dumps({"ok": status == 200}).encode()
        self.send_response(status)
        if status not in (403, 404):
            self.send_header("Access-Control-Allow-Origin", self.listener.origin)
            self.send_header("Access-Control-Allow-Methods", "POST, OPTIONS")
            self.send_header("Access-Control-Allow-Headers", "Content-Type")
            # Chromium asks for this before a public page may reach this machine.
            self.send_header("Access-Control-Allow-Private-Network", "true")
        self.send_header("Vary", "Origin")
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a request's path is as good as a key while it waits."""
