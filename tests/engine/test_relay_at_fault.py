"""A relay's failure is the relay's: no host is skipped for it, and what it did not carry does not
count."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.engine import Engine
from opg_magic.call.private import PrivateRoute
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Prompt
from opg_magic.network.exchange import RelayUnavailable
from opg_magic.network.ohttp_relay import RelayClient
from opg_magic.settings.sign_in import SignIn
from opg_magic.simnet.oblivious import bending
from opg_magic.simnet.oblivious.relay import Relay

PRIVATE = CallOptions(route="private")
PROMPT = Prompt(text="Is 97 prime?", model="openai/gpt-5")


@pytest.fixture
def nowhere(session: Session, relay: Relay) -> Engine:
    """An engine whose relay is at a port where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    engine = session.engine(PRIVATE)
    assert isinstance(engine.route, PrivateRoute)
    engine.route._network = replace(engine.network, private_relay=None)
    engine.route._signed_in = lambda: SignIn(f"http://127.0.0.1:{port}", relay.own.token)
    return engine


def test_a_relay_that_is_not_there_is_asked_once_and_no_host_is_down(
    session: Session, nowhere: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    send = RelayClient.send

    async def counted(self: RelayClient, host, body, **more):
        asked.append(host.tee_id)
        return await send(self, host, body, **more)

    monkeypatch.setattr(RelayClient, "send", counted)
    with pytest.raises(RelayUnavailable, match="the relay 127") as caught:
        session.ask(PROMPT, PRIVATE)
    assert len(asked) == 1
    assert caught.value.charge is Charge.NONE
    assert "--route direct" in (caught.value.hint or "")
    assert nowhere.hosts._down == {}
    assert nowhere.hosts.set_aside == {}


def test_of_several_hosts_none_is_down_either(session: Session, nowhere: Engine) -> None:
    with pytest.raises(RelayUnavailable):
        session.agree(PROMPT, PRIVATE, hosts=3)
    assert nowhere.hosts._down == {}


def test_a_host_that_cannot_be_reached_directly_is_still_down(
    session: Session, honest_simnet: RunningSimnet, relay: Relay
) -> None:
    engine = session.engine(PRIVATE)

    async def down(nonce: bytes) -> bytes:
        raise errors.HostUnavailable("it is down")

    first = []
    pool = engine.route.pool
    client = pool.client

    def clients(host):
        first.append(host.tee_id)
        found = client(host)
        if host.tee_id == first[0]:
            found.attestation = down
        return found

    pool.client = clients
    assert session.ask(PROMPT, PRIVATE).text
    assert list(engine.hosts._down) == [first[0]]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "lie",
    [
        bending.Cuts,
        bending.OmitsFinal,
        bending.SwapsKey,
        bending.AnswersItself,
        bending.FailsOutside,
        bending.MixesForms,
    ],
)
def test_what_does_not_open_is_withheld_and_its_host_is_not_skipped(
    session: Session, relay: Relay, lie: type[bending.Carrying], stream: bool
) -> None:
    relay.carrying = lie()
    prompt = replace(PROMPT, stream=stream)
    with pytest.raises(errors.AnswerWithheld):
        session.ask(prompt, PRIVATE)
    assert session.engine(PRIVATE).hosts.set_aside == {}
    relay.carrying = bending.Carrying()
    assert session.ask(prompt, PRIVATE).text


@pytest.mark.parametrize("stream", [True, False])
def test_a_host_whose_answer_opens_and_fails_is_skipped(
    session: Session, honest_simnet: RunningSimnet, stream: bool
) -> None:
    for host in honest_simnet.hosts:
        honest_simnet.cheat(host.name, "foreign-key")
    with pytest.raises(errors.AnswerWithheld) as caught:
        session.ask(replace(PROMPT, stream=stream), PRIVATE)
    asked = caught.value.receipt.evidence().host
    assert list(session.engine(PRIVATE).hosts.set_aside) == [asked.tee_id]
