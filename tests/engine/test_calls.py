"""One call from prompt to receipt, on the simulated network: what is answered, paid, kept."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Basis, Charge, Phase, Prompt, Status, VerdictStatus

QUESTION = "What does a TEE protect against?"


def ask(session: Session, text: str = QUESTION, observer=None, options=None, **more):
    return session.ask(
        Prompt(text=text, model=more.pop("model", "openai/gpt-5"), **more), options, observer
    )


@pytest.mark.parametrize("more", [{}, {"stream": False}, {"kind": "completion"}])
def test_an_honest_host_is_verified_in_every_form(session, more):
    answer = ask(session, **more)
    assert answer.text
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    assert answer.verdict.simulated
    claims = answer.verdict.claims
    assert {n for n, c in claims.items() if c.passed} >= {
        "request", "response", "signature", "freshness", "attestation", "registry", "channel",
    }  # fmt: skip
    assert claims["registry"].basis is Basis.ASKED
    assert claims["attestation"].basis is Basis.PROVEN
    assert answer.cost.charge is Charge.CLAIMED
    assert 0 < answer.cost.amount.amount <= answer.cost.cap.amount == 10**17


def test_the_receipt_is_in_the_ledger_and_judged_the_same_again(session):
    answer = ask(session)
    kept = session.ledger.get(answer.receipt.id)
    assert kept == answer.receipt
    assert kept.digest_matches
    again = session.show(answer.receipt.id)
    assert (again.text, again.verdict.status, again.cost) == (
        answer.text,
        answer.verdict.status,
        answer.cost,
    )
    assert session.show("last").receipt.id == answer.receipt.id


def test_many_cells_are_covered_by_one_authorisation_and_one_settlement(
    session, honest_simnet: RunningSimnet
):
    answers = [
        ask(session, f"Is {n} prime?", options=CallOptions(host=honest_simnet.host("anna").tee_id))
        for n in (7, 9, 11)
    ]
    nonces = {a.receipt.document["payment"]["authorisation"]["nonce"] for a in answers}
    assert len(nonces) == 1
    assert session.overview.spending().kernel_reserved.amount == 10**17
    before = honest_simnet.balance(honest_simnet.payer)
    assert len(honest_simnet.settle_now()) == 1
    taken = before - honest_simnet.balance(honest_simnet.payer)
    assert taken == sum(a.cost.amount.amount for a in answers)


def test_calls_at_once_open_one_session(session):
    async def three():
        prompts = [Prompt(text=f"Is {n} prime?", model="openai/gpt-5") for n in (561, 7, 12)]
        return await asyncio.gather(*(session.aask(p) for p in prompts))

    answers = asyncio.run(three())
    assert all(a.verdict.outcome is VerdictStatus.VERIFIED for a in answers)
    assert len({a.receipt.document["payment"]["authorisation"]["nonce"] for a in answers}) == 1
    assert session.ledger.count() == 3


def test_progress_goes_through_the_phases_and_grows(session):
    seen = []
    answer = ask(session, observer=seen.append)
    phases = [p.phase for p in seen]
    assert phases == sorted(phases, key=list(Phase).index)
    assert phases[-1] is Phase.DONE
    texts = [p.text for p in seen if p.text]
    assert all(answer.text.startswith(text) for text in texts)


def test_under_strict_no_text_is_shown_before_the_verdict(session):
    seen = []
    answer = ask(session, observer=seen.append, options=CallOptions(policy="strict"))
    assert answer.text
    assert [p.phase for p in seen][-1] is Phase.DONE
    assert not any(p.text for p in seen)


def test_strict_with_one_rpc_is_refused_before_payment(session, honest_simnet: RunningSimnet):
    from dataclasses import replace

    network = honest_simnet.network
    session._profile = lambda _name: replace(network, registry_rpcs=network.registry_rpcs[:1])
    with pytest.raises(errors.NetworkUnavailable, match="needs 2 RPCs"):
        ask(session, options=CallOptions(policy="strict"))
    assert session.ledger.count() == 0
    assert session.overview.spending().kernel_reserved.amount == 0


def test_tools_and_schemas_travel_and_verify(session):
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    answer = ask(session, "Use get_weather for Oslo.", extra={"tools": [tool]})
    assert answer.tool_calls[0]["function"]["name"] == "get_weather"
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    schema = {
        "type": "json_schema",
        "json_schema": {
            "name": "fact",
            "schema": {
                "type": "object",
                "properties": {"n": {"type": "integer"}},
                "required": ["n"],
            },
        },
    }
    answer = ask(session, "Give a number.", extra={"response_format": schema})
    assert isinstance(answer.json()["n"], int)


def test_a_quote_pays_nothing_and_sends_no_prompt(session, honest_simnet: RunningSimnet):
    secret = "the prompt that must not leave"
    before = honest_simnet.balance(honest_simnet.payer)
    quote = session.quote(Prompt(text=secret, model="openai/gpt-5", max_tokens=100))
    assert quote.cap.amount == 10**17
    assert quote.estimate.amount > 0
    assert not quote.reuses_session
    assert session.ledger.count() == 0
    assert session.overview.spending().kernel_reserved.amount == 0
    assert honest_simnet.settle_now() == []
    assert honest_simnet.balance(honest_simnet.payer) == before


def test_an_unknown_price_is_none_and_never_zero(session):
    answer = ask(session, model="openai/gpt-5.5")
    assert answer.cost.amount is None
    assert answer.receipt.document["payment"]["estimate"] is None
    assert "price unknown" in str(answer.cost)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"text": "  \n"}, errors.PromptError),
        ({"temperature": float("nan")}, errors.RequestError),
        ({"text": "\ud800"}, errors.RequestError),
        *(
            ({"settle": word}, errors.ConfigError)
            for word in (
                "individual",
                "Individual",
                " private",
                "BATCH",
                "",
                None,
                True,
                b"batch",
                ["batch"],
            )
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything(session, more, error):
    with pytest.raises(error):
        ask(session, **more)
    assert session.ledger.count() == 0
    assert session.overview.spending().kernel_reserved.amount == 0


def test_a_timeout_beyond_what_a_payment_carries_is_refused(session):
    with pytest.raises(errors.HostUnavailable, match=r"deadline of 300 s; this call needs 301 s"):
        ask(session, options=CallOptions(timeout=166))
    with pytest.raises(errors.ConfigError, match="the most is 465 s"):
        ask(session, options=CallOptions(timeout=466))
    assert session.ledger.open_authorisations() == []


def test_an_unknown_model_is_refused_by_the_host_and_not_charged(session, honest_simnet):
    with pytest.raises(errors.HostReportsFailure) as failed:
        ask(session, model="openai/nope")
    assert failed.value.charge is Charge.NONE
    assert session.ledger.get(failed.value.receipt_id).document["response"]["problem"]["code"]
    # The session that the refused call opened is kept and carries the next call.
    assert ask(session).cost.charge is Charge.CLAIMED


def test_receipts_and_ledger_hold_no_secret(session, honest_simnet: RunningSimnet, tmp_path):
    """Attack 28: neither the key, nor a payment signature, nor a session id is written down
    anywhere."""
    answer = ask(session)
    ask(session)
    engine = session._engines["sim"][1]
    (open_session,) = tuple(engine.route.payments.sessions)
    key = honest_simnet.wallet_key.reveal().hex()
    session.ledger.close()
    written = b"".join(p.read_bytes() for p in (tmp_path / "home").rglob("*") if p.is_file())
    assert answer.receipt.id.encode() in written
    for secret in (open_session.session_id.reveal(), key):
        assert secret.encode() not in written
        assert secret not in json.dumps(answer.receipt.document)
        assert secret not in repr(open_session) + repr(engine.__dict__)


def test_attack_08_another_chain_behind_the_rpc_is_refused_before_anything(
    session, honest_simnet: RunningSimnet
):
    from dataclasses import replace

    network = honest_simnet.network
    swapped = replace(network, registry_rpcs=network.payment_rpcs)
    session._profile = lambda _name: swapped
    with pytest.raises(errors.WrongChain):
        ask(session)
    assert session.ledger.count() == 0


def test_attack_07_an_unreachable_registry_stops_the_call(session, honest_simnet: RunningSimnet):
    from dataclasses import replace

    session._profile = lambda _name: replace(
        honest_simnet.network, registry_rpcs=("http://127.0.0.1:9",)
    )
    with pytest.raises(errors.NetworkUnavailable, match="unreachable"):
        ask(session)
    assert session.ledger.count() == 0


def test_attack_07_a_cached_reading_beyond_its_time_never_counts(
    session, honest_simnet: RunningSimnet
):
    ask(session)
    session.settings.set("registry_max_age", 0)
    engine = session._engines["sim"][1]

    async def unreachable():
        raise errors.NetworkUnavailable("registry unreachable")

    engine.route.directory.snapshot = unreachable
    with pytest.raises(errors.NetworkUnavailable, match="registry unreachable"):
        ask(session)
    assert session.ledger.count() == 1


def test_a_settled_session_lowers_its_reservation_to_what_was_taken(
    session, honest_simnet: RunningSimnet, monkeypatch
):
    from datetime import timedelta

    from opg_magic.call import reconciling

    answer = ask(session)
    honest_simnet.settle_now()
    monkeypatch.setattr(reconciling, "RECONCILE_AFTER", timedelta(0))
    engine = session._engines["sim"][1]
    engine.route.payments.sessions.clear()
    assert session.reconcile() == 1
    assert session.overview.spending().kernel_reserved.amount == answer.cost.amount.amount
    assert session.reconcile() == 0


def test_status_of_every_claim_is_recorded_as_history(session):
    answer = ask(session)
    history = answer.receipt.verdict_at_creation
    assert history.outcome is VerdictStatus.VERIFIED
    assert history.simulated
    assert {n: c.status for n, c in history.claims.items()} == {
        n: c.status for n, c in answer.verdict.claims.items()
    }
    assert history.claims["signature"].status is Status.PASSED


def test_a_cost_by_the_hosts_figures_is_never_more_than_can_be_taken(session: Session, monkeypatch):
    from opg_magic.network.transport import HostClient

    health = HostClient.health

    async def cheap(client):
        return replace(await health(client), price_usd=Decimal("1e-9"))

    monkeypatch.setattr(HostClient, "health", cheap)
    answer = session.ask(Prompt(text="What is a TEE?", model="openai/gpt-5"))
    assert answer.cost.amount == answer.cost.cap


def test_a_dry_run_says_that_an_open_payment_is_above_the_calls_own_limit(session: Session):
    ask(session, QUESTION)
    low = CallOptions(max_cost=10**16)
    quote = session.quote(Prompt(text=QUESTION, model="openai/gpt-5"), low)
    assert quote.reuses_session
    assert any("the limit per call is 0.01 sim-OPG" in note for note in quote.notes)
    with pytest.raises(errors.LimitExceeded):
        session.ask(Prompt(text=QUESTION, model="openai/gpt-5"), low)
