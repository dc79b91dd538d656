"""The chat app's sign-in page, as the simulated network has it: one button, an account for an hour.

It hands over what the real page does: a CORS preflight, one post to a loopback address, else the
text to copy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opg_magic.simnet.oblivious.accounts import Accounts

if TYPE_CHECKING:
    from aiohttp import web

PAGE_PATH = "/cli-auth"
GRANT_PATH = "/cli-auth/grant"
#: Seconds for which a sign-in is good.
LIFETIME = 3600
USER_NAME = "simulated-reader"
USER = {"id": USER_NAME, "email": "reader@sim.example", "is_anonymous": False}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Sign in to the simulated network</title>
<style>body{font:1rem/1.5 system-ui;max-width:34rem;margin:4rem auto;padding:0 1rem}
textarea{width:100%;height:9rem}</style>
<h1>Sign in to the simulated network</h1>
<p><strong id="app"></strong> asks for a sign-in as reader@sim.example. It is good for one hour and
for this network only.</p>
<button id="go">Sign in</button>
<p id="said" role="status"></p>
<label id="copy" hidden>Copy this and paste it where you are asked:<textarea readonly></textarea>
</label>
<script src="/cli-auth.js"></script>
</html>
"""

_SCRIPT = """'use strict';
const asked = new URLSearchParams(location.search);
const said = document.getElementById('said');
document.getElementById('app').textContent = asked.get('app_name') || 'A program';
function target() {
  const url = new URL(asked.get('redirect_uri') || '');
  const names = ['127.0.0.1', 'localhost'];
  if (url.protocol !== 'http:' || !names.includes(url.hostname)) throw new Error('not loopback');
  return url.href;
}
document.getElementById('go').addEventListener('click', async () => {
  let to;
  try { to = target(); } catch {
    said.textContent = 'The address to return to is refused.';
    return;
  }
  const bundle = await (await fetch('/cli-auth/grant', { method: 'POST' })).text();
  let taken = false;
  try {
    const headers = { 'Content-Type': 'application/json' };
    taken = (await fetch(to, { method: 'POST', headers, body: bundle })).ok;
  } catch { /* nobody listens there */ }
  said.textContent = taken ? 'Signed in. You can close this page.' : 'Not handed over.';
  document.getElementById('copy').hidden = taken;
  if (!taken) document.querySelector('textarea').value = bundle;
});
"""

#: No other page can frame it, and no script but its own runs.
_GUARDS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "connect-src 'self' http://127.0.0.1:* http://localhost:*; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class SignInPage:
    """Opens accounts for those who press the button.  ``config`` is what a bundle proposes."""

    def __init__(self, accounts: Accounts, config: Callable[[], Mapping[str, str]]) -> None:
        self._accounts = accounts
        self._config = config

    def add_to(self, app: web.Application) -> None:
        """Serve the page, its script and the grant."""
        app.router.add_get(PAGE_PATH, self._page)
        app.router.add_get(f"{PAGE_PATH}.js", self._script)
        app.router.add_post(GRANT_PATH, self._grant)

    def grant(self) -> dict[str, Any]:
        """A new account's bundle, as the page hands it over."""
        account = self._accounts.open(USER_NAME)
        account.expires_at = time.time() + LIFETIME
        return {
            "type": "opengradient-cli-auth",
            "access_token": account.token.reveal(),
            "refresh_token": "",
            "token_type": "bearer",
            "expires_at": int(account.expires_at),
            "expires_in": LIFETIME,
            "user": USER,
            "config": dict(self._config()),
        }

    async def _page(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(text=_PAGE, content_type="text/html", headers=_GUARDS)

    async def _script(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(text=_SCRIPT, content_type="text/javascript", headers=_GUARDS)

    async def _grant(self, request: web.Request) -> web.Response:
        from aiohttp import web

        # The page alone: another one in the same browser gets no account.
        if request.headers.get("Origin") != self._config()["chat_api_base_url"]:
            return web.json_response({"detail": "Open the sign-in page"}, status=403)
        return web.json_response(self.grant(), headers=_GUARDS)
