"""The Jupyter Server extension in a real server: who may read, what is said, and what never is."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.chains import settled
from support.receipts import SIM, authorisation, failed_receipt, receipt, verdict
from support.simnet import ProcessSimnet, isolated_home

from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.models import VerdictStatus
from opg_magic.network.profiles import OBSERVED_CAP, OPENGRADIENT
from opg_magic.receipt.document import new_id
from opg_magic.settings.limits import Limits

TEE = "0x" + "ab" * 32
WIDE = Limits(OBSERVED_CAP, 10**24, 10**24)


@dataclass
class Server:
    """A server in a process of its own, and its home folder of ours."""

    url: str
    token: str
    home: Path
    client: httpx.Client = field(repr=False)

    def get(self, path: str, *, token: str | None = None, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"token {self.token if token is None else token}"}
        return self.client.get(f"{self.url}/opg-magic/{path}", params=arguments, headers=headers)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.home / "ledger.sqlite")

    def settings(self, text: str) -> None:
        self.home.mkdir(exist_ok=True)
        (self.home / "config.toml").write_text(text)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Jupyter Server as a user starts it: nothing on its command line names the extension."""
    scratch = tmp_path_factory.mktemp("server")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPG_", "JUPYTER"))
    }
    environment = kept | {
        "OPG_HOME": str(scratch / "home"),
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_DATA_DIR": str(scratch / "data"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    log = scratch / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "jupyter_server",
                    "--no-browser",
                    "--allow-root",
                    "--ip=127.0.0.1",
                ),
                f"--port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={token}",
                f"--ServerApp.root_dir={scratch}",
                "--ServerApp.base_url=/user/ada/",
            ],
            cwd=scratch,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}/user/ada"
    with httpx.Client(timeout=60) as client:
        try:
            _wait_until_up(process, client, f"{url}/api", log)
            yield Server(url, token, scratch / "home", client)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_until_up(
    process: subprocess.Popen[bytes], client: httpx.Client, url: str, log: Path
) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            if client.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(log.read_text()[-3000:])


@pytest.fixture
def server(running: Server) -> Server:
    """The same server with an empty home."""
    for suffix in ("", "-wal", "-shm"):
        (running.home / f"ledger.sqlite{suffix}").unlink(missing_ok=True)
    (running.home / "config.toml").unlink(missing_ok=True)
    return running


# ------------------------------------------------------------------------------------- who may read


@pytest.mark.parametrize(
    "path", ["status", "ledger", "receipt/0123456789", "own", f"registry?tee_id={TEE}&block=1"]
)
def test_without_the_servers_token_nothing_is_told(server: Server, path: str) -> None:
    address = f"{server.url}/opg-magic/{path}"
    assert server.client.get(address).status_code == 403
    assert server.client.get(address, headers={"Authorization": "token wrong"}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["status", "ledger", "receipt/0123456789", "own", "registry"])
def test_nothing_can_be_changed(server: Server, method: str, path: str) -> None:
    answer = server.client.request(
        method,
        f"{server.url}/opg-magic/{path}",
        headers={"Authorization": f"token {server.token}"},
        json={},
    )
    assert answer.status_code == 405


def test_answers_are_not_kept_by_the_browser(server: Server) -> None:
    answer = server.get("status")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].startswith("application/json")


# ---------------------------------------------------------------------------------- whose it is


def test_it_tells_which_receipts_the_own_kernels_wrote(server: Server) -> None:
    own, put_there = receipt(), receipt()
    with server.ledger as ledger:
        kernel = own.document["notebook"]["kernel"]
        begun = CallIntent(own.id, own.created_at, SIM, kernel, "openai/gpt-5")
        ledger.begin(begun, reserve=False)
        ledger.save(own)
        ledger.save(put_there)
    asked = [f"{one.id}~{one.computed_digest}" for one in (own, put_there, receipt())]
    asked.append(f"{own.id}~{put_there.computed_digest}")
    found = server.get("own", receipt=asked).json()["own"]
    assert list(found) == [own.computed_digest]
    assert found[own.computed_digest]["at"] == own.document["checked"]["at"]


@pytest.mark.parametrize(
    "asked", ["", "0123456789", "0123456789~sha256:1", "a/b~sha256:" + "0" * 64]
)
def test_a_malformed_question_is_refused(server: Server, asked: str) -> None:
    assert server.get("own", receipt=asked).status_code == 400


def test_attack_45_a_guest_on_anothers_hub_server_is_told_of_none() -> None:
    from types import SimpleNamespace

    from opg_magic.server.handlers import is_owner

    assert is_owner(SimpleNamespace(username="anything"), hub_user=None)
    assert is_owner(SimpleNamespace(username="anna"), hub_user="anna")
    assert is_owner("anna", hub_user="anna")
    for guest in (SimpleNamespace(username="bruno"), "bruno", None):
        assert not is_owner(guest, hub_user="anna")


# --------------------------------------------------------------------------------------- the ledger


def test_reading_makes_no_ledger(server: Server) -> None:
    assert server.get("ledger").json() == {"rows": [], "next": None, "total": 0, "state": ""}
    assert server.get("receipt/0123456789").status_code == 404
    assert server.get("status").json()["running"] == 0
    assert not (server.home / "ledger.sqlite").exists()


def test_the_ledger_is_searched_by_the_server_in_all_that_it_lists(server: Server) -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    made = [
        receipt(text=f"Is {n} prime?", created_at=start + timedelta(seconds=n)) for n in range(30)
    ]
    ending = CallIntent(new_id(), start, SIM, "k", "openai/gpt-5", prompt="Straße nach Aachen")
    with server.ledger as ledger:
        for one in made:
            ledger.save(one)
        ledger.begin(ending, reserve=False)
    seen: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = server.get("ledger", q="PRIME? Is", limit=4, **after).json()
        assert page["total"] == 30 and len(page["rows"]) <= 4
        seen += page["rows"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert len({row["id"] for row in seen}) == len(seen) == 30
    assert [row["time"] for row in seen] == sorted((row["time"] for row in seen), reverse=True)
    (row,) = server.get("ledger", q="strasse").json()["rows"]
    assert row["id"] == ending.id
    (row,) = server.get("ledger", q=made[7].id.lower()).json()["rows"]
    assert row["id"] == made[7].id
    nothing = server.get("ledger", q="no such words").json()
    assert nothing | {"state": ""} == {"rows": [], "next": None, "total": 0, "state": ""}
    assert server.get("ledger", q="x" * 501).status_code == 400


def test_a_reader_who_knows_the_state_is_told_of_changes_alone(server: Server) -> None:
    """Whichever process begins a call, saves a receipt or learns of a settlement."""
    states = [server.get("ledger").json()["state"]]
    assert server.get("ledger", unless=states[0]).json() == {"state": states[0]}

    def changed() -> dict[str, Any]:
        page: dict[str, Any] = server.get("ledger", unless=states[-1]).json()
        assert page["state"] not in states
        states.append(page["state"])
        assert server.get("ledger", unless=states[-1]).json() == {"state": states[-1]}
        return page

    one = receipt()
    begun = CallIntent(new_id(), datetime.now(UTC), SIM, "k", "openai/gpt-5", prompt="p")
    with server.ledger as ledger:
        ledger.save(one)
        assert [row["id"] for row in changed()["rows"]] == [one.id]
        ledger.begin(begun, reserve=False)
        assert {row["id"] for row in changed()["rows"]} == {one.id, begun.id}
        ledger.supplement(one.id, settled())
        assert [row["charge"] for row in changed()["rows"]].count("charged") == 1
    assert server.get("ledger", unless="no state").status_code == 400


def test_pages_hold_every_call_once_newest_first(server: Server) -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    made = [
        receipt(text=f"Question {n}", created_at=start + timedelta(seconds=n // 2))
        for n in range(7)
    ]
    died = CallIntent(new_id(), start + timedelta(seconds=9), SIM, "k", "openai/gpt-5", prompt="p")
    with server.ledger as ledger:
        for one in made:
            ledger.save(one)
        ledger.begin(died, reserve=False)
    seen: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = server.get("ledger", limit=3, **after).json()
        assert page["total"] == 8
        assert len(page["rows"]) <= 3
        seen += page["rows"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert sorted(row["id"] for row in seen) == sorted([*(one.id for one in made), died.id])
    assert [row["time"] for row in seen] == sorted((row["time"] for row in seen), reverse=True)
    assert seen[0]["id"] == died.id
    assert (seen[0]["has_receipt"], seen[0]["verdict"], seen[0]["prompt"]) == (
        False,
        "UNFINISHED",
        "p",
    )
    assert seen[1]["has_receipt"]


def test_a_withheld_answer_is_in_no_row(server: Server) -> None:
    failed = receipt(verdict=verdict(VerdictStatus.FAILED))
    text = failed.document["response"]["text"]
    with server.ledger as ledger:
        ledger.save(failed)
        ledger.save(failed_receipt())
    answer = server.get("ledger")
    rows = {row["id"]: row for row in answer.json()["rows"]}
    assert rows[failed.id]["withheld"] is True
    assert rows[failed.id]["answer"] is None
    assert "withheld_answer" not in rows[failed.id]
    assert text[:3] not in json.dumps(list(rows.values()))


def test_rows_are_short_and_exact(server: Server) -> None:
    one = receipt(text="long " * 500)
    with server.ledger as ledger:
        ledger.save(one)
    (row,) = server.get("ledger").json()["rows"]
    assert len(row["prompt"]) < 400
    assert row["prompt"].endswith("…")
    assert row["verdict"] == "SIMULATED"
    assert row["cost_base_units"] == "4100000000000000"
    assert server.get(f"receipt/{one.id}").json() == one.document


def test_a_receipt_is_found_by_its_whole_id_alone(server: Server) -> None:
    one = receipt()
    with server.ledger as ledger:
        ledger.save(one)
    assert server.get(f"receipt/{one.id}").status_code == 200
    assert server.get(f"receipt/{one.id[:6]}").status_code == 404
    assert server.get(f"receipt/{new_id()}").status_code == 404


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "-1"},
        {"limit": "many"},
        {"after": "' OR 1=1 --"},
        {"after": "x" * 500},
    ],
)
def test_malformed_arguments_are_refused(server: Server, arguments: dict[str, str]) -> None:
    assert server.get("ledger", **arguments).status_code == 400


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize(
    "after", ["soon~0123456789", "2026-11-25", "2026-11-25~", "~0123456789", "2026-11-25~a~b"]
)
def test_a_place_that_no_page_gave_is_refused_and_told(
    server: Server, after: str, saved: bool
) -> None:
    if saved:
        with server.ledger as ledger:
            ledger.save(receipt())
    answer = server.get("ledger", after=after)
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed"
    assert "after" in answer.json()["message"]


@pytest.mark.parametrize(
    "query",
    [
        "ledger?after=%ff%fe", "ledger?limit=%ff", "ledger?limit=%C2%B2", "ledger?limit=1e2",
        "ledger?limit=%00", "ledger?limit=" + "9" * 400, "ledger?after=2026-11-25~%ED%A0%80",
        "ledger?after=9999999999~a%0a", f"registry?tee_id={TEE}&block=%ff",
        f"registry?tee_id={TEE}&block=" + "9" * 19, "registry?tee_id=%00&block=1",
        f"registry?tee_id={TEE}&block=1&chain_id=x", f"registry?tee_id={TEE}&block=1&run_id=%ff",
    ],
)  # fmt: skip
def test_odd_questions_are_the_callers_fault_and_never_the_servers(
    server: Server, query: str
) -> None:
    answer = server.client.get(
        f"{server.url}/opg-magic/{query}", headers={"Authorization": f"token {server.token}"}
    )
    assert answer.status_code == 400
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "name",
    ["%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff", "0123456789%00", "..%2f..%2fx", "0123456789a", "%20" * 10],
)
def test_an_odd_id_is_not_found(server: Server, name: str) -> None:
    with server.ledger as ledger:
        ledger.save(receipt())
    address = f"{server.url}/opg-magic/receipt/{name}"
    assert server.client.get(
        address, headers={"Authorization": f"token {server.token}"}
    ).status_code in (400, 404)


def test_a_damaged_ledger_is_told_and_not_replaced(server: Server) -> None:
    server.home.mkdir(exist_ok=True)
    (server.home / "ledger.sqlite").write_bytes(
        b"not a database, and long enough to look like one" * 100
    )
    answer = server.get("ledger")
    assert answer.status_code == 500
    assert "ledger" in answer.json()["message"]
    assert (server.home / "ledger.sqlite").read_bytes().startswith(b"not a database")


# --------------------------------------------------------------------------------------- the status


def test_status_tells_limits_and_what_the_day_took(server: Server) -> None:
    server.settings('network = "opengradient"\nmax_cost_per_day = "2.5"\npolicy = "strict"\n')
    covered = authorisation(7, deadline=int(time.time()) + 300)
    call = CallIntent(
        new_id(), datetime.now(UTC), OPENGRADIENT, "k", "openai/gpt-5", authorisation=covered
    )
    with server.ledger as ledger:
        ledger.begin(call, reserve=True, limits=WIDE)
        status = server.get("status").json()
        assert status["network"] == {
            "name": "opengradient",
            "title": "OpenGradient",
            "simulated": False,
            "up": True,
            "run_id": None,
        }
        assert status["limits"]["day"] == "2500000000000000000"
        assert status["today"]["reserved"] == str(OBSERVED_CAP)
        assert status["token"] == {"symbol": "OPG", "decimals": 18}
        assert status["policy"] == "strict"
        # This process begun it, and lives.
        assert status["running"] == 1
        ledger.record(call.id, "not-sent")
        assert server.get("status").json()["running"] == 0


def test_status_of_a_simulated_network_that_is_not_running(server: Server) -> None:
    status = server.get("status").json()
    assert status["network"]["simulated"] is True
    assert status["network"]["up"] is False
    assert status["today"] is None


def test_status_tells_a_broken_settings_file(server: Server) -> None:
    server.settings("network = [")
    answer = server.get("status")
    assert answer.status_code == 500
    assert answer.json()["code"] == "settings"


def test_no_secret_is_in_the_status(server: Server) -> None:
    server.settings('registry_rpcs = ["http://127.0.0.1:1/v2/KEY-IN-URL"]\n')
    assert "KEY-IN-URL" not in server.get("status").text
    assert server.get("status").json()["registry_rpcs"] == 1


# ------------------------------------------------------------------------------------- the registry


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"tee_id": TEE},
        {"tee_id": "0x12", "block": "1"},
        {"tee_id": TEE, "block": "-1"},
        {"tee_id": TEE, "block": "latest"},
        {"tee_id": TEE, "block": "1", "run_id": "../.."},
        {"tee_id": TEE, "block": "1", "rpc": "http://127.0.0.1:1/"},
    ],
)
def test_the_registry_is_asked_well_formed_questions_only(
    server: Server, arguments: dict[str, str]
) -> None:
    assert server.get("registry", **arguments).status_code == 400


def test_without_an_rpc_of_the_users_nobody_is_asked(server: Server) -> None:
    answer = server.get("registry", tee_id=TEE, block=1)
    assert answer.status_code == 409
    assert answer.json()["code"] == "not-configured"


def test_a_simulated_run_that_is_over_cannot_be_asked(server: Server) -> None:
    answer = server.get("registry", tee_id=TEE, block=1, run_id="another")
    assert answer.status_code == 409
    assert "does not run here" in answer.json()["message"]


def test_another_chain_than_the_settings_is_not_asked(server: Server) -> None:
    server.settings('registry_rpcs = ["http://127.0.0.1:1/"]\n')
    answer = server.get("registry", tee_id=TEE, block=1, chain_id=1)
    assert answer.status_code == 409
    assert "chain 10740" in answer.json()["message"]


def test_an_rpc_that_is_not_there_is_told(server: Server) -> None:
    server.settings('registry_rpcs = ["http://127.0.0.1:1/secret-path"]\n')
    answer = server.get("registry", tee_id=TEE, block=1)
    assert answer.status_code == 502
    assert "secret-path" not in answer.text


@pytest.fixture(scope="module")
def simulated(running: Server) -> Iterator[dict[str, Any]]:
    """The user's own simulated network, running."""
    running.home.mkdir(exist_ok=True)
    with isolated_home(running.home):
        network = ProcessSimnet()
        try:
            yield network.up()
        finally:
            network.end()


def _block(server: Server, url: str) -> int:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
    return int(server.client.post(url, json=asked).json()["result"], 16)


@pytest.mark.simnet
def test_the_registry_of_the_users_own_simulated_network(
    server: Server, simulated: dict[str, Any]
) -> None:
    host, block = simulated["hosts"][0], _block(server, simulated["registry_rpc"])
    question = {"tee_id": host["tee_id"], "block": block, "chain_id": 10740}
    # JupyterLab's requests bear the time, so that no cache answers.
    by_run = server.get("registry", run_id=simulated["run_id"], **question, **{"1795233600000": ""})
    assert by_run.status_code == 200, by_run.text
    told = by_run.json()
    assert (told["simulated"], told["run_id"]) == (True, simulated["run_id"])
    assert told["registry"]["active"] is True
    assert told["registry"]["block_number"] == str(block)
    assert told["registry"]["entry"]["tee_id"] == host["tee_id"]
    assert "/" not in told["registry"]["rpcs"][0]
    # The same through an RPC that the settings name; and a key that the registry does not list.
    assert server.get("registry", **question).status_code == 409
    server.settings(f'registry_rpcs = ["{simulated["registry_rpc"]}"]\n')
    through_settings = server.get("registry", **question).json()
    assert len(through_settings["registry"].pop("rpcs")) == 1
    assert told["registry"].pop("rpcs")
    assert through_settings == told
    unlisted = server.get("registry", **{**question, "tee_id": TEE}).json()["registry"]
    assert (unlisted["active"], unlisted["entry"], unlisted["inactive_reason"]) == (
        False,
        None,
        "not listed",
    )
    future = server.get("registry", **{**question, "block": block + 10**6})
    assert future.status_code == 502


@pytest.mark.simnet
def test_status_of_the_running_simulated_network(server: Server, simulated: dict[str, Any]) -> None:
    answer = server.get("status")
    status = answer.json()
    assert status["network"]["up"] is True
    assert status["today"] == {"reserved": "0", "cost": "0"}
    assert {h["tee_id"] for h in status["hosts"]} == {h["tee_id"] for h in simulated["hosts"]}
    assert status["simulated_roots"] == [simulated["root_sha256"]]
    for secret in ("control_token", "wallet_key_file", "control"):
        assert simulated[secret] not in answer.text
