"""Calls on the private route: sealed to each host, carried and paid for by the simulated relay."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from support import waiting
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Basis, Charge, Phase, Prompt, Status, VerdictStatus
from opg_magic.simnet.host.conduct import Honest
from opg_magic.simnet.oblivious import bending
from opg_magic.simnet.oblivious.accounts import Account
from opg_magic.verify import judge

QUESTION = "Is 97 prime?"
ANSWER = "Yes. 97 is prime: no number from 2 to 9 divides it."
PRIVATE = CallOptions(route="private")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def ask(session: Session, text: str = QUESTION, observer=None, options=PRIVATE, **more):
    return session.ask(Prompt(text=text, model="openai/gpt-5", **more), options, observer)


@pytest.mark.parametrize("stream", [True, False])
def test_a_private_call_is_verified_and_charges_nothing(
    session: Session, honest_simnet: RunningSimnet, stream: bool
) -> None:
    before = honest_simnet.balance(honest_simnet.payer)
    answer = ask(session, stream=stream)
    assert answer.text == ANSWER
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    claims = answer.verdict.claims
    assert claims["channel"].passed and claims["channel"].basis is Basis.ASKED
    assert "key that the registry lists for this host" in claims["channel"].sentence
    assert "no attestation binds that key" in claims["channel"].sentence
    assert claims["payment"].status is Status.NOT_APPLICABLE
    assert claims["payment"].sentence == "The relay pays for it."
    assert claims["attestation"].basis is Basis.PROVEN
    assert (answer.cost.charge, answer.cost.cap) == (Charge.NONE, None)
    assert honest_simnet.settle_now() == []
    assert honest_simnet.balance(honest_simnet.payer) == before


def test_the_receipt_says_what_it_was_sealed_with_and_is_judged_the_same_again(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    answer = ask(session)
    document = answer.receipt.document
    (host,) = [h for h in honest_simnet.hosts if h.tee_id == document["host"]["tee_id"]]
    port = honest_simnet.net.relay.url.rpartition(":")[2]
    assert document["sealed"]["relay"].startswith("127.0.0.1")
    assert document["sealed"]["relay"].endswith(port)
    assert document["sealed"]["header"] == "01002000010003"
    evidence = answer.receipt.evidence()
    assert evidence.sealed is not None
    assert evidence.sealed.public_key == host.sealing.key.public_key
    assert document["channel"] is None and document["payment"] is None
    assert session.show("last").verdict.outcome is VerdictStatus.VERIFIED
    # The token is in no receipt.
    assert honest_simnet.net.relay.own.token.reveal() not in answer.receipt.to_json()


def test_the_prompt_and_the_answer_pass_the_relay_unread(
    session: Session, relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    class Looks(bending.Carrying):
        bends = True

        def request(self, wire, host, others):
            seen.append(wire)
            return wire, host

        def answer(self, kind, body):
            seen.append(body)
            return kind, body

    relay.carrying = Looks()
    assert ask(session).text == ANSWER
    assert len(seen) == 2
    assert not any(b"97" in carried and b"prime" in carried for carried in seen)


def test_text_is_on_show_before_it_is_checked(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    class Unhurried(Honest):
        pause = 0.05

    all_play(honest_simnet, Unhurried())
    shown: list[tuple[Phase, str]] = []
    answer = ask(session, observer=lambda p: shown.append((p.phase, p.text)))
    phases = [phase for phase, _ in shown]
    before = [text for _, text in shown[: phases.index(Phase.CHECK)] if text]
    assert before and len(before[0]) < len(answer.text)
    assert all(answer.text.startswith(text) for text in before)


@pytest.mark.parametrize("stream", [True, False])
def test_tools_and_schema_go_the_private_way(session: Session, stream: bool) -> None:
    called = ask(session, "What is the weather in Paris?", extra={"tools": TOOLS}, stream=stream)
    assert called.tool_calls[0]["function"]["name"] == "get_weather"
    assert called.verdict.outcome is VerdictStatus.VERIFIED


def test_several_hosts_are_asked_each_sealed_to_its_own_key(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    agreed = session.agree(Prompt(text=QUESTION, model="openai/gpt-5"), PRIVATE, hosts=3)
    assert agreed.verdict.outcome is VerdictStatus.VERIFIED
    assert agreed.cap is None and agreed.cost.charge is Charge.NONE
    keys = {a.receipt.evidence().sealed.public_key for a in agreed.answers}
    assert keys == {host.sealing.key.public_key for host in honest_simnet.hosts}


def test_the_attestation_is_left_out_where_the_setting_says_so(session: Session) -> None:
    session.settings.set("private_attestation", False)
    answer = ask(session)
    assert answer.verdict.outcome is VerdictStatus.PARTIAL
    assert answer.verdict.claims["attestation"].status is Status.MISSING


def test_a_policy_can_require_the_route(session: Session) -> None:
    session.settings.set("required_route", "private")
    answer = ask(session)
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    assert answer.verdict.policy == "default+private"
    with pytest.raises(errors.ConfigError, match="requires the private route"):
        ask(session, options=CallOptions(route="direct"))


def test_a_dry_run_shows_no_cap(session: Session) -> None:
    quote = session.quote(Prompt(text=QUESTION, model="openai/gpt-5"), PRIVATE)
    assert quote.cap is None and not quote.reuses_session


@pytest.mark.parametrize(
    ("more", "match"),
    [({"kind": "completion"}, "chat calls only"), ({"settle": "batch"}, "not possible")],
)
def test_what_a_relay_does_not_carry_is_refused_before_anything_is_sent(
    session: Session, honest_simnet: RunningSimnet, more, match
) -> None:
    made = len(honest_simnet.net.relay.own.made)
    with pytest.raises(errors.ConfigError, match=match):
        ask(session, **more)
    assert len(honest_simnet.net.relay.own.made) == made


def test_the_days_calls_and_tokens_are_limited(session: Session) -> None:
    session.settings.set("max_calls_per_day", 1)
    ask(session)
    with pytest.raises(errors.LimitExceeded, match="limit per UTC day is 1 "):
        ask(session)
    session.settings.set("max_calls_per_day", 0)
    with pytest.raises(errors.LimitExceeded, match="limit per UTC day is 0 "):
        ask(session)


def test_tokens_count_as_used_and_a_call_that_could_use_more_is_refused(session: Session) -> None:
    session.settings.set("max_tokens_per_day", 500)
    used = ask(session, max_tokens=100).receipt.evidence().response.usage
    assert used is not None
    left = 500 - used["prompt_tokens"] - used["completion_tokens"]
    with pytest.raises(errors.LimitExceeded, match="tokens"):
        ask(session, max_tokens=left + 1)
    assert ask(session, max_tokens=left - 50).text == ANSWER


@pytest.mark.parametrize(
    ("change", "match", "hint"),
    [
        ({"expires_at": 1.0}, "401: The sign-in has expired", "Sign in again"),
        ({"quota": 0}, "402: This account has no calls left", "nothing left"),
        ({"per_minute": 0}, "429: Too many requests", "wait"),
    ],
)
def test_attack_20_an_error_outside_the_envelope_is_told_as_the_relays(
    session: Session, relay, change, match: str, hint: str
) -> None:
    account: Account = relay.own
    for name, value in change.items():
        setattr(account, name, value)
    with pytest.raises(errors.HostReportsFailure, match=f"the relay answered {match}") as caught:
        ask(session)
    assert hint in (caught.value.hint or "")
    assert caught.value.charge is Charge.NONE
    assert caught.value.receipt is not None


def test_a_relay_that_is_down_is_told(session: Session, relay) -> None:
    relay.carrying = bending.Down()
    with pytest.raises(errors.HostReportsFailure, match="the relay answered 503"):
        ask(session)


BENT = [
    (bending.SwapsKey, "framing"),
    (bending.Replays, "framing"),
    (bending.Reorders, "framing"),
    (bending.Drops, "framing"),
    (bending.Duplicates, "framing"),
    (bending.Cuts, "truncated"),
    (bending.OmitsFinal, "truncated"),
    (bending.AddsBytes, "framing"),
    (bending.HugeLength, "too-large"),
    (bending.MixesForms, "framing"),
    (bending.AnswersItself, "framing"),
    (bending.FailsOutside, "framing"),
]


@pytest.mark.parametrize(("lie", "code"), BENT, ids=lambda one: getattr(one, "__name__", one))
def test_attack_20_what_a_relay_bends_never_counts_as_checked(
    session: Session, relay, lie: type[bending.Carrying], code: str
) -> None:
    relay.carrying = lie()
    if lie is bending.Replays:
        assert ask(session).text == ANSWER
    with pytest.raises(errors.AnswerWithheld) as caught:
        ask(session)
    receipt = caught.value.receipt
    problem = receipt.document["response"]["problem"]
    assert problem["code"] == code, problem
    assert caught.value.verdict.outcome is VerdictStatus.FAILED
    assert caught.value.verdict.withheld
    assert caught.value.charge is Charge.NONE


@pytest.mark.parametrize(
    "lie",
    [
        bending.SwapsKey,
        bending.Replays,
        bending.Cuts,
        bending.AddsBytes,
        bending.MixesForms,
        bending.AnswersItself,
        bending.FailsOutside,
    ],
)
def test_attack_20_nor_of_an_answer_in_one_piece(
    session: Session, relay, lie: type[bending.Carrying]
) -> None:
    relay.carrying = lie()
    if lie is bending.Replays:
        assert ask(session, stream=False).text == ANSWER
    with pytest.raises(errors.AnswerWithheld) as caught:
        ask(session, stream=False)
    assert caught.value.receipt.text is None
    assert caught.value.verdict.outcome is VerdictStatus.FAILED


def test_attack_20_another_enclave_cannot_open_the_request(session: Session, relay) -> None:
    relay.carrying = bending.OtherHost()
    with pytest.raises(errors.HostReportsFailure, match="the relay answered 502"):
        ask(session)


@pytest.mark.parametrize("stream", [True, False])
def test_attack_20_another_enclaves_answer_fails_the_signature(
    session: Session, honest_simnet: RunningSimnet, stream: bool
) -> None:
    for host in honest_simnet.hosts:
        honest_simnet.cheat(host.name, "foreign-key")
    with pytest.raises(errors.AnswerWithheld) as caught:
        ask(session, stream=stream)
    assert [c.name for c in caught.value.verdict.failed_claims] == ["signature"]


class _Envelope(Honest):
    """Seals what its ``status`` says around the true answer."""

    status = 200

    def envelope(self, status: int, answer: bytes) -> bytes:
        return json.dumps({"status": self.status, "body": json.loads(answer)}).encode()


class _Refuses(_Envelope):
    status = 500


class _Lies(Honest):
    """A status of success around an error."""

    def envelope(self, status: int, answer: bytes) -> bytes:
        return b'{"status": 200, "body": {"error": "Request processing failed"}}'


def all_play(simnet: RunningSimnet, cheat: Honest) -> None:
    for host in simnet.hosts:
        simnet._call(lambda host=host: host.play(cheat))


def test_an_answer_in_an_envelope_is_the_answer(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    all_play(honest_simnet, _Envelope())
    answer = ask(session, stream=False)
    assert answer.text == ANSWER
    assert answer.verdict.outcome is VerdictStatus.VERIFIED


@pytest.mark.parametrize("cheat", [_Refuses, _Lies])
def test_attack_20_a_status_in_the_envelope_that_lies_shows_no_text(
    session: Session, honest_simnet: RunningSimnet, cheat: type[Honest]
) -> None:
    all_play(honest_simnet, cheat())
    with pytest.raises(errors.HostReportsFailure) as caught:
        ask(session, stream=False)
    assert caught.value.receipt.text is None
    assert caught.value.verdict.outcome is VerdictStatus.UNVERIFIED


@pytest.mark.parametrize("stream", [True, False])
def test_attack_20_an_error_inside_the_envelope_is_the_hosts(
    session: Session, honest_simnet: RunningSimnet, stream: bool
) -> None:
    for host in honest_simnet.hosts:
        honest_simnet.cheat(host.name, "error-mid-stream")
    with pytest.raises(errors.HostReportsFailure) as caught:
        ask(session, stream=stream)
    assert "the relay answered" not in caught.value.message
    assert caught.value.receipt.text in (None, "Yes. 97 is", "Yes. 97 is ") or stream


def test_a_stop_ends_the_call_and_keeps_its_receipt(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    class Slow(Honest):
        pause = 0.2

    all_play(honest_simnet, Slow())
    made = honest_simnet.net.relay.own.made
    before = list(made)[-1:]

    async def stopped() -> None:
        call = asyncio.ensure_future(
            session.aask(Prompt(text=QUESTION, model="openai/gpt-5"), PRIVATE)
        )
        while list(made)[-1:] == before and not call.done():
            await asyncio.sleep(0.01)
        call.cancel()
        await call

    with pytest.raises((asyncio.CancelledError, errors.CallFailed)):
        asyncio.run(stopped())
    # Whoever awaits is let go at once; the call writes down what happened behind it.
    waiting.until(lambda: session.ledger.last() is not None)
    receipt = session.ledger.last()
    assert receipt is not None
    assert receipt.document["response"]["problem"]["code"] == "interrupted"


def test_without_a_sign_in_nothing_is_sent(
    session: Session, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = len(honest_simnet.net.relay.own.made)
    monkeypatch.setattr(Session, "_signed_in", lambda self, network: None)
    with pytest.raises(errors.SignInNeeded, match="not signed in"):
        ask(session)
    assert len(honest_simnet.net.relay.own.made) == made


def test_a_tampered_receipt_of_a_private_call_fails(session: Session) -> None:
    evidence = ask(session).receipt.evidence()
    assert evidence.sealed is not None
    other = replace(evidence, sealed=replace(evidence.sealed, public_key=b"k" * 32))
    from opg_magic.call.state import kernel_trust

    network = session.network
    trust = kernel_trust(network, session.engine_settings(network))
    assert judge(other, trust=trust).outcome is VerdictStatus.FAILED
    assert judge(evidence, trust=trust).outcome is VerdictStatus.VERIFIED
