"""A host names its session as it likes: the answer is kept, and nothing that is signed is rewritten
(attack 41)."""

from __future__ import annotations

import json
import types
import uuid
from dataclasses import replace
from typing import Any

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Prompt
from opg_magic.receipt.build import build_receipt
from opg_magic.receipt.document import Receipt
from opg_magic.simnet.host import conduct
from opg_magic.simnet.payment import facilitator, sessions

PROMPT = Prompt("What does a TEE protect against?", "openai/gpt-5")
WHOLE = replace(PROMPT, stream=False)


def _named(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The simulated hosts name their next sessions so, the last name again and again."""
    left = list(names)
    monkeypatch.setattr(
        sessions,
        "uuid",
        types.SimpleNamespace(uuid4=lambda: left.pop(0) if len(left) > 1 else left[0]),
    )


def _kept(session: Session, answer: Any) -> dict[str, Any]:
    """The answer's receipt, which a reader can read, and in which nothing was replaced."""
    kept = session.ledger.get(answer.receipt.id)
    assert kept.digest_matches
    assert "<secret>" not in kept.to_json()
    assert Receipt.from_json(kept.to_json()).text == answer.text
    assert {c.name for c in answer.verdict.failed_claims} == set()
    return kept.document


HOSTILE = [
    *("a", "0", "{", '"', ":", "deadbeef", "text", "chat", "0x", "e" * 15, "x" * 201, "<secret>"),
    *("with spaces in its very name", "comma,and;semicolon,,,", '{"text":"0123456789"}'),
]


def test_attack_41_a_session_of_no_usable_name_keeps_the_answer_and_is_not_joined(
    session: Session, monkeypatch, tmp_path
):
    (tmp_path / "config.toml").write_text("max_cost_per_kernel = 5\n")
    session.settings.reload()
    for name in HOSTILE:
        with monkeypatch.context() as patched:
            _named(patched, name)
            answer = session.ask(PROMPT)
        _kept(session, answer)
        assert answer.cost.charge is Charge.CLAIMED
        assert any("no later call joins it" in note for note in answer.notes), name
        assert list(session._engines["sim"][1].route.payments.sessions) == []


@pytest.mark.parametrize("what", ["tee_id", "tee_id[2:]", "key", "name", "nonce"])
def test_attack_41_what_stands_in_every_receipt_is_no_session_id(
    session: Session, honest_simnet: RunningSimnet, monkeypatch, what: str
):
    anna = honest_simnet.host("anna")
    document = session.ask(PROMPT, CallOptions(host="anna")).receipt.document
    session._engines["sim"][1].route.payments.sessions.clear()
    name = {
        "tee_id": anna.tee_id[:24],
        "tee_id[2:]": anna.tee_id[2:].upper(),
        "key": document["host"]["public_key"][:40],
        "name": "certificate_sha256",
        "nonce": "nonce",
    }[what]
    if what == "nonce":
        # A host knows the authorisation before it names the session.
        join = sessions.Sessions.join

        def by_nonce(self, payment, *more):
            _named(monkeypatch, str(payment.authorisation.nonce))
            return join(self, payment, *more)

        monkeypatch.setattr(sessions.Sessions, "join", by_nonce)
    else:
        _named(monkeypatch, name)
    answer = session.ask(PROMPT, CallOptions(host="anna"))
    _kept(session, answer)
    assert any("no later call joins it" in note for note in answer.notes)


def _saying(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(
        conduct.Honest, "reply", lambda _self, reply: replace(reply, pieces=(text,))
    )


def _refused(session: Session, *secrets: str) -> errors.CallFailed:
    with pytest.raises(errors.CallFailed, match="repeats a secret that pays for calls") as failed:
        session.ask(WHOLE, CallOptions(host="anna"))
    problem = failed.value
    assert problem.charge is Charge.CLAIMED
    assert problem.verdict is not None
    (kept,) = (session.ledger.path.parent / "unsaved").glob("*.raw")
    came = json.loads(kept.read_text())
    assert came == dict(problem.came)
    assert "the answer begins" in came["text"] and "and ends" in came["text"]
    assert str(kept) in str(problem)
    for secret in secrets:
        for shown in (str(problem), repr(problem), kept.read_text(), str(problem.came)):
            assert secret.lower() not in shown.lower()
    kept.unlink()
    return problem


def test_attack_41_an_answer_that_repeats_the_session_id_is_kept_and_leaves_no_receipt(
    session: Session, monkeypatch
):
    mine = str(uuid.uuid4())
    _named(monkeypatch, mine)
    for said in (mine, mine.upper()):
        _saying(monkeypatch, f"the answer begins {said} and ends")
        _refused(session, mine)
        assert session.ledger.count() == 0
        assert list(session._engines["sim"][1].route.payments.sessions) == []
    # Also the id of a session that was joined.
    with monkeypatch.context() as honest:
        _saying(honest, "fine")
        session.ask(WHOLE, CallOptions(host="anna"))
    assert len(list(session._engines["sim"][1].route.payments.sessions)) == 1
    _refused(session, mine)
    assert session.ledger.count() == 1
    assert session._engines["sim"][1].hosts.set_aside


def test_attack_41_an_answer_that_repeats_the_payment_s_signature_leaves_no_receipt(
    session: Session, monkeypatch
):
    seen: list[str] = []
    tell: list[str] = []
    read = facilitator.read_payment

    def spying(header: str):
        payment = read(header)
        seen[:] = [payment.signature.reveal().hex(), header]
        _saying(monkeypatch, f"the answer begins {tell[0].format(*seen)} and ends")
        return payment

    monkeypatch.setattr("opg_magic.simnet.host.host.read_payment", spying)
    for form in ("{0}", "0x{0}", "{1}"):
        tell[:] = [form]
        _refused(session, *seen)
        session._engines["sim"][1].route.payments.sessions.clear()
    assert session.ledger.count() == 0


@pytest.mark.parametrize(
    "problem",
    [OSError(28, "No space left on device"), ValueError("x"), UnicodeError("x")],
    ids=repr,
)
def test_whatever_keeps_a_receipt_from_being_saved_the_answer_is_handed_out(
    session: Session, monkeypatch, problem
):
    session.ask(PROMPT)

    def broken(_receipt):
        raise problem

    with monkeypatch.context() as patched:
        patched.setattr(session.ledger, "save", broken)
        answer = session.ask(PROMPT)
    assert answer.text
    assert "its receipt is not in the ledger yet" in answer.notes[-1]
    assert session.ledger.get(answer.receipt.id).digest == answer.receipt.digest


def test_what_cannot_even_be_written_is_in_the_error(session: Session, monkeypatch):
    def broken(*_args, **_given):
        raise RuntimeError("no")

    def unable(**given):
        return broken() if given.get("secrets") else build_receipt(**given)

    monkeypatch.setattr("opg_magic.receipt.build.build_receipt", unable)
    monkeypatch.setattr(session.ledger, "keep_raw", broken)
    with pytest.raises(errors.CallFailed, match="no receipt of the call could be made") as failed:
        session.ask(PROMPT)
    assert failed.value.came["text"]
    # A hint is shown to people and told to programs; nothing of this was checked.
    assert failed.value.came["text"] not in str(failed.value)
    assert failed.value.charge is Charge.CLAIMED
