"""The simulated network as a whole: chains, registry, hosts, facilitator, control address."""

from __future__ import annotations

import json
import stat
import threading
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.simnet import RunningSimnet, chat, client

from opg_magic.errors import SimnetError
from opg_magic.network import profiles, simnet_client
from opg_magic.network.profiles import (
    OPG_ADDRESS,
    PAYMENT_CHAIN_ID,
    REGISTRY_ADDRESS,
    REGISTRY_CHAIN_ID,
)
from opg_magic.protocol.keccak import keccak256


def control(
    simnet: RunningSimnet, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    return simnet_client.control(simnet.net.state, method, path, body)


def test_three_hosts_of_different_owners_are_active(honest_simnet: RunningSimnet) -> None:
    net = honest_simnet.net
    listed = [honest_simnet.listed(host) for host in honest_simnet.hosts]
    assert len({host.owner for host in listed}) == len({host.endpoint for host in listed}) == 3
    assert net.payer not in {host.owner for host in listed}
    for host, entry in zip(honest_simnet.hosts, listed, strict=True):
        assert net.registry.is_active(host.tee_id)
        assert entry.tee_id == "0x" + keccak256(entry.public_key).hex()
        assert entry.tls_certificate == host.certificate.der
        assert entry.endpoint == host.endpoint
        assert entry.endpoint.startswith("https://127.0.0.1:")


def test_the_profile_has_the_real_ids_and_addresses_and_local_rpcs(simnet: RunningSimnet) -> None:
    network = simnet.network
    assert network.simulated
    assert (network.registry_chain_id, network.payment_chain_id) == (
        REGISTRY_CHAIN_ID,
        PAYMENT_CHAIN_ID,
    )
    assert (network.registry_address, network.token.address) == (REGISTRY_ADDRESS, OPG_ADDRESS)
    assert network.facilitators == (simnet.net.facilitator,)
    assert network.simulated_roots == {simnet.net.keys.authority.root_sha256}
    for url, chain_id in (
        (network.registry_rpcs[0], REGISTRY_CHAIN_ID),
        (network.payment_rpcs[0], PAYMENT_CHAIN_ID),
    ):
        where = urlsplit(url)
        assert where.hostname == "127.0.0.1"
        connection = HTTPConnection("127.0.0.1", where.port or 0, timeout=10)
        question = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
        connection.request("POST", "/", json.dumps(question), {"Content-Type": "application/json"})
        assert int(json.loads(connection.getresponse().read())["result"], 16) == chain_id
        connection.close()


def test_state_holds_what_a_client_needs(simnet: RunningSimnet) -> None:
    state = simnet.net.state
    assert state["version"] == 1
    assert profiles.of_state(state) == simnet.network
    assert int(simnet_client.wallet_key(state).reveal(), 16) == int.from_bytes(
        simnet.wallet_key.reveal(), "big"
    )
    assert [h["name"] for h in state["hosts"]] == ["anna", "bruno", "chidi"]


def test_secrets_are_private_files(simnet: RunningSimnet) -> None:
    folder = simnet.net.keys.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_revoking_a_build_ends_only_the_hosts_that_run_it(honest_simnet: RunningSimnet) -> None:
    honest_simnet.registry("chidi", "revoke")
    active = {
        host.name: honest_simnet.net.registry.is_active(host.tee_id) for host in honest_simnet.hosts
    }
    assert active == {"anna": True, "bruno": True, "chidi": False}
    honest_simnet.registry("chidi", "approve")
    assert honest_simnet.net.registry.is_active(honest_simnet.host("chidi").tee_id)


def test_a_host_can_be_disabled_and_enabled(honest_simnet: RunningSimnet) -> None:
    tee_id = honest_simnet.host("anna").tee_id
    honest_simnet.registry("anna", "disable")
    assert not honest_simnet.net.registry.is_active(tee_id)
    honest_simnet.registry("anna", "enable")
    assert honest_simnet.net.registry.is_active(tee_id)


def test_an_unknown_host_mode_or_action_is_refused_by_name(honest_simnet: RunningSimnet) -> None:
    with pytest.raises(SimnetError, match="No host is called “zoe”"):
        honest_simnet.cheat("zoe", "off")
    with pytest.raises(SimnetError, match="change-byte"):
        honest_simnet.cheat("anna", "change-bite")
    with pytest.raises(SimnetError, match="registry action"):
        honest_simnet.registry("anna", "praise")


def test_a_host_answers_to_the_beginning_of_its_tee_id(simnet: RunningSimnet) -> None:
    host = simnet.hosts[1]
    assert simnet.host(host.tee_id[:14]) is host
    assert simnet.host(host.tee_id[2:12].upper()) is host


# ---------------------------------------------------------------------------------- control address


def test_control_needs_its_token(simnet: RunningSimnet) -> None:
    state = {**simnet.net.state, "control_token": "guess"}
    with pytest.raises(SimnetError, match="X-Control-Token"):
        simnet_client.control(state, "GET", "/status")


def test_control_shows_status_without_secrets(honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat("bruno", "slow")
    status = control(honest_simnet, "GET", "/status")
    assert [(h["name"], h["cheat"], h["active"]) for h in status["hosts"]] == [
        ("anna", "off", True),
        ("bruno", "slow", True),
        ("chidi", "off", True),
    ]
    text = json.dumps(status)
    assert honest_simnet.net.control_token.reveal() not in text
    assert honest_simnet.wallet_key.reveal().hex() not in text


def test_control_makes_a_host_cheat_and_honest_again(honest_simnet: RunningSimnet) -> None:
    said = control(honest_simnet, "POST", "/cheat", {"host": "anna", "mode": "http-500"})
    assert said["mode"] == honest_simnet.host("anna").cheat.mode == "http-500"
    control(honest_simnet, "POST", "/cheat", {"host": "anna", "mode": "off"})
    assert honest_simnet.host("anna").cheat.mode == "off"
    with pytest.raises(SimnetError, match="no cheat"):
        control(honest_simnet, "POST", "/cheat", {"host": "anna", "mode": "nope"})
    with pytest.raises(SimnetError, match="malformed"):
        control(honest_simnet, "POST", "/cheat", {"host": "anna"})


def test_control_changes_the_registry(honest_simnet: RunningSimnet) -> None:
    after = control(honest_simnet, "POST", "/registry", {"host": "chidi", "action": "disable"})
    assert [h["active"] for h in after["hosts"]] == [True, True, False]


async def test_control_settles(honest_simnet: RunningSimnet) -> None:
    async with client(honest_simnet) as payer:
        await payer.pay(chat("hello"))
    assert len(control(honest_simnet, "POST", "/settle")["transactions"]) >= 1
    assert control(honest_simnet, "POST", "/settle", {"idle_seconds": 50})["settle_idle"] == 50


def test_control_reports_clients_and_the_wish_to_end(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    seen: list[int] = []
    ended = threading.Event()
    with RunningSimnet(on_client=seen.append, on_down=ended.set) as own:
        simnet_client.lease(own.net.state, pid=4321)
        with pytest.raises(SimnetError, match="malformed"):
            control(own, "POST", "/clients", {"pid": "1"})
        control(own, "POST", "/down")
        assert ended.wait(10)
    assert seen == [4321]


def test_each_start_is_another_run_of_the_same_installation(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    with RunningSimnet() as first:
        before = first.net.state
    with RunningSimnet() as second:
        after = second.net.state
    assert before["run_id"] != after["run_id"]
    assert {h["tee_id"] for h in before["hosts"]}.isdisjoint(h["tee_id"] for h in after["hosts"])
    for kept in ("root_sha256", "payer", "facilitator"):
        assert before[kept] == after[kept]


def test_without_the_extra_the_error_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, opg_home: Any
) -> None:
    from opg_magic.simnet import network

    monkeypatch.setattr(network, "missing_packages", lambda: ["aiohttp", "py-evm"])
    with pytest.raises(SimnetError, match=r'aiohttp, py-evm[\s\S]*pip install .*"py-evm'):
        network.SimNetwork()


def test_a_host_that_falls_silent_stops_being_active_until_it_speaks(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    with RunningSimnet() as own:
        tee_id = own.host("bruno").tee_id
        # A heartbeat of exactly its age still counts: some seconds must have passed since.
        monkeypatch.setattr(own.net.registry_chain.machine, "now", lambda: time.time() + 5)
        own.net.registry.contract.send(own.net.keys.admin, "setHeartbeatMaxAge", 0)
        assert not own.net.registry.is_active(tee_id)
        own.net.registry.contract.send(own.net.keys.admin, "setHeartbeatMaxAge", 1800)
        before = own.listed(own.host("bruno")).last_heartbeat_at
        # Signed by the host's own key: the chain checks it by its precompile.
        own.registry("bruno", "heartbeat")
        assert own.net.registry.is_active(tee_id)
        spoken = own.listed(own.host("bruno")).last_heartbeat_at
        assert spoken >= before
        # None is refused within one second, though the registry wants each to be a second later
        # than the last.
        for _ in range(3):
            own.registry("bruno", "heartbeat")
        assert own.listed(own.host("bruno")).last_heartbeat_at >= spoken
        assert own.net.registry.is_active(tee_id)
