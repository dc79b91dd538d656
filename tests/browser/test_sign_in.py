"""Signing in with a real browser, and a page that is not the chat app's."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.simnet import RunningSimnet

from opg_magic.errors import SignInNeeded
from opg_magic.wallet.login_listener import Listener

pytestmark = [pytest.mark.browser, pytest.mark.simnet, pytest.mark.xdist_group("browser")]

#: What such a page could try: with a preflight, and the two forms that need none.
PLANT = """async ([url, body]) => {
  const ways = [
    { headers: { 'Content-Type': 'application/json' } },
    { headers: { 'Content-Type': 'text/plain' }, mode: 'no-cors' },
    { mode: 'no-cors' },
  ];
  const said = [];
  for (const way of ways) {
    try {
      const answer = await fetch(url, { method: 'POST', body, ...way });
      said.push(answer.type + ' ' + answer.status);
    } catch (error) { said.push('refused'); }
  }
  return said;
}"""


@contextmanager
def another_page() -> Iterator[str]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Another page</title>")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def test_the_button_hands_the_sign_in_over(browser: Any, honest_simnet: RunningSimnet) -> None:
    page = browser.new_page()
    try:
        with Listener(honest_simnet.net.relay.url) as listener:
            page.goto(listener.url)
            assert page.locator("#app").inner_text() == "opg_magic"
            page.get_by_role("button", name="Sign in").click()
            page.get_by_text("Signed in. You can close this page.").wait_for()
            found = listener.wait(10)
        assert found.account == "reader@sim.example"
        assert found.relay == honest_simnet.net.relay.url
        # It opens the relay.
        honest_simnet.net.relay.accounts.admit(f"Bearer {found.token.reveal()}")
        assert found.token.reveal() not in page.content()
    finally:
        page.close()


def test_where_nothing_listens_the_page_shows_the_sign_in_for_copying(
    browser: Any, honest_simnet: RunningSimnet
) -> None:
    page = browser.new_page()
    try:
        relay = honest_simnet.net.relay.url
        page.goto(f"{relay}/cli-auth?redirect_uri=http://127.0.0.1:9/&app_name=opg_magic")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("Not handed over.").wait_for()
        shown = json.loads(page.locator("textarea").input_value())
        assert shown["type"] == "opengradient-cli-auth"
    finally:
        page.close()


def test_a_page_that_is_not_the_chat_app_cannot_plant_a_session(
    browser: Any, honest_simnet: RunningSimnet
) -> None:
    """It even knows the random path, which no other page can."""
    body = json.dumps(
        {
            "type": "opengradient-cli-auth",
            "access_token": "planted",
            "expires_at": int(time.time()) + 3600,
        }
    )
    page = browser.new_page()
    try:
        with another_page() as url, Listener(honest_simnet.net.relay.url) as listener:
            page.goto(url)
            said = page.evaluate(PLANT, [listener.redirect_uri, body])
            assert said == ["refused", "opaque 0", "opaque 0"]
            with pytest.raises(SignInNeeded, match="Nobody signed in"):
                listener.wait(0)
            # The chat app's own page still can.
            page.goto(listener.url)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_text("Signed in. You can close this page.").wait_for()
            assert listener.wait(10).token.reveal() != "planted"
    finally:
        page.close()
