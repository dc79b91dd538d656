"""Which network is meant, by its name or by its RPCs, and what a user's settings change of it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from opg_magic.errors import ConfigError, SimnetError
from opg_magic.models.networks import Network
from opg_magic.network import profiles, simnet_client
from opg_magic.network.profiles import NAMES, OPENGRADIENT, OPG, SIM, SIM_OPG
from opg_magic.settings.catalogue import NETWORK_KEYS, OWN
from opg_magic.settings.config import Settings

STATE: dict[str, Any] = {
    "registry_rpc": "http://127.0.0.1:1/",
    "payment_rpc": "http://127.0.0.1:2/",
    "facilitator": "0x" + "11" * 20,
    "run_id": "run",
    "root_sha256": "ab" * 32,
    "settlement_relay": "0x" + "22" * 20,
    "settlement_sender": "0x" + "33" * 20,
    "blob_store": "http://127.0.0.1:3",
    "session_idle": 60,
}
#: A value of each setting that belongs to a network, and what the profile then holds.
OWN_VALUES: dict[str, tuple[str, Any]] = {
    "private_relay": ('"https://d.test"', "https://d.test"),
    "registry_rpcs": ('["http://a.test/"]', ("http://a.test/",)),
    "payment_rpcs": ('["http://b.test/"]', ("http://b.test/",)),
    "facilitators": ('["0x44"]', ("0x44",)),
    "payees": ('["0x55"]', ("0x55",)),
    "settlement_relay": ('"0x66"', "0x66"),
    "settlement_senders": ('["0x77"]', ("0x77",)),
    "blob_aggregators": ('["https://c.test"]', ("https://c.test",)),
    "session_idle": ("75", 75.0),
    "proxy": ('"http://p.test:3128"', "http://p.test:3128"),
}


def settings_of(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "user.toml").write_text(text)
    return Settings(environ={}, user_file=tmp_path / "user.toml", project_dir=tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, "".join(f"{k} = {v}\n" for k, (v, _) in OWN_VALUES.items()))


def test_a_real_network_takes_every_setting_of_its_user(own: Settings) -> None:
    found = profiles.resolve("opengradient", own)
    for key, (_, value) in OWN_VALUES.items():
        held = getattr(found, key)
        assert (held.url if key == "proxy" else held) == value, key
    assert found.token == OPG and found.registry_address == OPENGRADIENT.registry_address


def test_what_a_user_leaves_empty_stays_the_networks_own(tmp_path: Path) -> None:
    assert profiles.resolve("opengradient", settings_of(tmp_path, "payees = []")) == OPENGRADIENT
    assert profiles.resolve("opengradient") == OPENGRADIENT


def test_the_simulated_network_takes_no_setting_of_its_user(own: Settings) -> None:
    found = profiles.resolve(SIM, own, state=STATE)
    assert found == profiles.of_state(STATE)
    assert (found.simulated, found.token, found.run_id) == (True, SIM_OPG, "run")
    assert found.registry_rpcs == ("http://127.0.0.1:1/",) and found.proxy is None


def test_the_simulated_network_has_no_profile_before_it_runs() -> None:
    with pytest.raises(SimnetError, match="not running"):
        profiles.resolve(SIM)


@pytest.mark.parametrize("name", ["", "SIM", "opengradient ", "base"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        profiles.resolve(name, state=STATE)
    assert refused.value.hint is not None and all(known in refused.value.hint for known in NAMES)


@pytest.mark.parametrize(
    ("rpcs", "name"),
    [
        (["http://127.0.0.1:1/"], SIM),
        (["https://far.test/", "http://127.0.0.1:2/"], SIM),
        (["http://127.0.0.1:9/"], "opengradient"),
        ([], "opengradient"),
    ],
)
def test_the_network_of_named_rpcs(
    monkeypatch: pytest.MonkeyPatch, rpcs: list[str], name: str
) -> None:
    monkeypatch.setattr(simnet_client, "read_state", lambda: STATE)
    assert profiles.resolve_by_rpcs(rpcs).name == name


def test_named_rpcs_belong_to_the_real_network_while_no_other_runs(
    monkeypatch: pytest.MonkeyPatch, own: Settings
) -> None:
    monkeypatch.setattr(simnet_client, "read_state", lambda: None)
    found = profiles.resolve_by_rpcs(["http://127.0.0.1:1/"], own)
    assert (found.name, found.settlement_relay) == ("opengradient", "0x66")


def test_every_setting_of_a_network_is_a_field_of_its_profile_and_the_users_alone() -> None:
    assert set(NETWORK_KEYS) == set(OWN_VALUES)
    assert set(NETWORK_KEYS) <= {field.name for field in fields(Network)}
    assert set(NETWORK_KEYS) < OWN
    others = {"wallet", "pinned_pcrs", "prices_file", "templates", "aliases"}
    assert OWN - set(NETWORK_KEYS) == others
