"""The listener takes one sign-in, from the chat app's page alone."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from opg_magic.errors import ConfigError, SignInNeeded
from opg_magic.models.secret import Secret
from opg_magic.wallet.login_bundle import MAX_BUNDLE_BYTES, parse
from opg_magic.wallet.login_listener import Listener, origin_of

CHAT_APP = "https://chat.example"
CANARY = "canary-token-9f31c7"


def bundle(**more: Any) -> dict[str, Any]:
    return {
        "type": "opengradient-cli-auth",
        "access_token": CANARY,
        "refresh_token": "canary-refresh-77",
        "token_type": "bearer",
        "expires_at": int(time.time()) + 3600,
        "user": {"id": "u1", "email": "ada@example.org", "is_anonymous": False},
        "config": {"chat_api_base_url": "https://relay.example"},
        **more,
    }


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(CHAT_APP) as found:
        yield found


def send(
    listener: Listener,
    body: bytes | None = None,
    *,
    method: str = "POST",
    path: str | None = None,
    **headers: str | None,
) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps(bundle()).encode() if body is None else body
    sent: dict[str, str | None] = {
        "Origin": CHAT_APP,
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    connection = http.client.HTTPConnection(listener.host, timeout=10)
    try:
        connection.request(
            method,
            path or listener.path,
            body if method == "POST" else None,
            {name: value for name, value in sent.items() if value is not None},
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def nothing_came(listener: Listener) -> bool:
    with pytest.raises(SignInNeeded, match="Nobody signed in"):
        listener.wait(0)
    return True


def test_the_page_asks_first_and_then_posts_once(listener: Listener) -> None:
    status, headers, _ = send(listener, method="OPTIONS", Access_Control_Request_Method="POST")
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == CHAT_APP
    assert headers["Access-Control-Allow-Headers"] == "Content-Type"

    status, headers, body = send(listener)
    assert (status, json.loads(body)) == (200, {"ok": True})
    found = listener.wait(10)
    assert found.token.reveal() == CANARY
    assert (found.account, found.relay) == ("ada@example.org", "https://relay.example")
    assert CANARY not in repr(found)


def test_the_first_bundle_is_the_only_one(listener: Listener) -> None:
    assert send(listener)[0] == 200
    other = json.dumps(bundle(access_token="another")).encode()
    assert send(listener, other)[0] == 410
    assert listener.wait(10).token.reveal() == CANARY


@pytest.mark.parametrize("path", ["/", "/other", "/%2e", "//"])
def test_a_wrong_path_is_not_there(listener: Listener, path: str) -> None:
    status, headers, _ = send(listener, path=path)
    assert status == 404
    assert "Access-Control-Allow-Origin" not in headers
    assert nothing_came(listener)


@pytest.mark.parametrize(
    "origin",
    [None, "null", "https://evil.example", "http://chat.example", "https://chat.example:444",
     "https://chat.example.evil.example", "https://chat.example/"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_attack_44_a_page_that_is_not_the_chat_app_cannot_plant_a_session(
    listener: Listener, origin: str | None, method: str
) -> None:
    status, headers, _ = send(listener, method=method, Origin=origin)
    assert status == 403
    assert "Access-Control-Allow-Origin" not in headers
    assert nothing_came(listener)


def test_a_name_that_was_bound_to_this_machine_is_refused(listener: Listener) -> None:
    port = listener.host.partition(":")[2]
    assert send(listener, Host=f"evil.example:{port}")[0] == 403
    assert nothing_came(listener)


def test_a_body_that_is_too_large_is_not_read(listener: Listener) -> None:
    assert send(listener, b"{}", Content_Length=str(MAX_BUNDLE_BYTES + 1))[0] == 413
    assert send(listener, b"{}", Content_Length="9" * 5000)[0] == 413
    assert nothing_came(listener)


@pytest.mark.parametrize("length", ["-1", "1_0", "+2", "many"])
def test_a_length_that_is_not_a_number_is_refused(listener: Listener, length: str) -> None:
    assert send(listener, b"{}", Content_Length=length)[0] == 411
    assert nothing_came(listener)


def test_a_form_of_another_page_is_refused(listener: Listener) -> None:
    """Such a post needs no preflight."""
    assert send(listener, Content_Type="text/plain")[0] == 415
    assert nothing_came(listener)


MALFORMED: list[bytes] = [
    b"",
    b"[]",
    b"\xff",
    b"[" * 5000,
    json.dumps(bundle(type="other")).encode(),
    json.dumps(bundle(access_token="")).encode(),
    json.dumps(bundle(access_token=7)).encode(),
    json.dumps(bundle(access_token="a\r\nX-Other: 1")).encode(),
    json.dumps(bundle(token_type="mac")).encode(),
    json.dumps(bundle(expires_at="soon")).encode(),
    json.dumps(bundle(expires_at=True)).encode(),
    json.dumps(bundle(expires_at=1e300)).encode(),
    json.dumps(bundle(expires_at=int(time.time()) - 1)).encode(),
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_or_expired_bundle_is_refused_and_a_good_one_still_counts(
    listener: Listener, body: bytes
) -> None:
    assert send(listener, body)[0] == 400
    assert nothing_came(listener)
    assert send(listener)[0] == 200


def test_an_expired_token_is_refused_and_not_repeated() -> None:
    with pytest.raises(SignInNeeded, match="has expired") as caught:
        parse(Secret(json.dumps(bundle(expires_at=1))))
    assert CANARY not in str(caught.value)


def test_the_token_is_in_no_local_variable_of_a_traceback() -> None:
    with pytest.raises(SignInNeeded) as caught:
        parse(Secret(json.dumps(bundle(token_type="mac"))))
    for entry in caught.traceback:
        if entry.path.name == "login_bundle.py":
            assert CANARY not in repr(entry.frame.f_locals)


def test_the_address_names_the_listener_by_a_random_path() -> None:
    with Listener(CHAT_APP) as one, Listener(CHAT_APP) as two:
        query = parse_qs(urlsplit(one.url).query)
        assert query == {"redirect_uri": [one.redirect_uri], "app_name": ["opg_magic"]}
        assert one.redirect_uri.startswith("http://127.0.0.1:")
        assert one.path != two.path
        assert len(one.path) > 40


def test_a_listener_that_is_closed_does_not_answer() -> None:
    with Listener(CHAT_APP) as found:
        pass
    with pytest.raises(OSError):
        send(found)


def test_a_chat_app_without_tls_is_refused() -> None:
    assert origin_of("https://Chat.Example:443/") == "https://chat.example"
    assert origin_of("http://127.0.0.1:8000") == "http://127.0.0.1:8000"
    with pytest.raises(ConfigError):
        origin_of("http://chat.example")
