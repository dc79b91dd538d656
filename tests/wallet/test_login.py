"""Signing in, keeping a sign-in, and that a token is seen nowhere."""

from __future__ import annotations

import getpass
import json
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from opg_magic.errors import SignInNeeded, WalletError
from opg_magic.models.secret import Secret
from opg_magic.network.profiles import OPENGRADIENT
from opg_magic.settings import paths, sign_in
from opg_magic.settings.sign_in import SignIn
from opg_magic.wallet import login, sign_in_store

CANARY = "canary-token-9f31c7"
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
PASSWORD = "correct horse battery staple"


class FakeKeyring:
    """A keyring of the kind that keeps secrets, in memory."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def get_password(self, _service: str, account: str) -> str | None:
        return self.entries.get(account)

    def set_password(self, _service: str, account: str, value: str) -> None:
        self.entries[account] = value

    def delete_password(self, _service: str, account: str) -> None:
        del self.entries[account]


class Null:
    """No keyring."""


Null.__module__ = "keyring.backends.fail"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    monkeypatch.delenv("OPG_KEYSTORE_PASSWORD", raising=False)
    monkeypatch.setattr("keyring.get_keyring", Null)
    monkeypatch.setattr(login, "is_remote", lambda: False)
    monkeypatch.setattr(sign_in_store, "_known", {})
    return tmp_path


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> FakeKeyring:
    found = FakeKeyring()
    monkeypatch.setattr("keyring.get_keyring", lambda: found)
    return found


def signed_in(**more: Any) -> SignIn:
    return SignIn(login.RELAY, Secret(CANARY), **{"expires_at": LATER, "account": "ada", **more})


def bundle(**config: str) -> str:
    return json.dumps(
        {
            "type": "opengradient-cli-auth",
            "access_token": CANARY,
            "refresh_token": "canary-refresh-77",
            "token_type": "bearer",
            "expires_in": 3600,
            "user": {"email": "ada@example.org"},
            "config": config,
        }
    )


def page(**config: str) -> Callable[[str], bool]:
    """A browser whose user signs in at once."""

    def opened(url: str) -> bool:
        query = parse_qs(urlsplit(url).query)
        to = urlsplit(query["redirect_uri"][0])

        def post() -> None:
            connection = HTTPConnection(to.netloc, timeout=10)
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
            headers = {"Origin": origin, "Content-Type": "application/json"}
            connection.request("POST", to.path, bundle(**config), headers)
            connection.getresponse().read()
            connection.close()

        threading.Thread(target=post, daemon=True).start()
        return True

    return opened


def restart() -> None:
    """What another process would know."""
    sign_in_store._known.clear()


def test_a_sign_in_stands_in_the_keyring_for_other_processes(
    keyring: FakeKeyring, home: Path
) -> None:
    assert sign_in_store.place() == "keyring"
    sign_in_store.keep(OPENGRADIENT, signed_in(), "keyring")
    restart()
    assert sign_in_store.current(OPENGRADIENT) == signed_in()
    assert sign_in_store.kept_in(OPENGRADIENT) == "keyring"
    assert sign_in_store.forget(OPENGRADIENT)
    assert keyring.entries == {}
    assert sign_in_store.current(OPENGRADIENT) is None
    assert not sign_in_store.forget(OPENGRADIENT)
    assert list(home.iterdir()) == []


def test_without_a_keyring_it_stands_encrypted_under_the_password(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("OPG_KEYSTORE_PASSWORD", PASSWORD)
    assert sign_in_store.place() == "file"
    sign_in_store.keep(OPENGRADIENT, signed_in(), "file")
    file = paths.sign_in_file("opengradient")
    assert file.stat().st_mode & 0o777 == 0o600
    for word in (CANARY, "ada", "relay", "chat-api"):
        assert word not in file.read_text()
    restart()
    assert sign_in_store.current(OPENGRADIENT) == signed_in()

    restart()
    monkeypatch.setenv("OPG_KEYSTORE_PASSWORD", "another password")
    with pytest.raises(WalletError, match="wrong password"):
        sign_in_store.current(OPENGRADIENT)
    monkeypatch.delenv("OPG_KEYSTORE_PASSWORD")
    with pytest.raises(WalletError, match="password is not set"):
        sign_in_store.current(OPENGRADIENT)


def test_a_sealed_sign_in_does_not_open_for_another_network(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("OPG_KEYSTORE_PASSWORD", PASSWORD)
    sign_in_store.keep(OPENGRADIENT, signed_in(), "file")
    paths.sign_in_file("opengradient").rename(paths.sign_in_file("other"))
    with pytest.raises(WalletError, match="cannot be opened"):
        sign_in_store.current(replace(OPENGRADIENT, name="other"))


def test_else_it_stands_in_this_process_alone(home: Path) -> None:
    assert sign_in_store.place() == "process"
    sign_in_store.keep(OPENGRADIENT, signed_in(), "process")
    assert sign_in_store.current(OPENGRADIENT) == signed_in()
    assert list(home.iterdir()) == []
    restart()
    assert sign_in_store.current(OPENGRADIENT) is None


def test_a_process_notices_that_another_signed_in_or_out(keyring: FakeKeyring) -> None:
    sign_in_store.keep(OPENGRADIENT, signed_in(account="ada"), "keyring")
    mine = dict(sign_in_store._known)
    sign_in_store.keep(OPENGRADIENT, signed_in(account="eve"), "keyring")
    sign_in_store._known.update(mine)
    found = sign_in_store.current(OPENGRADIENT)
    assert found is not None
    assert found.account == "eve"
    sign_in_store.forget(OPENGRADIENT)
    sign_in_store._known.update(mine)
    assert sign_in_store.current(OPENGRADIENT) is None


def test_signing_in_by_the_browser(
    keyring: FakeKeyring, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
    home: Path,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    found = login.log_in(OPENGRADIENT, open_browser=page(), timeout=30)
    assert found.relay == login.RELAY
    assert sign_in.usable(sign_in_store.current(OPENGRADIENT), OPENGRADIENT) == found
    login.who_am_i(OPENGRADIENT)
    said = capfd.readouterr()
    assert "Signed in as ada@example.org at chat-api.opengradient.ai until" in said.out
    assert "in the OS keyring" in said.out
    written = "".join(file.read_text() for file in home.rglob("*") if file.is_file())
    for seen in (said.out, said.err, caplog.text, written, repr(found)):
        assert "canary" not in seen
    assert "canary-refresh" not in json.dumps(keyring.entries)
    login.log_out(OPENGRADIENT)
    assert keyring.entries == {}


def test_a_pasted_sign_in_is_asked_for_at_a_hidden_prompt(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: bundle())
    login.log_in(OPENGRADIENT, no_browser=True, in_kernel=True)
    said = capfd.readouterr()
    assert "https://chat.opengradient.ai/cli-auth?redirect_uri=http%3A%2F%2F127.0.0.1" in said.out
    assert "in this process only" in said.out
    assert "canary" not in said.out + said.err


def test_where_nobody_can_paste_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_front_end(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", no_front_end)
    with pytest.raises(SignInNeeded, match="Nothing was pasted"):
        login.log_in(OPENGRADIENT, no_browser=True, in_kernel=True)


def test_a_shell_that_can_keep_nothing_does_not_open_a_browser() -> None:
    with pytest.raises(SignInNeeded, match="no keyring"):
        login.log_in(OPENGRADIENT, open_browser=lambda url: pytest.fail("a browser was opened"))


@pytest.mark.parametrize("answer", ["", "n", "no", None])
def test_another_relay_is_not_taken_without_a_yes(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", ask)
    with pytest.raises(SignInNeeded, match="It was not kept"):
        login.log_in(OPENGRADIENT, open_browser=page(chat_api_base_url="https://other.example"))
    assert re.search(r"names the relay https://other\.example; yours is", asked[0])
    assert keyring.entries == {}
    assert not paths.config_file().exists()


def test_another_relay_is_taken_and_set_after_a_yes(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    found = login.log_in(OPENGRADIENT, open_browser=page(chat_api_base_url="https://other.example"))
    assert found.relay == "https://other.example"
    assert 'private_relay = "https://other.example"' in paths.config_file().read_text()


@pytest.mark.parametrize(("answer", "taken"), [("", False), ("yes", True)])
def test_another_registry_is_shown_and_asked_for(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    answer: str, taken: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr("builtins.input", lambda _question: answer)
    proposed = {
        "tee_registry_rpc_url": "https://rpc.example",
        "tee_registry_address": "0x" + "12" * 20,
    }
    login.log_in(OPENGRADIENT, open_browser=page(**proposed))
    assert f"names the host registry 0x{'12' * 20}. It is not used" in capfd.readouterr().out
    file = paths.config_file()
    assert ("https://rpc.example" in (file.read_text() if file.exists() else "")) is taken


@pytest.mark.parametrize(
    "rpc", ["http://rpc.example", "ftp://rpc.example", "rpc.example", "https://", "https://a:port"]
)
def test_a_registry_that_anyone_on_the_way_could_alter_is_not_even_asked_for(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    rpc: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("builtins.input", lambda _question: "yes")
    login.log_in(OPENGRADIENT, open_browser=page(tee_registry_rpc_url=rpc))
    assert f"names {rpc} for the host registry. It is not used" in capfd.readouterr().out
    assert not paths.config_file().exists()


def test_an_expired_sign_in_is_said_to_be_over(
    keyring: FakeKeyring, capfd: pytest.CaptureFixture[str]
) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    sign_in_store.keep(OPENGRADIENT, signed_in(expires_at=over), "keyring")
    assert not login.who_am_i(OPENGRADIENT)
    assert "expired at" in capfd.readouterr().out
    with pytest.raises(SignInNeeded, match="Nothing was sent"):
        sign_in.usable(sign_in_store.current(OPENGRADIENT), OPENGRADIENT)


def test_a_token_on_the_magics_line_is_refused_and_not_repeated() -> None:
    from opg_magic.cells.magic_line import LineError
    from opg_magic.notebook.commands import COMMANDS

    with pytest.raises(LineError) as caught:
        COMMANDS["login"].run(None, [CANARY])  # type: ignore[arg-type]
    assert "canary" not in str(caught.value)


def test_on_the_simulated_network_the_users_own_sign_in_comes_first(keyring: FakeKeyring) -> None:
    from opg_magic.call.kernel import Kernel
    from opg_magic.network.profiles import simulated

    relay = "http://127.0.0.1:5"
    network = replace(
        simulated(
            registry_rpc=relay, payment_rpc=relay, facilitator="", run_id="r", root_sha256=""
        ),
        private_relay=relay,
    )
    kernel = Kernel()
    kernel._sim_state = {"relay_token": "its own"}

    def token() -> str:
        found = kernel._signed_in(network)
        assert found is not None
        return found.token.reveal()

    assert token() == "its own"
    sign_in_store.keep(network, replace(signed_in(), relay=relay), "keyring")
    assert token() == CANARY
    # One of an earlier start names a relay that is gone.
    sign_in_store.keep(network, signed_in(), "keyring")
    assert token() == "its own"


class Locked(FakeKeyring):
    """A keyring that nobody unlocks."""

    def get_password(self, _service: str, _account: str) -> str | None:
        raise RuntimeError("locked")

    set_password = delete_password = get_password  # type: ignore[assignment]


@pytest.mark.parametrize("gone", [Locked, Null, ImportError("no backend")])
@pytest.mark.parametrize("where", ["file", "process"])
def test_a_sign_in_in_a_keyring_that_is_gone_is_replaced(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch, gone: Any, where: sign_in_store.Place
) -> None:
    sign_in_store.keep(OPENGRADIENT, signed_in(account="ada"), "keyring")
    restart()

    def get_keyring() -> Any:
        if isinstance(gone, Exception):
            raise gone
        return gone()

    monkeypatch.setattr("keyring.get_keyring", get_keyring)
    with pytest.raises(WalletError):
        sign_in_store.forget(OPENGRADIENT)
    if where == "file":
        monkeypatch.setenv("OPG_KEYSTORE_PASSWORD", PASSWORD)
    assert sign_in_store.place() == where
    sign_in_store.keep(OPENGRADIENT, signed_in(account="eve"), where)
    found = sign_in_store.current(OPENGRADIENT)
    assert found is not None
    assert found.account == "eve"
    assert sign_in_store.kept_in(OPENGRADIENT) == where


def test_a_sign_in_that_cannot_be_kept_leaves_the_one_before_it(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in_store.keep(OPENGRADIENT, signed_in(account="ada"), "keyring")

    def full(_service: str, _account: str, _value: str) -> None:
        raise RuntimeError("full")

    monkeypatch.setattr(keyring, "set_password", full)
    with pytest.raises(WalletError):
        sign_in_store.keep(OPENGRADIENT, signed_in(account="eve"), "keyring")
    with pytest.raises(WalletError, match="not set"):
        sign_in_store.keep(OPENGRADIENT, signed_in(account="eve"), "file")
    restart()
    found = sign_in_store.current(OPENGRADIENT)
    assert found is not None
    assert found.account == "ada"


def test_moving_from_the_keyring_takes_the_entry_away(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in_store.keep(OPENGRADIENT, signed_in(), "keyring")
    monkeypatch.setenv("OPG_KEYSTORE_PASSWORD", PASSWORD)
    sign_in_store.keep(OPENGRADIENT, signed_in(), "file")
    assert keyring.entries == {}


def test_settings_are_written_only_for_a_sign_in_that_was_kept(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_service: str, _account: str, _value: str) -> None:
        raise RuntimeError("full")

    monkeypatch.setattr(keyring, "set_password", full)
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    proposed = {
        "chat_api_base_url": "https://other.example",
        "tee_registry_rpc_url": "https://rpc.example",
    }
    with pytest.raises(WalletError):
        login.log_in(OPENGRADIENT, open_browser=page(**proposed))
    assert not paths.config_file().exists()


def test_what_is_agreed_to_at_login_holds_in_that_kernel(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from opg_magic.call.session import Session
    from opg_magic.notebook.commands import COMMANDS

    monkeypatch.setenv("OPG_NETWORK", "opengradient")
    session = Session()
    assert session.network.private_relay in (None, login.RELAY)
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    monkeypatch.setattr("webbrowser.open", page(chat_api_base_url="https://other.example"))
    COMMANDS["login"].run(SimpleNamespace(session=lambda: session), [])  # type: ignore[arg-type]
    assert session.network.private_relay == "https://other.example"
    found = sign_in.current(session.network)
    assert sign_in.usable(found, session.network).relay == "https://other.example"
