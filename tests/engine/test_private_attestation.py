"""On the private route a host that cannot be reached itself is asked through the relay anyway: its
attestation is then missing, and the answer says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Prompt, Status, VerdictStatus
from opg_magic.network.transport import HostClient
from opg_magic.simnet.oblivious.relay import Relay

PRIVATE = CallOptions(route="private")
PROMPT = Prompt(text="Is 97 prime?", model="openai/gpt-5")
WHY = "host 1234…abcd could not be reached: connection refused. Nothing was sent."

Cut = Callable[..., list[str]]


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Cut:
    """Makes hosts raise when they are asked for their attestation; returns who was asked."""

    def off(problem: errors.OpgError, first: int = 99) -> list[str]:
        asked: list[str] = []
        honest = HostClient.attestation

        async def attestation(self: HostClient, nonce: bytes) -> bytes | None:
            asked.append(self.host.tee_id)
            if len(asked) > first:
                return await honest(self, nonce)
            raise problem

        monkeypatch.setattr(HostClient, "attestation", attestation)
        return asked

    return off


def test_out_of_reach_the_attestation_is_missing_and_the_answer_says_why(
    session: Session, cut: Cut
) -> None:
    asked = cut(errors.HostUnavailable(WHY))
    answer = session.ask(PROMPT, PRIVATE)
    assert answer.verdict.outcome is VerdictStatus.PARTIAL
    assert answer.verdict.claims["attestation"].status is Status.MISSING
    assert (
        "the host could not be asked for its attestation: host 1234…abcd could not be reached: "
        "connection refused"
    ) in answer.notes
    assert len(set(asked)) == 3, "each was tried for more before one was used as it is"
    assert not session.engine(PRIVATE).hosts.set_aside


def test_a_host_that_proves_more_comes_first(session: Session, cut: Cut) -> None:
    asked = cut(errors.HostUnavailable(WHY), first=1)
    answer = session.ask(PROMPT, PRIVATE)
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    assert answer.receipt.document["host"]["tee_id"] == asked[1] != asked[0]
    assert not any("attestation" in note for note in answer.notes)


def test_a_host_that_the_user_names_is_used_as_it_is(session: Session, cut: Cut) -> None:
    asked = cut(errors.HostUnavailable(WHY))
    session.network  # noqa: B018 (the hosts' names are known once it runs)
    answer = session.ask(PROMPT, CallOptions(route="private", host="bruno"))
    assert answer.verdict.outcome is VerdictStatus.PARTIAL and len(asked) == 1


def test_several_hosts_each_say_why(session: Session, cut: Cut) -> None:
    cut(errors.HostUnavailable(WHY), first=1)
    agreed = session.agree(PROMPT, PRIVATE, hosts=3)
    told = [any("its attestation" in note for note in answer.notes) for answer in agreed.answers]
    assert sorted(told) == [False, False, True]


@pytest.mark.parametrize("known", [False, True])
def test_a_policy_that_needs_it_refuses_before_anything_is_sent(
    session: Session, cut: Cut, relay: Relay, known: bool
) -> None:
    cut(errors.HostUnavailable(WHY))
    if known:
        session.ask(PROMPT, PRIVATE)
    made = len(relay.own.made)
    with pytest.raises(errors.HostUnavailable, match="policy strict needs an attestation"):
        session.ask(PROMPT, CallOptions(route="private", policy="strict"))
    assert len(relay.own.made) == made
    assert not session.engine(PRIVATE).hosts.set_aside


@pytest.mark.parametrize(
    "problem",
    [errors.ChannelRefused("another certificate"), errors.AttestationRefused("not base64")],
    ids=lambda problem: type(problem).__name__,
)
def test_a_host_that_is_not_what_the_registry_says_is_not_merely_out_of_reach(
    session: Session, cut: Cut, relay: Relay, problem: errors.OpgError
) -> None:
    cut(problem)
    made = len(relay.own.made)
    with pytest.raises(errors.HostUnavailable, match=problem.message):
        session.ask(PROMPT, PRIVATE)
    assert len(relay.own.made) == made
    assert len(session.engine(PRIVATE).hosts.set_aside) == 3
