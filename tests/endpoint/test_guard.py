"""Only programs of this machine that have the token get in."""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.serving import TOKEN, Served

from opg_magic.endpoint.app import MAX_REQUEST
from opg_magic.endpoint.guard import loopback_address
from opg_magic.endpoint.token import VARIABLE, token_of
from opg_magic.errors import ConfigError

AUTH = ("Authorization", f"Bearer {TOKEN}")


def status(served: Served, *headers: tuple[str, str], path: str = "/v1/models") -> int:
    """The answer to a request with exactly these headers; ``Host`` is right unless given."""
    address = urlsplit(served.url).netloc
    connection = http.client.HTTPConnection(address)
    connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
    if not any(name == "Host" for name, _ in headers):
        connection.putheader("Host", address)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert "access-control-allow-origin" not in {name.lower() for name, _ in answer.getheaders()}
    answer.read()
    connection.close()
    return answer.status


def test_hosts_origins_and_tokens(served: Served) -> None:
    port = urlsplit(served.url).port
    own = f"http://127.0.0.1:{port}"
    assert status(served, AUTH) == 200
    assert status(served, AUTH, ("Host", f"localhost:{port}")) == 200
    assert status(served, AUTH, ("Origin", own)) == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""):
        assert status(served, AUTH, ("Host", host)) == 403, host
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{port + 1}", f"{own}/"):
        assert status(served, AUTH, ("Origin", origin)) == 403, origin
    assert status(served, AUTH, ("Origin", own), ("Origin", "https://evil.example")) == 403
    for given in ((), ("",), (TOKEN,), (f"Basic {TOKEN}",), (f"Bearer {TOKEN}x",), ("Bearer ",)):
        assert status(served, *(("Authorization", one) for one in given)) == 401, given
    assert status(served, AUTH, AUTH) == 401
    # Who is not let in is not told what there is.
    assert status(served, path="/v1/nothing") == 401
    assert status(served, AUTH, path="/v1/nothing") == 404
    assert status(served, AUTH, path="/v1/chat/completions") == 405


def test_a_page_cannot_ask_even_with_the_token(served: Served) -> None:
    with served.raw(Origin="https://evil.example") as page:
        assert page.request("OPTIONS", "/chat/completions").status_code == 403
        assert page.post("/chat/completions", json={}).status_code == 403
    with served.raw() as client:
        # A form of a page could send this type without a preflight.
        sent = client.post(
            "/chat/completions", content="{}", headers={"Content-Type": "text/plain"}
        )
        assert sent.status_code == 415
        assert sent.json()["error"]["type"] == "invalid_request_error"
    assert served.receipts() == []


def test_what_is_too_large_or_nowhere_is_said_in_the_clients_form(served: Served) -> None:
    headers = {"Content-Type": "application/json"}
    with served.raw() as client:
        for method, path, size, status, code in (
            ("POST", "/chat/completions", MAX_REQUEST + 1, 413, "too_large"),
            ("POST", "/embeddings", 2, 404, "not_found"),
            ("DELETE", "/models", 0, 405, "method_not_allowed"),
        ):
            sent = client.request(method, path, content=b" " * size, headers=headers)
            assert sent.status_code == status
            assert sent.json()["error"]["code"] == code


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "example.com", "", "127.1"])
def test_what_other_machines_could_reach_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        loopback_address(address)
    assert loopback_address("localhost") == "127.0.0.1"
    assert loopback_address("::1") == "::1"


def test_a_token_file_is_made_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "it's a token"
    made = token_of(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert token_of(file).secret == made.secret
    assert file.read_text().strip() == made.secret.reveal()
    assert made.secret.reveal() not in f"{made!r}{made.shell}"
    assert os.popen(f"echo {made.shell}").read().strip() == made.secret.reveal()
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="read by others"):
        token_of(file)


def test_a_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert token_of(None).secret.reveal() == TOKEN
    assert token_of(tmp_path / "file").secret.reveal() != TOKEN
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(ConfigError, match=VARIABLE) as refused:
        token_of(None)
    assert "short" not in str(refused.value)
    monkeypatch.delenv(VARIABLE)
    assert token_of(None).secret != token_of(None).secret
