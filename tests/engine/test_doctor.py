"""``opg doctor``: every fault is found and named with its mend; nothing is signed, sent or started.

The real network is the simulated one's chains and hosts under the real profile: chain IDs and
addresses are the same."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.receipts import receipt
from support.rpc_double import result, rpc_double
from support.simnet import RunningSimnet

from opg_magic.call import doctor
from opg_magic.call.doctor import connection, machine, patient
from opg_magic.call.session import Session
from opg_magic.display import diagnosis
from opg_magic.errors import WalletError
from opg_magic.ledger.store import Ledger
from opg_magic.models.diagnosis import Diagnosis, Finding, State
from opg_magic.models.secret import Secret
from opg_magic.network import simnet_client
from opg_magic.network.transport import HostClient
from opg_magic.notebook.commands import doctor as command
from opg_magic.settings import paths, sign_in
from opg_magic.settings.config import Settings
from opg_magic.settings.sign_in import SignIn
from opg_magic.shell.main import main
from opg_magic.wallet.keys import Wallet
from opg_magic.wallet.keystore import create_keystore
from opg_magic.wallet.private_key import new_key

TOKEN = "t0ken-which-nobody-may-see"
RELAY = "https://relay.example"

Examine = Callable[..., Diagnosis]


@pytest.fixture(autouse=True)
def nothing_is_signed_or_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **more: Any) -> None:
        raise AssertionError("a look must not sign or send")

    monkeypatch.setattr(Wallet, "_signed", refuse)
    monkeypatch.setattr(HostClient, "send", refuse)


@pytest.fixture(autouse=True)
def relays_of_examples_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = connection.connects

    async def connects(host: str, port: int) -> str | None:
        return None if host.endswith(".example") else await honest(host, port)

    monkeypatch.setattr(connection, "connects", connects)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    for name in ("OPG_PRIVATE_KEY", "OPG_KEYSTORE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def signed_in() -> Iterator[Callable[[Any], None]]:
    """Takes a sign-in, or what gives one."""

    def use(found: Any) -> None:
        sign_in.use(found if callable(found) else lambda _network: found)

    before = sign_in.use(sign_in.nobody)
    # A session would otherwise put its own store in the place of nobody.
    sign_in.use(lambda _network: None)
    yield use
    sign_in.use(before)


@pytest.fixture
def real(
    honest_simnet: RunningSimnet, home: Path, tmp_path: Path, signed_in: Any
) -> Iterator[Examine]:
    """Examines a session on the real profile, with these settings."""
    state = honest_simnet.net.state
    made: list[Session] = []

    def examine(*, in_notebook: bool = False, **settings: Any) -> Diagnosis:
        values = {
            "network": "opengradient",
            "registry_rpcs": [state["registry_rpc"]],
            "payment_rpcs": [state["payment_rpc"]],
            "facilitators": [state["facilitator"]],
            **settings,
        }
        file = tmp_path / "config.toml"
        file.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
        made.append(Session(Settings(environ={}, user_file=file, project_dir=tmp_path)))
        return doctor.examine(made[-1], in_notebook=in_notebook)

    yield examine
    for session in made:
        session.close()


def of(found: Diagnosis, check: str) -> Finding:
    return next(finding for finding in found.findings if finding.check == check)


def blocking(found: Diagnosis) -> list[str]:
    return [finding.check for finding in found.findings if finding.state is State.BLOCKS]


def valid(**more: Any) -> SignIn:
    until = datetime.now(UTC) + timedelta(days=1)
    return SignIn(**{"relay": RELAY, "token": Secret(TOKEN), "expires_at": until, **more})


# ---------------------------------------------------------------------------- the simulated network


def test_a_simulated_network_that_does_not_run_is_not_started(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simnet_client, "ensure_up", lambda *a, **k: pytest.fail("it was started"))
    assert main(["doctor", "--network", "sim"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("A call can be made on the simulated network (direct route).")
    assert "the first call starts it" in told
    assert not home.exists(), "a look makes no files"


def test_all_is_well_where_the_simulated_network_runs(
    honest_simnet: RunningSimnet, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simnet_client, "read_state", lambda: honest_simnet.net.state)
    found = doctor.examine(session, in_notebook=True)
    assert found.ready and found.simulated
    for check in ("network", "clock", "registry RPCs", "payment RPCs", "wallet", "allowance"):
        assert of(found, check).state is State.GOOD, of(found, check)
    assert of(found, "wallet").says.startswith(honest_simnet.payer)
    for check in ("terms", "ledger"):
        assert of(found, check).state is State.GOOD, of(found, check)
    assert "2 of 2 answer and agree (chain 10740" in of(found, "registry RPCs").says
    assert (
        "with a cap of 0.1 sim-OPG; your limit is 0.1 sim-OPG per call" in of(found, "terms").says
    )


def test_the_simulated_networks_missing_packages_are_named(
    home: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simnet_client, "missing_packages", lambda: ["py-evm"])
    found = of(doctor.examine(session, in_notebook=False), "network")
    assert (found.state, found.says) == (State.BLOCKS, "The simulated network needs py-evm.")
    assert found.mend is not None and found.mend.startswith("pip install ")


# -------------------------------------------------------------------------------- the private route


def test_who_has_neither_wallet_nor_sign_in_is_told_to_sign_in(real: Examine) -> None:
    found = real()
    assert blocking(found) == ["sign-in"]
    assert of(found, "sign-in").mend == "opg login --network opengradient"
    assert of(found, "wallet").state is State.IDLE


def test_a_sign_in_is_enough_and_its_token_is_shown_nowhere(real: Examine, signed_in: Any) -> None:
    signed_in(valid(account="ada@example.org"))
    found = real()
    assert found.ready and found.route == "private"
    assert of(found, "sign-in").says.startswith("ada@example.org at relay.example, until ")
    hosts = of(found, "terms").says
    assert "active hosts take sealed requests; today 0 of 500 calls" in hosts
    shown = [json.dumps(found.as_json()), repr(found), *diagnosis.bundle(found).values()]
    assert not any(TOKEN in text for text in shown)


@pytest.mark.parametrize(
    ("more", "state", "says"),
    [
        ({"expires_at": datetime(2026, 1, 2, tzinfo=UTC)}, State.BLOCKS, "expired at 2026-01-02"),
        ({"expires_at": timedelta(minutes=9)}, State.MEND, "min."),
        ({"expires_at": None}, State.GOOD, "its expiry is not known"),
        ({"relay": "https://other.example"}, State.BLOCKS, "Your settings name another relay"),
    ],
    ids=["expired", "soon", "unknown", "elsewhere"],
)
def test_a_sign_in_is_looked_at_before_a_call_is(
    real: Examine, signed_in: Any, more: dict[str, Any], state: State, says: str
) -> None:
    # From now on, and not from when the tests were collected.
    now = datetime.now(UTC)
    signed_in(valid(**{k: now + v if isinstance(v, timedelta) else v for k, v in more.items()}))
    found = of(real(private_relay=RELAY), "sign-in")
    assert found.state is state and says in found.says
    assert (found.mend is None) == (state is State.GOOD)


def test_a_relay_that_takes_no_connection_is_said(real: Examine, signed_in: Any) -> None:
    signed_in(valid(relay="http://127.0.0.1:9"))
    found = of(real(), "sign-in")
    assert found.state is State.BLOCKS and "127.0.0.1:9: refused" in found.says


def test_a_sign_in_that_cannot_be_opened_is_said_so(real: Examine, signed_in: Any) -> None:
    def locked(_network: Any) -> SignIn:
        raise WalletError(
            "Your sign-in is encrypted and its password is not set. Nothing was sent."
        )

    signed_in(locked)
    found = of(real(), "sign-in")
    assert found.state is State.BLOCKS
    assert found.says == "Your sign-in is encrypted and its password is not set."


def test_a_keyring_that_waits_for_a_person_holds_nothing_up(
    real: Examine, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(patient, "PATIENCE", 2.0)
    signed_in(lambda _network: answered.wait())
    try:
        found = real()
    finally:
        answered.set()
    assert of(found, "sign-in").state is State.UNKNOWN
    assert of(found, "versions").state is State.GOOD


@pytest.mark.parametrize("key", ["max_calls_per_day", "max_tokens_per_day"])
def test_a_day_that_is_used_up_blocks_and_names_the_limit(
    real: Examine, signed_in: Any, key: str
) -> None:
    signed_in(valid())
    found = of(real(**{key: 0}), "terms")
    assert (found.state, found.mend) == (State.BLOCKS, f"opg config {key} 1")


# --------------------------------------------------------------------------------- the direct route


def use_key(monkeypatch: pytest.MonkeyPatch, key: Secret[bytes]) -> None:
    monkeypatch.setenv("OPG_PRIVATE_KEY", "0x" + key.reveal().hex())


def test_a_wallet_with_funds_pays(
    real: Examine, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key(monkeypatch, honest_simnet.wallet_key)
    found = real()
    assert found.ready and found.route == "direct", found
    assert of(found, "wallet").says.startswith(f"{honest_simnet.payer} holds ")
    assert of(found, "allowance").state is State.GOOD
    assert of(found, "sign-in").state is State.IDLE
    key = honest_simnet.wallet_key.reveal().hex()
    assert key not in json.dumps(found.as_json()) + diagnosis.text(found)


def test_an_empty_wallet_says_what_is_missing(
    real: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key(monkeypatch, new_key())
    found = real()
    assert blocking(found) == ["wallet", "allowance"]
    assert "send 0.1 OPG or more to that address" in of(found, "wallet").says
    assert of(found, "allowance").mend == "opg wallet approve 5 --add --network opengradient"


def test_a_malformed_key_is_said_without_the_key(
    real: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPG_PRIVATE_KEY", "0xabcdef")
    found = real()
    assert of(found, "wallet").state is State.BLOCKS
    assert of(found, "wallet").mend == "unset OPG_PRIVATE_KEY"
    assert "abcdef" not in diagnosis.text(found)


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({}, "read -rs OPG_KEYSTORE_PASSWORD; export OPG_KEYSTORE_PASSWORD"),
        ({"wallet": "keyring"}, "opg wallet new --keyring"),
    ],
)
def test_a_wallet_that_does_not_open_is_mended_where_it_is(
    real: Examine, home: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, mend: str
) -> None:
    create_keystore(paths.keystore_file(), password=Secret("long enough"), iterations=2)
    monkeypatch.setenv("OPG_KEYSTORE_PASSWORD", "another password")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    found = of(real(**settings), "wallet")
    assert (found.state, found.mend) == (State.BLOCKS, mend)
    assert "another password" not in found.says


def test_a_keystore_that_others_can_read_is_mended_by_its_mode(real: Examine, home: Path) -> None:
    create_keystore(paths.keystore_file(), password=Secret("long enough"), iterations=2)
    paths.keystore_file().chmod(0o644)
    assert of(real(), "wallet").mend == f"chmod 600 {paths.keystore_file()}"


@pytest.mark.parametrize("in_notebook", [False, True])
def test_a_locked_keystore_is_read_without_asking_for_its_password(
    real: Examine, home: Path, monkeypatch: pytest.MonkeyPatch, in_notebook: bool
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda *a: pytest.fail("a password was asked for"))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    address = create_keystore(paths.keystore_file(), password=Secret("long enough"), iterations=2)
    found = of(real(in_notebook=in_notebook), "wallet")
    assert address in found.says and "locked" in found.says
    assert (found.mend is not None) == in_notebook


def test_a_facilitator_that_is_not_pinned_is_named(
    real: Examine, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key(monkeypatch, honest_simnet.wallet_key)
    found = real(facilitators=[])
    assert blocking(found) == ["terms"]
    assert of(found, "terms").mend == "opg config facilitators ADDRESS"


@pytest.mark.parametrize("key", ["max_cost_per_call", "max_cost_per_kernel", "max_cost_per_day"])
def test_a_cap_beyond_a_limit_names_the_limit_and_what_raises_it(
    real: Examine, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    use_key(monkeypatch, honest_simnet.wallet_key)
    found = real(**{key: "0.05"})
    assert of(found, "terms").state is State.BLOCKS
    assert of(found, "terms").mend == f"opg config {key} 0.1"


def test_a_mend_is_for_the_place_that_made_the_setting(
    real: Examine, honest_simnet: RunningSimnet, session: Session, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr(simnet_client, "read_state", lambda: honest_simnet.net.state)
    session.settings.set("max_cost_per_call", "0.05")
    found = of(doctor.examine(session, in_notebook=True), "terms")
    assert found.mend == "%opg config max_cost_per_call 0.1"
    assert "in a shell" not in diagnosis.text(sample(found), in_notebook=True)
    session.settings.unset("max_cost_per_call")
    session.settings._at_start = {"OPG_MAX_COST_PER_DAY": "0.01"}.get
    found = of(doctor.examine(session, in_notebook=True), "terms")
    assert found.mend == "export OPG_MAX_COST_PER_DAY=0.1"


def test_hosts_are_asked_for_terms_with_a_dummy_body_alone(
    real: Examine, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key(monkeypatch, honest_simnet.wallet_key)
    bodies: list[bytes] = []
    small = HostClient._small

    async def seen(self: HostClient, method: str, path: str, body: bytes = b"", **more: Any) -> Any:
        bodies.append(body)
        return await small(self, method, path, body, **more)

    monkeypatch.setattr(HostClient, "_small", seen)
    assert of(real(), "terms").state is State.GOOD
    assert {json.loads(body)["messages"][0]["content"] for body in bodies} == {"hi"}


# ------------------------------------------------------------------------------------------- chains


def with_doubles(
    honest_simnet: RunningSimnet, examine: Examine, *edits: Any, **settings: Any
) -> Diagnosis:
    """An examination whose registry RPCs are the honest one and one for each edit."""
    chain = honest_simnet.net.registry_chain

    async def run() -> Diagnosis:
        async with rpc_double(chain, edits[0]) as double:
            urls = [honest_simnet.net.state["registry_rpc"], double.url]
            return await asyncio.to_thread(examine, registry_rpcs=urls, **settings)

    return asyncio.run(run())


def other_hash(method: str, params: list[Any], honest: dict[str, Any]) -> Any:
    if method != "eth_getBlockByNumber":
        return honest
    return result(honest, {**honest["result"], "hash": "0x" + "ab" * 32})


def other_chain(method: str, params: list[Any], honest: dict[str, Any]) -> Any:
    return result(honest, "0x1") if method == "eth_chainId" else honest


def nonsense(method: str, params: list[Any], honest: dict[str, Any]) -> Any:
    return ["what?"]


@pytest.mark.parametrize(
    ("edit", "state", "says"),
    [
        (other_hash, State.BLOCKS, "disagree on block"),
        (other_chain, State.BLOCKS, "serves chain 1"),
        (nonsense, State.MEND, "1 of 2 answer"),
    ],
)
def test_rpcs_are_held_against_each_other(
    honest_simnet: RunningSimnet, real: Examine, edit: Any, state: State, says: str
) -> None:
    found = of(with_doubles(honest_simnet, real, edit), "registry RPCs")
    assert found.state is state and says in found.says
    assert found.mend == "opg config registry_rpcs URL"
    assert "an-api-key" not in found.says


def test_a_policy_that_needs_two_rpcs_is_not_met_by_one(real: Examine) -> None:
    found = of(real(policy="strict"), "registry RPCs")
    assert found.state is State.BLOCKS and "your policy needs 2 that agree" in found.says


def test_no_connection_is_said_once_and_the_rest_is_unknown(real: Examine) -> None:
    dead = "http://127.0.0.1:9"
    found = real(registry_rpcs=[dead], payment_rpcs=[dead])
    assert of(found, "network").state is State.BLOCKS
    assert "127.0.0.1:9: refused" in of(found, "network").says
    assert of(found, "clock").state is State.UNKNOWN
    assert of(found, "terms").says == "No RPC that was asked gives an answer."


@pytest.mark.parametrize(("minutes", "state"), [(0, State.GOOD), (9, State.BLOCKS)])
def test_the_clock_is_held_against_the_chains(
    real: Examine, monkeypatch: pytest.MonkeyPatch, minutes: int, state: State
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(minutes=minutes)

    monkeypatch.setattr(connection, "datetime", Clock)
    found = of(real(), "clock")
    assert found.state is state
    assert (found.mend is not None) == bool(minutes)


# ------------------------------------------------------------------------------------- this machine


def test_a_check_that_fails_itself_is_unknown_and_its_text_is_not_shown(
    real: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_patient: Any) -> Finding:
        raise ValueError(TOKEN)

    monkeypatch.setitem(doctor.CHECKS, "versions", broken)
    found = of(real(), "versions")
    assert found.state is State.UNKNOWN
    assert found.says == "The check itself failed (ValueError)."


def looked(check: Any, **more: Any) -> Finding:
    at = SimpleNamespace(simulated=False, in_notebook=False, **more)
    return asyncio.run(check(at))


def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **files: Any) -> None:
    """Files of a Jupyter of the test's own, by their paths."""
    monkeypatch.setattr(machine, "_jupyter", lambda kind: [tmp_path / kind])
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


PAGE = "data/labextensions/opg-magic/package.json"
DISABLED = "config/labconfig/page_config.json"
SERVER = "config/jupyter_server_config.json"


@pytest.mark.parametrize(
    ("files", "state", "mend"),
    [
        ({}, State.MEND, "pip install --force-reinstall opg_magic"),
        ({PAGE: {}}, State.GOOD, None),
        (
            {PAGE: {}, DISABLED: {"disabledExtensions": {"opg-magic": True}}},
            State.MEND,
            "jupyter labextension enable opg-magic",
        ),
        (
            {PAGE: {}, SERVER: {"ServerApp": {"jpserver_extensions": {"opg_magic.server": False}}}},
            State.MEND,
            "jupyter server extension enable opg_magic.server",
        ),
        ({PAGE: {}, DISABLED: ["nonsense"]}, State.GOOD, None),
    ],
    ids=["absent", "on", "off", "server-off", "nonsense"],
)
def test_the_extension_is_looked_for_where_jupyter_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Any, state: State, mend: str | None
) -> None:
    jupyter(tmp_path, monkeypatch, **files)
    found = looked(machine.extension)
    assert (found.state, found.mend) == (state, mend)


@pytest.mark.parametrize(
    ("lab", "page", "state"),
    [
        ("4.6.6", machine.__version__, State.GOOD),
        ("4.6.6", "0.0.9", State.MEND),
        ("4.1.8", machine.__version__, State.MEND),
        (None, machine.__version__, State.GOOD),
    ],
)
def test_versions_that_do_not_go_together_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab: str | None, page: str, state: State
) -> None:
    jupyter(tmp_path, monkeypatch, **{PAGE: {"version": page}})
    monkeypatch.setattr(machine, "_version", lambda name: lab)
    assert looked(machine.versions).state is state


def test_a_server_that_runs_here_is_offered_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from opg_magic.network import simnet_model

    server = simnet_model.Server("Ollama", "http://127.0.0.1:11434", ("llama3",))
    monkeypatch.setattr(simnet_model, "servers", lambda: iter([server]))
    says = looked(machine.local_model).says
    assert "Ollama runs here; to use it: opg simnet up --upstream http://127.0.0.1:11434" in says


def test_the_ledgers_state_and_the_disks_are_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked(machine.ledger).says.startswith("None yet; the first call makes it")
    with Ledger(paths.ledger_file()) as kept:
        kept.save(receipt())
    assert looked(machine.ledger).says.startswith("1 receipt, whole; ")
    monkeypatch.setattr(machine, "_room", lambda: (100 << 20, True))
    assert looked(machine.ledger).state is State.MEND
    monkeypatch.setattr(machine, "_room", lambda: (1 << 20, True))
    assert looked(machine.ledger).state is State.BLOCKS
    monkeypatch.setattr(machine, "_room", lambda: (1 << 40, False))
    assert looked(machine.ledger).state is State.BLOCKS


def test_a_file_that_is_no_ledger_is_said(home: Path) -> None:
    paths.ledger_file().write_bytes(b"not a database" * 1000)
    found = looked(machine.ledger)
    assert (found.state, found.mend) == (State.BLOCKS, "opg ledger rescue")


# ----------------------------------------------------------------------------------- what is shown


def sample(*findings: Finding) -> Diagnosis:
    return Diagnosis("OpenGradient", "private", False, findings)


def test_a_notebook_names_the_commands_that_it_has() -> None:
    found = sample(
        Finding("sign-in", State.BLOCKS, "Nobody.", "opg login --network opengradient"),
        Finding("wallet", State.MEND, "None.", "opg wallet new"),
        Finding("versions", State.MEND, "Old.", "pip install --upgrade x"),
    )
    shown = diagnosis.bundle(found)
    for text in shown.values():
        assert "%opg login" in text and "--network" not in text
        assert "in a shell: opg wallet new" in text and "%pip install --upgrade x" in text
    assert "→ opg login --network opengradient" in diagnosis.text(found)


def test_words_from_outside_are_inert_and_escaped() -> None:
    found = sample(Finding("sign-in", State.GOOD, "<b>ada</b>\x1b[2J $x$", None))
    shown = diagnosis.bundle(found)
    assert "\x1b" not in shown["text/plain"]
    assert "<b>ada" not in shown["text/html"] and "$x$" not in shown["text/html"]


def test_the_magic_shows_text_and_html_and_takes_json(
    home: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[dict[str, Any]] = []
    kernel: Any = SimpleNamespace(session=lambda: session, display=shown.append)
    command.doctor(kernel, [])
    assert set(shown[0]) == {"text/plain", "text/html"}
    command.doctor(kernel, ["--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is True
    assert [one["check"] for one in told["checks"]] == list(doctor.CHECKS)


def test_a_blocked_call_is_exit_code_1_and_json_says_the_same(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPG_REGISTRY_RPCS", "http://127.0.0.1:9")
    assert main(["doctor", "--network", "opengradient", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is False and told["route"] == "private"
