"""When the simulated hosts collect, and when they fail to: as real gateways do it, under each set
of terms."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.simnet import Client, RunningSimnet, chat, client

from opg_magic.errors import SimnetError
from opg_magic.models import CHAT_PATH, Authorisation
from opg_magic.models.secret import Secret
from opg_magic.network import profiles, simnet_client
from opg_magic.network.profiles import OBSERVED_CAP
from opg_magic.protocol.frame import SignedFields, read_signed_fields
from opg_magic.protocol.reply import read_reply
from opg_magic.protocol.sse import read_stream
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.payment import terms
from opg_magic.simnet.payment.facilitator import PaymentInvalid, SignedPayment
from opg_magic.simnet.payment.sessions import Session, Sessions
from opg_magic.simnet.payment.terms import TERMS, Terms, rhythm, terms_named
from opg_magic.simnet.process.command import parser

CHAT = ("POST", CHAT_PATH)


class Net:
    """Sessions on a clock of the test's own: what was settled when, and nothing waits."""

    def __init__(self, name: str = "april", *, answer: Any = None, pace: float = 1.0) -> None:
        self.terms = terms_named(name)
        self.now = 1_800_000_000.0
        self.settled: list[tuple[float, int]] = []
        self.answer = answer
        self.sessions = Sessions(
            self._settle, rhythm=lambda: rhythm(self.terms, pace=pace), clock=lambda: self.now
        )

    async def _settle(self, payment: SignedPayment, amount: int) -> str | None:
        if payment.authorisation.deadline < self.now + 6:
            raise PaymentInvalid("permit2_deadline_expired")
        if isinstance(self.answer, Exception):
            raise self.answer
        self.settled.append((self.now, amount))
        return "0x" + "11" * 32

    def payment(self, key: str = "a") -> SignedPayment:
        address = "0x" + "22" * 20
        auth = Authorisation(
            chain_id=8453, payer=address, token=address, cap=self.terms.cap, spender=address,
            nonce=1, deadline=int(self.now) + self.terms.deadline, pay_to=address,
            facilitator=address, valid_after=0,
        )  # fmt: skip
        return SignedPayment(auth, Secret(b""), {}, key)

    def join(self, key: str = "a") -> Session:
        session = self.sessions.join(self.payment(key), *CHAT)
        assert session is not None
        return session

    async def look(self, at: float) -> None:
        """The look that the host takes at that second after the start."""
        self.now = 1_800_000_000.0 + at
        self.sessions.look_again()
        if self.sessions._tasks:
            await asyncio.gather(*self.sessions._tasks)


async def test_an_idle_session_is_settled_at_the_first_look_after_its_time() -> None:
    net = Net()
    session = net.join()
    net.now += 20
    assert net.sessions.charge(session, 5)
    for at in (25, 50, 75, 100):
        await net.look(at)
        assert net.settled == []
        assert net.sessions.resume(session.id.reveal(), *CHAT) is session
    await net.look(125)
    assert net.settled == [(net.now, 5)]
    assert net.sessions.resume(session.id.reveal(), *CHAT) is None
    assert net.sessions.open_count == 0


async def test_a_session_kept_busy_up_to_its_deadline_is_never_settled() -> None:
    net = Net()
    session = net.join()
    for at in range(0, 300, 25):
        await net.look(at)
        assert net.sessions.charge(session, 7)
    # Past its deadline it still takes calls, and still gives answers.
    await net.look(320)
    assert net.sessions.resume(session.id.reveal(), *CHAT) is session
    assert net.sessions.charge(session, 7)
    await net.look(440)
    assert net.settled == []
    assert (session.charged, session.failure) == (7 * 13, "permit2_deadline_expired")
    await net.look(500)
    assert session.transaction is None


async def test_later_gateways_settle_a_busy_session_two_minutes_before_its_deadline() -> None:
    net = Net("2026-07")
    session = net.join()
    for at in range(0, 480, 20):
        await net.look(at)
        assert net.sessions.charge(session, 7)
    assert net.settled == []
    await net.look(480)
    assert net.settled == [(net.now, 7 * 24)]
    assert net.sessions.resume(session.id.reveal(), *CHAT) is None


async def test_what_the_facilitator_refuses_is_not_tried_again() -> None:
    net = Net(answer=PaymentInvalid("permit2_simulation_failed"))
    session = net.join()
    net.sessions.charge(session, 7)
    await net.look(125)
    assert (session.closed, session.failure, session.transaction) == (
        True,
        "permit2_simulation_failed",
        None,
    )
    net.answer = None
    await net.look(250)
    assert net.settled == []
    assert await net.sessions.settle_all() == []


async def test_a_restart_forgets_what_was_owed() -> None:
    net = Net()
    session, header = net.join(), net.payment()
    net.sessions.charge(session, 7)
    assert net.sessions.forget() == 1
    assert net.sessions.resume(session.id.reveal(), *CHAT) is None
    assert not net.sessions.charge(session, 1)
    await net.look(125)
    assert net.settled == []
    # The same header opens another one: nobody remembers it.
    assert net.sessions.join(header, *CHAT) is not session


async def test_parallel_calls_do_not_reserve_the_remainder() -> None:
    net = Net()
    session = net.join()
    assert net.sessions.charge(session, net.terms.cap - 10)
    # Both were let in while something was left; the second finds too little of it, and is answered
    # all the same.
    assert (
        net.sessions.join(net.payment(), *CHAT)
        is net.sessions.join(net.payment(), *CHAT)
        is session
    )
    assert net.sessions.charge(session, 8)
    assert not net.sessions.charge(session, 8)
    assert session.charged == net.terms.cap - 2


async def test_looking_goes_on_by_itself_and_faster_at_another_pace() -> None:
    net = Net(pace=10_000.0)
    session = net.join()
    net.sessions.charge(session, 5)
    net.now += 0.011
    while not session.closed:
        await asyncio.sleep(0.001)
    await net.sessions.close()
    assert net.settled == [(net.now, 5)]


def test_each_set_of_terms_is_one_that_was_seen() -> None:
    seen = {name: (t.cap, t.deadline, t.idle) for name, t in TERMS.items()}
    assert seen == {
        "april": (10**17, 300, 100.0),
        "2026-07": (5 * 10**18, 600, 60.0),
        "dev8": (10**18, 3600, 100.0),
    }
    assert rhythm(TERMS["april"]).look == rhythm(TERMS["2026-07"]).look == terms.LOOK_SECONDS
    assert terms_named("april", cap=5 * 10**16, deadline=900) == Terms(
        "april", TERMS["april"].says, 5 * 10**16, 900, 100.0
    )
    with pytest.raises(SimnetError, match="no terms called"):
        terms_named("May")


# ----------------------------------------------------------------------------------- whole networks


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A network with later terms, whose clock and balances these tests may change."""
    from support.simnet import isolated_home

    with (
        isolated_home(tmp_path_factory.mktemp("own")),
        RunningSimnet(terms=terms_named("2026-07")) as running,
    ):
        yield running


async def test_the_terms_are_offered_and_told(own: RunningSimnet) -> None:
    async with client(own) as c:
        answer = await c.unpaid(chat("x"))
    (offer,) = json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))["accepts"]
    assert (offer["amount"], offer["maxTimeoutSeconds"]) == (str(5 * 10**18), 600)
    assert profiles.of_state(own.net.state) == own.network
    assert own.network.session_idle == 60.0
    status = simnet_client.control(own.net.state, "GET", "/status")
    assert status["terms"] == own.net.state["terms"]
    assert (status["terms"]["name"], status["terms"]["cap"], status["settle_idle"]) == (
        "2026-07",
        5 * 10**18,
        60.0,
    )


async def test_of_two_authorisations_on_a_balance_for_one_the_second_stays_unpaid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    with RunningSimnet() as simnet:
        token = deploy.opg(simnet.net.payment_chain)
        stranger = "0x00000000000000000000000000000000DeaDBeef"
        token.send(
            simnet.wallet_key, "transfer", stranger, simnet.balance(simnet.payer) - OBSERVED_CAP
        )
        async with client(simnet) as c, client(simnet, "bruno") as d:
            one, two = await c.pay(chat("hello")), await d.pay(chat("hello"))
            assert one.status_code == two.status_code == 200
            assert len(simnet.settle_now()) == 1
            session = d.host.sessions._by_id[d.session or ""]
            assert (session.closed, session.failure) == (True, "permit2_simulation_failed")
            assert simnet.balance(d.host.payment_address) == 0
            # Money that comes later does not help: it was counted as settled.
            token.send(simnet.net.keys.admin, "mint", simnet.payer, OBSERVED_CAP)
            assert simnet.settle_now() == []


async def test_a_restart_through_the_control_address(own: RunningSimnet) -> None:
    async with client(own) as c:
        assert (await c.pay(chat("hello"))).status_code == 200
        assert simnet_client.control(own.net.state, "POST", "/restart", {"host": "anna"}) == {
            "host": "anna",
            "lost": 1,
        }
        gone = await c.ask(chat("again"))
    assert (gone.status_code, gone.json()) == (402, {"error": "Session expired or exhausted"})
    assert own.settle_now() == []
    assert own.net.registry.is_active(own.host("anna").tee_id)


# ------------------------------------------------------------------------------- what befalls hosts


@pytest.fixture
async def anna(honest_simnet: RunningSimnet) -> AsyncIterator[Client]:
    # What other tests left open is out of the way.
    await asyncio.to_thread(honest_simnet.settle_now)
    async with client(honest_simnet) as c:
        yield c


def charged(c: Client) -> int:
    return c.host.sessions._by_id[c.session or ""].charged


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_usage_is_signed_and_not_charged(
    honest_simnet: RunningSimnet, anna: Client, stream: bool
) -> None:
    honest_simnet.cheat("anna", "no-usage")
    answer = await anna.pay(chat("Is 97 prime?", stream=stream))
    evidence = read_stream(answer.content) if stream else read_reply(answer.content)
    assert evidence.problem is None and evidence.text
    assert isinstance(read_signed_fields(evidence.frame or ""), SignedFields)
    assert "usage" not in json.loads((evidence.frame or "").removeprefix("data: "))
    assert charged(anna) == 0
    assert honest_simnet.settle_now() == []


async def test_a_provider_that_is_down_fails_in_the_stream_that_has_begun(
    honest_simnet: RunningSimnet, anna: Client
) -> None:
    honest_simnet.cheat("anna", "provider-down")
    streamed = await anna.pay(chat("x", stream=True))
    assert streamed.status_code == 200
    assert streamed.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert streamed.text == 'data: {"error": "Stream processing failed"}\n\n'
    assert streamed.headers["X-Upto-Session"]
    whole = await anna.ask(chat("x"))
    assert (whole.status_code, whole.json()) == (500, {"error": "Request processing failed"})
    assert charged(anna) == 0


async def test_without_its_facilitator_a_host_fails_with_a_page_and_collects_nothing(
    honest_simnet: RunningSimnet, anna: Client
) -> None:
    assert (await anna.pay(chat("x"))).status_code == 200
    owed = anna.host.sessions._by_id[anna.session or ""]
    honest_simnet.cheat("anna", "facilitator-down")
    assert (await anna.unpaid(chat("x"))).status_code == 402
    refused = await anna.pay(chat("x"))
    assert refused.status_code == 500
    assert refused.headers["Content-Type"].startswith("text/html")
    assert "Internal Server Error" in refused.text
    assert "X-Upto-Session" not in refused.headers
    # A session that is open goes on; nothing of it is collected.
    assert (await anna.ask(chat("x"))).status_code == 200
    assert honest_simnet.settle_now() == []
    assert owed.charged > 0 and owed.closed and owed.transaction is None


async def test_a_dead_gateway_leaves_its_front_which_still_attests(
    honest_simnet: RunningSimnet, anna: Client
) -> None:
    honest_simnet.cheat("anna", "gateway-down")
    for path in ("/health", "/signing-key", "/v1/models"):
        assert (await anna.http.get(path)).status_code == 502
    assert (await anna.unpaid(chat("x"))).status_code == 502
    assert (
        await anna.http.get("/enclave/attestation", params={"nonce": "00" * 20})
    ).status_code == 200


@pytest.mark.parametrize("version", [1, 3, "2", None, True])
async def test_a_payment_of_another_version_is_no_payment(anna: Client, version: Any) -> None:
    terms = await anna.terms()
    message = json.loads(base64.b64decode(anna.payment(terms, anna.authorise(terms))))
    message["x402Version"] = version
    answer = await anna.pay(
        chat("x"), header=base64.b64encode(json.dumps(message).encode()).decode()
    )
    assert answer.status_code == 402
    assert (
        json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))["error"]
        == "Payment required"
    )


# --------------------------------------------------------------------------------- the command line


def test_up_takes_terms_and_their_parts() -> None:
    from opg_magic.simnet.process.command import serve_flags, terms_of

    given = parser().parse_args(
        ["up", "--terms", "dev8", "--cap", "0.05", "--deadline", "900", "--pace", "25"]
    )
    assert terms_of(given) == terms_named("dev8", cap=5 * 10**16, deadline=900)
    again = parser().parse_args(["serve", *serve_flags(given)])
    assert terms_of(again) == terms_of(given)
    assert again.pace == 25
    assert terms_of(parser().parse_args(["up"])) is None
    for bad in (
        ["--terms", "may"],
        ["--cap", "x"],
        ["--cap", "0"],
        ["--deadline", "-5"],
        ["--pace", "0"],
    ):
        with pytest.raises(SimnetError):
            terms_of(parser().parse_args(["up", *bad]))
