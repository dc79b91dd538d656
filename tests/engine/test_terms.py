"""Terms move: caps by the user's limits alone, deadlines cut to a setting, and what a limit's error
says to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Prompt
from opg_magic.protocol import x402

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")
CAP = 10**17

Offers = Callable[..., None]


@pytest.fixture
def offers(session: Session, monkeypatch: pytest.MonkeyPatch) -> Offers:
    """Let the hosts ask for other terms: ``offers(amount=…)`` for all, ``offers(anna={…})`` for
    one."""
    engine = session.connected().engine
    client_of = engine.route.pool.client

    def change(hosts: dict[str, dict[str, Any]] | None = None, **all_of_them: Any) -> None:
        def client(host: Any) -> Any:
            made = client_of(host)
            name = next(
                h["name"] for h in session._sim_state["hosts"] if h["tee_id"] == host.tee_id
            )
            changes = {**all_of_them, **(hosts or {}).get(name, {})}

            async def probe(path: str) -> Any:
                required, date = await type(made).probe_terms(made, path)
                changed = tuple({**offer, **changes} for offer in required.accepts)
                return replace(required, accepts=changed), date

            monkeypatch.setattr(made, "probe_terms", probe, raising=False)
            return made

        monkeypatch.setattr(engine.route.pool, "client", client)

    return change


def signed(session: Session) -> x402.Authorisation:
    (entry,) = session.ledger.open_authorisations()
    return entry.authorisation


@pytest.mark.parametrize(
    ("offered", "setting", "lasts"),
    [(300, 600, 300), (600, 600, 600), (900, 600, 600), (3600, 600, 600), (3600, 200, 200)],
)
def test_the_deadline_signed_is_the_shorter_of_offer_and_setting(
    session: Session, offers: Offers, offered: int, setting: int, lasts: int
):
    session.settings.set("max_deadline", str(setting))
    offers(maxTimeoutSeconds=offered)
    session.ask(PROMPT)
    auth = signed(session)
    assert auth.deadline - auth.valid_after - x402.VALID_AFTER_MARGIN == lasts


def test_a_session_lasts_as_what_was_signed_allows(session: Session, offers: Offers):
    session.ask(PROMPT)
    engine = session._engines["sim"][1]
    (open_session,) = engine.route.payments.sessions
    left = open_session.answer_by - open_session.last_used
    assert 160 < left.total_seconds() <= 165
    engine.route.payments.sessions.clear()
    offers(maxTimeoutSeconds=900)
    session.ask(PROMPT)
    (open_session,) = engine.route.payments.sessions
    assert 460 < (open_session.answer_by - open_session.last_used).total_seconds() <= 465


def test_an_offered_deadline_too_short_to_be_of_use_is_refused_with_both_figures(
    session: Session, offers: Offers
):
    offers(maxTimeoutSeconds=150)
    with pytest.raises(errors.PaymentRefused, match=r"150 s.*180 s"):
        session.ask(PROMPT, CallOptions(host="anna"))
    assert session.ledger.open_authorisations() == []
    # A call that needs less time can be carried.
    session.ask(PROMPT, CallOptions(host="anna", timeout=10))


def test_a_timeout_of_ones_own_needs_a_deadline_that_carries_it(session: Session, offers: Offers):
    with pytest.raises(errors.PaymentRefused, match=r"300 s.*435 s"):
        session.ask(PROMPT, CallOptions(host="anna", timeout=300))
    offers(maxTimeoutSeconds=600)
    session.ask(PROMPT, CallOptions(host="anna", timeout=300))
    with pytest.raises(errors.ConfigError, match=r"max_deadline 600 s the most is 465 s"):
        session.ask(PROMPT, CallOptions(timeout=466))


@pytest.mark.parametrize("cap", [5 * CAP, 50 * CAP])
def test_a_cap_over_the_limit_is_refused_with_both_figures_before_signing(
    session: Session, offers: Offers, cap: int
):
    offers(amount=str(cap))
    with pytest.raises(errors.LimitExceeded) as refused:
        session.ask(PROMPT)
    figure = {5 * CAP: "0.5", 50 * CAP: "5"}[cap]
    assert (
        f"asks for a cap of {figure} sim-OPG; the limit per call is 0.1 sim-OPG (the default)"
        in refused.value.message
    )
    assert f"opg config max_cost_per_call {figure}" in refused.value.hint
    assert session.ledger.open_authorisations() == []


def test_a_cap_within_the_limits_goes_to_the_signature(
    session: Session, offers: Offers, monkeypatch: Any
):
    (session.settings._user_file).write_text('max_cost_per_call = "5"\n')
    session.settings.reload()
    offers(amount=str(10 * CAP))
    # The simulated host wants its own cap: it is asked here only what was signed.
    with pytest.raises(errors.OpgError, match="402"):
        session.ask(PROMPT, CallOptions(host="anna"))
    assert signed(session).cap == 10 * CAP


def test_where_one_host_asks_for_too_much_another_may_answer(session: Session, offers: Offers):
    first = session.connected().engine
    names = [row["name"] for row in session._sim_state["hosts"]]
    offers(hosts={name: {"amount": str(5 * CAP)} for name in names[:-1]})
    answer = session.ask(PROMPT)
    assert answer.receipt.document["host"]["tee_id"] == session._sim_state["hosts"][-1]["tee_id"]
    assert first.hosts.set_aside == {}


# ----------------------------------------------------------------------------- which limit, and how


def user_file(session: Session) -> Path:
    return session.settings._user_file


def test_a_limit_raised_in_a_shell_is_seen_by_the_running_kernel(session: Session):
    user_file(session).write_text('max_cost_per_call = "0.05"\n')
    session.settings.reload()
    with pytest.raises(errors.LimitExceeded, match=r"user file \(config.toml\)") as refused:
        session.ask(PROMPT)
    assert (
        "in a shell: opg config max_cost_per_call 0.1. Then run the cell again."
        in refused.value.hint
    )
    user_file(session).write_text('max_cost_per_call = "0.1"\nmodel = "openai/gpt-4.1"\n')
    session.ask(PROMPT)
    # Nothing but limits is read again, and only when one refuses.
    assert session.settings.get("model") == "openai/gpt-5"


@pytest.mark.parametrize("way", ["aask", "agree"])
def test_a_raised_limit_is_seen_however_one_asks(session: Session, way: str):
    import asyncio

    user_file(session).write_text('max_cost_per_kernel = "0.05"\n')
    session.settings.reload()
    ask = {
        "aask": lambda: asyncio.run(session.aask(PROMPT)),
        "agree": lambda: session.agree(PROMPT, hosts=2),
    }[way]
    with pytest.raises(errors.LimitExceeded):
        ask()
    user_file(session).write_text('max_cost_per_kernel = "0.3"\n')
    ask()
    assert session.overview.spending().kernel_limit.amount == 3 * CAP


def test_the_hint_names_the_place_that_set_the_limit(
    session: Session, tmp_path: Path, monkeypatch: Any
):
    from opg_magic.settings.config import Settings

    with pytest.raises(errors.LimitExceeded, match="set by --max-cost") as refused:
        session.ask(PROMPT, CallOptions(max_cost=CAP // 2))
    assert "--max-cost 0.1" in refused.value.hint
    session.settings.set("max_cost_per_call", "0.05")
    with pytest.raises(errors.LimitExceeded, match="this kernel") as refused:
        session.ask(PROMPT)
    assert "in this kernel: %opg config max_cost_per_call 0.1" in refused.value.hint
    environ = {"OPG_MAX_COST_PER_CALL": "0.05"}
    session.settings = Settings(
        environ=environ, user_file=tmp_path / "none.toml", project_dir=tmp_path
    )
    with pytest.raises(errors.LimitExceeded, match="environment") as refused:
        session.ask(PROMPT)
    assert "start the kernel with OPG_MAX_COST_PER_CALL=0.1" in refused.value.hint
    (tmp_path / "pyproject.toml").write_text('[tool.opg]\nmax_cost_per_call = "0.05"\n')
    session.settings = Settings(environ={}, user_file=tmp_path / "none.toml", project_dir=tmp_path)
    with pytest.raises(errors.LimitExceeded, match=r"project \(pyproject.toml\)") as refused:
        session.ask(PROMPT)
    assert "[tool.opg]" in refused.value.hint


# -------------------------------------------------------------------------------------------- funds


def test_an_open_payment_counts_whole_against_the_balance(session: Session):
    session.ask(PROMPT, CallOptions(host="anna"))
    engine = session._engines["sim"][1]

    async def enough_for_one(_address: str) -> int:
        return CAP * 3 // 2

    engine.route.chain.balance = enough_for_one
    # The session of the first carries a second call; another host needs an authorisation of its
    # own.
    session.ask(PROMPT, CallOptions(host="anna"))
    with pytest.raises(
        errors.WalletError,
        match=r"holds 0.15 sim-OPG. This call needs 0.1 sim-OPG, and open payments",
    ):
        session.ask(PROMPT, CallOptions(host="bruno"))
    assert len(session.ledger.open_authorisations()) == 1


def test_an_allowance_that_runs_out_is_said_on_the_answer_and_in_the_wallet(session: Session):
    engine = session.connected().engine

    async def nearly_used_up(_address: str) -> int:
        return CAP * 2

    engine.route.chain.allowance = nearly_used_up
    answer = session.ask(PROMPT)
    assert any("nearly used up: 0.1 sim-OPG is left" in note for note in answer.notes)
    info = session.wallet.info()
    assert (info["allowance"], str(info["held by open payments"])) == ("0.2 sim-OPG", "0.1 sim-OPG")
    assert "nearly used up" in info["note"]
    assert "allowance 0.2 sim-OPG" in session.overview.status()["wallet"]


def test_approve_says_what_it_does_before_it_sends(session: Session, monkeypatch: Any, capsys: Any):
    from opg_magic.shell import main, wallet

    engine = session.connected().engine
    sent: list[int] = []

    async def left(_address: str) -> int:
        return 12 * 10**17

    async def approve(_wallet: Any, amount: int) -> str:
        assert "Permit2 may take 1.2 sim-OPG" in capsys.readouterr().out
        sent.append(amount)
        return "0xabc"

    engine.route.chain.allowance = left
    monkeypatch.setattr(engine.route, "approve", approve)
    monkeypatch.setattr(wallet, "session", lambda _options=None: session)
    for arguments in (["5"], ["5", "--set"], ["5", "--add"]):
        assert main.main(["wallet", "approve", *arguments]) == 0
    assert sent == [5 * 10**18, 5 * 10**18, 62 * 10**17]


def test_a_changed_object_is_not_signed_and_reserves_nothing(session: Session, monkeypatch: Any):
    authorise = x402.authorise

    def changed(*args: Any, **kwargs: Any) -> Any:
        return replace(
            authorise(*args, **kwargs), pay_to="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
        )

    monkeypatch.setattr(x402, "authorise", changed)
    with pytest.raises(errors.PaymentRefused, match="names payee 0x3C44"):
        session.ask(PROMPT, CallOptions(host="anna"))
    assert session.ledger.open_authorisations() == []
    assert session.overview.spending().kernel_reserved.amount == 0


def test_a_dry_run_says_that_a_cap_is_over_the_limit(session: Session, offers: Offers):
    offers(amount=str(5 * CAP))
    quote = session.quote(PROMPT)
    assert quote.cap.amount == 5 * CAP
    assert any(
        "asks for a cap of 0.5 sim-OPG; the limit per call is 0.1" in note for note in quote.notes
    )


def test_several_hosts_are_those_whose_caps_are_within_the_limits(session: Session, offers: Offers):
    owners = {row["owner"]: row["name"] for row in session._sim_state["hosts"]}
    count = len(owners)
    dear = session._sim_state["hosts"][0]
    same = [row["name"] for row in session._sim_state["hosts"] if row["owner"] == dear["owner"]]
    offers(hosts={name: {"amount": str(5 * CAP)} for name in same})
    agreed = session.agree(PROMPT, hosts=count - 1)
    assert dear["owner"] not in {a.receipt.document["host"]["owner"] for a in agreed.answers}
    with pytest.raises(errors.LimitExceeded, match=r"cap of 0\.5"):
        session.agree(PROMPT, hosts=count)
