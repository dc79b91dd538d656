"""Which relay is used, which host can be sealed to, and which route a call takes by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.signing import sealed_call

from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.errors import ChannelRefused, ConfigError, SignInNeeded
from opg_magic.models.secret import Secret
from opg_magic.network.ohttp_relay import RelayClient, key_of, relay_base
from opg_magic.network.profiles import OPENGRADIENT
from opg_magic.settings import sign_in
from opg_magic.settings.config import Settings


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://relay.example", "https://relay.example"),
        ("https://relay.example/", "https://relay.example"),
        ("https://relay.example:8443/api/v1/chat/ohttp", "https://relay.example:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
    ],
)
def test_a_relay_is_named_by_its_base_or_its_whole_url(url: str, base: str) -> None:
    assert relay_base(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "http://relay.example",
        "http://192.168.0.1:8000",
        "ftp://relay.example",
        "relay.example",
        "https://",
        "https://user:word@relay.example",
        "https://relay.example/other",
        "https://relay.example/?a=1",
        "https://relay.example:port",
    ],
)
def test_a_relay_without_tls_or_with_more_than_a_name_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="Nothing was sent") as caught:
        RelayClient(url)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("change", [None, {"aeadId": 1}, {"publicKey": b"k" * 31}])
def test_a_host_without_a_usable_key_is_refused_with_its_reason(
    change: dict[str, Any] | None,
) -> None:
    host = sealed_call().host
    assert host is not None and host.ohttp_config is not None
    config = None if change is None else {**host.ohttp_config, **change}
    with pytest.raises(ChannelRefused, match="cannot be asked privately"):
        key_of(replace(host, ohttp_config=config))


def signed_in(**more: Any) -> sign_in.SignIn:
    return sign_in.SignIn("https://relay.example", Secret("a-token-of-a-relay"), **more)


def test_a_sign_in_that_is_over_or_missing_is_told_before_anything_is_sent() -> None:
    now = datetime.now(UTC)
    good = signed_in(expires_at=now + timedelta(hours=1))
    assert sign_in.usable(good, OPENGRADIENT) is good
    assert "a-token" not in repr(good)
    with pytest.raises(SignInNeeded, match="expired at"):
        sign_in.usable(signed_in(expires_at=now - timedelta(seconds=1)), OPENGRADIENT)
    with pytest.raises(SignInNeeded, match="not signed in"):
        sign_in.usable(None, OPENGRADIENT)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    return Session(Settings(environ={}, user_file=tmp_path / "c.toml", project_dir=tmp_path))


def test_by_itself_a_call_is_private_where_there_is_a_sign_in_and_no_wallet(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CallOptions(network="opengradient")
    monkeypatch.setattr(Session, "_has_wallet", lambda self: False)
    assert session.route_of(real) == "direct"
    before = sign_in.use(lambda _network: signed_in())
    try:
        assert session.route_of(real) == "private"
        assert session.route_of(CallOptions(network="sim")) == "direct"
        assert session.route_of(replace(real, route="direct")) == "direct"
        monkeypatch.setattr(Session, "_has_wallet", lambda self: True)
        assert session.route_of(real) == "direct"
        session.settings.set("route", "private")
        assert session.route_of(real) == "private"
    finally:
        sign_in.use(before)
