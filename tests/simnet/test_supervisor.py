"""The background process: one for all, private, gone when nobody uses it, and a crash blocks
nothing."""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.simnet import ProcessSimnet

from opg_magic.errors import SimnetError
from opg_magic.network import profiles, simnet_client
from opg_magic.simnet.process import supervisor


def wait_gone(pid: int, timeout: float = 30.0) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], timeout)[0], f"process {pid} still runs"
    finally:
        os.close(handle)


def test_up_starts_one_private_process_and_down_ends_it(simnet_process: ProcessSimnet) -> None:
    assert simnet_client.read_state() is None
    assert simnet_client.status() is None
    state = simnet_process.up()
    pid = state["pid"]
    assert pid != os.getpid()
    assert os.getpgid(pid) == pid != os.getpgid(0)
    assert stat.S_IMODE(simnet_client.state_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(supervisor.log_file().stat().st_mode) == 0o600
    assert simnet_client.still_runs(state)
    assert simnet_process.up() == state
    assert simnet_client.ensure_up() == state
    network = profiles.of_state(state)
    assert network.simulated_roots == {state["root_sha256"]} == simnet_client.own_roots()
    assert network.run_id == state["run_id"]

    assert simnet_client.cheat("anna", "slow")["mode"] == "slow"
    status = simnet_client.status()
    assert status is not None
    assert [h["cheat"] for h in status["hosts"]] == ["slow", "off", "off"]

    assert simnet_client.down() is True
    wait_gone(pid)
    assert not simnet_client.state_file().exists()
    assert simnet_client.read_state() is None
    assert not simnet_client.still_runs(state)
    assert simnet_client.down() is False
    with pytest.raises(SimnetError, match="opg simnet up"):
        simnet_client.cheat("anna", "off")


def test_two_starts_at_once_make_one_network(simnet_process: ProcessSimnet) -> None:
    states: list[dict[str, Any]] = []
    starts = [
        threading.Thread(target=lambda: states.append(simnet_client.ensure_up())) for _ in range(3)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len(states) == 3
    assert (
        len({state["run_id"] for state in states}) == len({state["pid"] for state in states}) == 1
    )
    assert supervisor.is_locked()


def test_a_crash_blocks_nothing(simnet_process: ProcessSimnet) -> None:
    first = simnet_process.up()
    os.kill(first["pid"], signal.SIGKILL)
    wait_gone(first["pid"])
    assert simnet_client.state_file().exists()
    assert simnet_client.read_state() is None
    assert not supervisor.is_locked()
    second = simnet_process.up()
    assert second["run_id"] != first["run_id"]
    assert second["root_sha256"] == first["root_sha256"]


def test_it_ends_when_its_last_client_has_ended(simnet_process: ProcessSimnet) -> None:
    state = simnet_process.up("--idle-exit", "1")
    client = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        simnet_client.lease(state, pid=client.pid)
        handle = os.pidfd_open(state["pid"])
        # Longer than the idle time: it would be gone if the living client did not count.
        assert not select.select([handle], [], [], 2.5)[0]
        os.close(handle)
    finally:
        client.communicate(b"\n")
    wait_gone(state["pid"])
    assert not simnet_client.state_file().exists()
    assert "Traceback" not in supervisor.log_file().read_text("utf-8")


def test_a_users_secrets_do_not_reach_it(
    simnet_process: ProcessSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "0x" + "5a" * 32
    for name in (
        "OPG_PRIVATE_KEY",
        "OPG_KEYSTORE_PASSWORD",
        "ETH_PRIVATE_KEY",
        "MNEMONIC",
        "OPENAI_API_KEY",
    ):
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("HARMLESS", "stays")
    state = simnet_process.up()
    environment = Path(f"/proc/{state['pid']}/environ").read_bytes()
    assert secret.encode() not in environment
    assert b"HARMLESS=stays" in environment
    for path in simnet_process.home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


def test_its_log_holds_no_secret(simnet_process: ProcessSimnet) -> None:
    state = simnet_process.up()
    key = simnet_client.wallet_key(state).reveal()
    simnet_client.down()
    log = supervisor.log_file().read_text("utf-8")
    assert state["run_id"] in log
    assert key.removeprefix("0x") not in log
    assert state["control_token"] not in log


def test_a_failed_start_shows_the_end_of_the_log(simnet_process: ProcessSimnet) -> None:
    keys = simnet_process.home / "simnet" / "keys"
    keys.mkdir(parents=True)
    (keys / "payer.key").write_text("not a key")
    with pytest.raises(
        SimnetError, match=r"ended while starting[\s\S]*payer.key does not hold a key"
    ):
        simnet_client.ensure_up()
    assert simnet_client.read_state() is None


def test_a_state_file_that_points_elsewhere_gets_no_token(opg_home: Path) -> None:
    state = {
        "control": "http://192.0.2.1:80",
        "control_token": "x",
        "pid": os.getpid(),
        "run_id": "a",
    }
    with pytest.raises(SimnetError, match="not on this machine"):
        simnet_client.control(state, "GET", "/status")
    simnet_client.state_file().write_text(json.dumps(state))
    assert simnet_client.read_state() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "run_id": "a"}'])
def test_a_damaged_state_file_counts_as_none(opg_home: Path, text: str) -> None:
    simnet_client.state_file().write_text(text)
    assert simnet_client.read_state() is None


def test_a_living_client_keeps_the_network_and_a_dead_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    leases = supervisor.Leases()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    leases.add(child.pid)
    now[0] = 5000.0
    assert leases.idle_for() == 0
    # Ended, but not yet waited for: such a process uses nothing any more.
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    now[0] = 5600.0
    assert leases.idle_for() == 600
    child.wait()
    leases.touch()
    assert leases.idle_for() == 0


def test_an_ended_process_does_not_run_though_nobody_waited_for_it(opg_home: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    state = {"pid": child.pid, "run_id": "a"}
    simnet_client.state_file().write_text(json.dumps(state))
    assert not simnet_client.still_runs(state)
    child.wait()


def test_only_one_process_holds_the_lock(opg_home: Path) -> None:
    with supervisor.running_lock() as mine:
        assert mine
        code = (
            "from opg_magic.simnet.process import supervisor; raise SystemExit(supervisor.serve())"
        )
        other = subprocess.run(
            [sys.executable, "-c", code], env=simnet_client.clean_environment(), check=False
        )
        assert other.returncode == supervisor.ALREADY
    assert not supervisor.is_locked()


def test_without_the_extra_starting_names_the_pip_command(
    opg_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simnet_client, "missing_packages", lambda: ["py-evm"])
    for start in (simnet_client.ensure_up, supervisor.up):
        with pytest.raises(SimnetError, match=r'py-evm[\s\S]*pip install .*"py-evm'):
            start()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "opg_magic.simnet", *arguments],
        env=simnet_client.clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line(simnet_process: ProcessSimnet) -> None:
    down = command("status")
    assert (down.returncode, down.stderr) == (1, "")
    assert "not running" in down.stdout
    assert command("cheats").stdout.count("\n") >= 30

    simnet_process.up()
    status = json.loads(command("status", "--json").stdout)
    assert [h["name"] for h in status["hosts"]] == ["anna", "bruno", "chidi"]
    assert "anna changes one letter" in command("cheat", "anna", "change-byte").stdout
    assert "change-byte" in command("status").stdout
    wrong = command("cheat", "anna", "change-bite")
    assert wrong.returncode == 1
    assert "Did you mean change-byte? off makes the host honest again" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    other = command("up", "--upstream", "http://127.0.0.1:9")
    assert other.returncode == 1
    assert "opg simnet down" in other.stderr
    assert "not active" in command("registry", "bruno", "disable").stdout
    assert command("settle").stdout.splitlines() == ["0 payments settled.", "0 batches committed."]
    assert "has ended" in command("down").stdout
