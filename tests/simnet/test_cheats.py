"""Each cheat, played by a host on the wire: what it does is caught by the check that it is meant
for."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.simnet import Client, RunningSimnet, chat, client

from opg_magic.errors import MalformedMessage, PaymentRefused, SimnetError
from opg_magic.models import CHAT_PATH
from opg_magic.protocol import x402
from opg_magic.protocol.sse import read_stream
from opg_magic.simnet.cheats.modes import MODES, make
from opg_magic.simnet.cheats.signing import HOSTILE_TEXT
from opg_magic.simnet.host import conduct
from opg_magic.simnet.host.conduct import Honest
from opg_magic.verify import verify_exchange
from opg_magic.verify.examination import examine
from opg_magic.wallet.bounds import Bounds

QUESTION = "What does a TEE protect against?"


async def exchange(
    simnet: RunningSimnet, mode: str, *, stream: bool, name: str = "anna"
) -> tuple[Client, Any, Any]:
    """One paid call to a host in that mode: the client, the verdict on the bytes that came, and the
    response."""
    simnet.cheat(name, mode)
    body = chat(QUESTION, stream=True) if stream else chat(QUESTION)
    async with client(simnet, name) as c:
        sent = time.time()
        answer = await c.pay(body)
        key = simnet.listed(c.host).public_key
    assert answer.status_code == 200, (answer.status_code, answer.text)
    verdict = verify_exchange(
        body, answer.text, signing_key=key, sent_at=sent, received_at=time.time()
    )
    return c, verdict, answer


def charged(c: Client) -> int:
    assert c.session is not None
    return c.host.sessions._by_id[c.session].charged


@pytest.mark.parametrize("stream", [False, True])
async def test_off_is_honest(honest_simnet: RunningSimnet, stream: bool) -> None:
    _, verdict, _ = await exchange(honest_simnet, "off", stream=stream)
    assert {name: c.status for name, c in verdict.claims.items() if c.status == "failed"} == {}
    assert verdict.claims["signature"].status == "passed"


#: mode -> the claims of which at least one fails (that a later claim cannot be judged then is not
#: our matter here).
CAUGHT_BY_BYTES = {
    "change-byte": {"response"},
    "sign-other-request": {"request"},
    "foreign-key": {"signature"},
    "unregistered-key": {"signature"},
    "borrowed-name": {"signature"},
    "stale-time": {"freshness"},
    "future-time": {"freshness"},
    "text-time": {"signature", "freshness", "response"},
    "junk-signature": {"signature", "response"},
    "two-finals": {"response"},
    "text-after-final": {"response"},
    "corrupt-line": {"response"},
    "duplicate-json": {"response"},
    "quiet-cut": {"response"},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", CAUGHT_BY_BYTES)
async def test_a_lie_in_the_answer_fails(
    honest_simnet: RunningSimnet, mode: str, stream: bool
) -> None:
    _, verdict, _ = await exchange(honest_simnet, mode, stream=stream)
    assert verdict.status == "FAILED"
    failed = {claim.name for claim in verdict.failed_claims}
    assert failed & CAUGHT_BY_BYTES[mode], (failed, [c.reason for c in verdict.failed_claims])


@pytest.mark.parametrize("stream", [False, True])
async def test_unsigned_is_unverified_and_charged(
    honest_simnet: RunningSimnet, stream: bool
) -> None:
    c, verdict, _ = await exchange(honest_simnet, "unsigned-stream", stream=stream)
    assert verdict.status == "UNVERIFIED"
    assert verdict.claims["signature"].status == "missing"
    assert charged(c) > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_replay_gives_the_first_answer_again(
    honest_simnet: RunningSimnet, stream: bool
) -> None:
    simnet = honest_simnet
    simnet.cheat("anna", "replay")
    async with client(simnet) as c:
        first = await c.pay(chat("Is 97 prime?", stream=stream))
        same = await c.ask(chat("Is 97 prime?", stream=stream))
        other = chat("Is 91 prime?", stream=stream)
        sent = time.time()
        replayed = await c.ask(other)
        key = simnet.listed(c.host).public_key
    assert first.content == same.content == replayed.content
    verdict = verify_exchange(
        other, replayed.text, signing_key=key, sent_at=sent, received_at=time.time()
    )
    assert verdict.claims["request"].status == "failed"
    assert verdict.claims["signature"].status == "passed"


async def test_script_output_is_hostile_and_correctly_signed(honest_simnet: RunningSimnet) -> None:
    _, verdict, answer = await exchange(honest_simnet, "script-output", stream=True)
    assert read_stream(answer.content).text == HOSTILE_TEXT
    assert "<script>" in HOSTILE_TEXT and "onerror=" in HOSTILE_TEXT and "\x1b[" in HOSTILE_TEXT
    assert verdict.claims["response"].status == verdict.claims["signature"].status == "passed"


@pytest.mark.parametrize("stream", [False, True])
async def test_cut_stream_breaks_off_and_is_not_charged(
    honest_simnet: RunningSimnet, stream: bool
) -> None:
    honest_simnet.cheat("anna", "cut-stream")
    received = b""
    async with client(honest_simnet) as c:
        terms = await c.terms()
        headers = {**c.headers, "PAYMENT-SIGNATURE": c.payment(terms, c.authorise(terms))}
        body = chat(QUESTION, stream=stream)
        with pytest.raises(httpx.RemoteProtocolError):
            async with c.http.stream("POST", CHAT_PATH, json=body, headers=headers) as response:
                c.session = response.headers["X-Upto-Session"]
                async for piece in response.aiter_raw():
                    received += piece
    assert b"tee_signature" not in received if stream else len(received) > 0
    assert charged(c) == 0


async def test_error_mid_stream_is_the_recorded_frame_and_not_charged(
    honest_simnet: RunningSimnet,
) -> None:
    c, verdict, answer = await exchange(honest_simnet, "error-mid-stream", stream=True)
    assert answer.text.endswith('data: {"error": "Stream processing failed"}\n\n')
    assert "[DONE]" not in answer.text
    assert verdict.status == "UNVERIFIED"
    assert charged(c) == 0


# ------------------------------------------------------------------------------------------ payment

REFUSED_TERMS = {
    "other-payee": "asks to pay",
    "other-asset": "asks for asset",
    "other-network": "eip155:1",
    "other-facilitator": "facilitator",
    "other-spender": "spender",
    "other-scheme": "exact",
}


@pytest.mark.parametrize("mode", REFUSED_TERMS)
async def test_lying_terms_are_refused_before_signing(
    honest_simnet: RunningSimnet, mode: str
) -> None:
    honest_simnet.cheat("anna", mode)
    async with client(honest_simnet) as c:
        with pytest.raises(PaymentRefused, match=REFUSED_TERMS[mode]):
            await c.terms()


async def test_a_cap_and_a_deadline_go_by_the_users_limits(honest_simnet: RunningSimnet) -> None:
    async with client(honest_simnet) as c:
        honest_simnet.cheat("anna", "over-cap")
        terms = await c.terms()
        assert terms.amount == 1000 * 10**18
        auth, now = c.authorise(terms), int(time.time())
        bounds = Bounds.of(honest_simnet.network, honest_simnet.listed(c.host), max_cap=10**17)
        with pytest.raises(PaymentRefused, match=r"cap is 1000.* at most 0\.1"):
            bounds.check(auth, honest_simnet.network, payer=honest_simnet.payer, now=now)
        honest_simnet.cheat("anna", "long-deadline")
        terms = await c.terms()
        assert terms.max_timeout_seconds == 30 * 86400
        # A shorter deadline than offered is accepted: it is cut.
        assert c.authorise(terms).deadline <= time.time() + x402.MAX_SECONDS


async def test_reprice_shows_another_price_on_the_retry_alone(honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat("anna", "reprice")
    async with client(honest_simnet) as c:
        terms = await c.terms()
        answer = await c.pay(chat("x"), header=c.payment(terms, c.authorise(terms)))
    assert answer.status_code == 402
    again = x402.parse_payment_required(answer.headers["PAYMENT-REQUIRED"])
    assert int(again.accepts[0]["amount"]) == 10 * terms.amount


async def test_expired_session_refuses_every_session(honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat("anna", "expired-session")
    async with client(honest_simnet) as c:
        await c.pay(chat("x"))
        answer = await c.ask(chat("y"))
        assert (answer.status_code, answer.json()) == (
            402,
            {"error": "Session expired or exhausted"},
        )
        assert (await c.pay(chat("z"))).status_code == 200


@pytest.mark.parametrize(("mode", "takes"), [("hang", False), ("take-and-hang", True)])
async def test_a_hanging_host_never_answers(
    honest_simnet: RunningSimnet, mode: str, takes: bool
) -> None:
    simnet = honest_simnet
    simnet.settle_now()
    simnet.cheat("anna", mode)
    async with client(simnet) as c:
        payee = c.host.payment_address
        before = simnet.balance(payee)
        terms = await c.terms()
        call = asyncio.create_task(c.pay(chat("x"), header=c.payment(terms, c.authorise(terms))))
        # The session is there as soon as the payment was taken; the answer is not.
        settled = []
        for _ in range(600 if takes else 10):
            done, _ = await asyncio.wait({call}, timeout=0.1)
            assert not done
            settled = simnet.settle_now()
            if settled:
                break
        assert len(settled) == (1 if takes else 0)
        assert (simnet.balance(payee) > before) is takes
        simnet.cheat("anna", "off")
        assert (await call).status_code == 500


async def test_http_500_comes_after_the_payment_and_costs_nothing(
    honest_simnet: RunningSimnet,
) -> None:
    honest_simnet.cheat("anna", "http-500")
    async with client(honest_simnet) as c:
        assert (await c.unpaid(chat("x"))).status_code == 402
        answer = await c.pay(chat("x"))
    assert (answer.status_code, answer.json()) == (500, {"error": "Request processing failed"})
    assert charged(c) == 0


async def test_slow_still_answers_correctly(
    honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODES["slow"], "pause", 0.001)
    _, verdict, _ = await exchange(honest_simnet, "slow", stream=True)
    assert verdict.claims["signature"].status == "passed"


async def test_a_slow_host_that_is_told_off_hurries_with_what_it_is_answering(
    honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            honest_simnet.net.cheat("anna", "off")

    monkeypatch.setattr(conduct, "pause", pause)
    _, verdict, _ = await exchange(honest_simnet, "slow", stream=True)
    assert verdict.claims["signature"].status == "passed"
    assert waits[:2] == [0.5, 0.5] and len(waits) > 3 and not any(waits[2:])


# --------------------------------------------------------------------------------------- connection


async def presented(simnet: RunningSimnet, name: str) -> bytes:
    """The certificate that the host presents now, as DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = httpx.URL(simnet.host(name).endpoint).port
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(der)


async def test_wrong_certificate_is_not_the_registered_one(honest_simnet: RunningSimnet) -> None:
    registered = honest_simnet.listed(honest_simnet.host("anna")).tls_certificate
    assert await presented(honest_simnet, "anna") == registered
    honest_simnet.cheat("anna", "wrong-certificate")
    assert await presented(honest_simnet, "anna") != registered
    async with client(honest_simnet) as c:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await c.http.get("/health")
    honest_simnet.cheat("anna", "off")
    assert await presented(honest_simnet, "anna") == registered


async def test_issued_certificate_passes_a_path_check_and_is_not_the_registered_one(
    honest_simnet: RunningSimnet,
) -> None:
    honest_simnet.cheat("anna", "issued-certificate")
    registered = honest_simnet.listed(honest_simnet.host("anna")).tls_certificate
    assert await presented(honest_simnet, "anna") != registered
    async with client(honest_simnet) as c:  # trusts whatever the registered certificate issued
        assert (await c.http.get("/health")).status_code == 200


async def test_another_certificate_ends_open_connections(honest_simnet: RunningSimnet) -> None:
    async with client(honest_simnet) as c:
        assert (await c.http.get("/health")).status_code == 200
        honest_simnet.cheat("anna", "wrong-certificate")
        with pytest.raises(httpx.TransportError):
            await c.http.get("/health")


async def test_redirect_points_to_another_host(honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat("anna", "redirect")
    async with client(honest_simnet) as c:
        answer = await c.unpaid(chat("x"))
    assert answer.status_code == 307
    assert not answer.headers["Location"].startswith(c.host.endpoint)


# -------------------------------------------------------------------------------------- attestation


async def attested(simnet: RunningSimnet) -> httpx.Response:
    async with client(simnet) as c:
        return await c.http.get("/enclave/attestation", params={"nonce": "ab" * 20})


@pytest.mark.parametrize(
    "mode",
    [
        "debug-pcrs",
        "wrong-nonce",
        "foreign-root",
        "expired-attestation",
        "unset-key-hash",
        "other-key-hash",
        "other-certificate-hash",
        "trailing-bytes",
        "duplicate-cbor",
    ],
)
async def test_a_lying_attestation_is_refused(honest_simnet: RunningSimnet, mode: str) -> None:
    honest_simnet.cheat("anna", mode)
    document = base64.b64decode((await attested(honest_simnet)).text)
    listed = honest_simnet.listed(honest_simnet.host("anna"))
    try:
        report = examine(
            document,
            simulated_roots=honest_simnet.network.simulated_roots,
            nonce=bytes.fromhex("ab" * 20),
            signing_key=listed.public_key,
            tls_certificate=listed.tls_certificate,
        )
    except MalformedMessage:
        return
    assert not report.accepted
    assert not report.genuine


async def test_no_attestation_is_404(honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat("anna", "no-attestation")
    assert (await attested(honest_simnet)).status_code == 404


# -------------------------------------------------------------------------------------------- names


def test_every_mode_says_what_it_does_in_one_line() -> None:
    assert len(MODES) >= 30
    for mode, cheat in MODES.items():
        assert cheat.mode == mode == mode.lower()
        assert cheat.says
        assert "\n" not in cheat.says
        assert cheat.says[0].islower()


def test_one_mode_is_made_by_its_name() -> None:
    assert type(make("off")) is Honest
    assert make("hang").mode == "hang"
    with pytest.raises(SimnetError, match="hang"):
        make("hangs")


@pytest.mark.parametrize("word", ["honest", "none", "stop", "on", "of", "hangs", "Off"])
def test_whoever_gets_no_cheat_learns_how_one_ends(word: str) -> None:
    with pytest.raises(SimnetError, match=f"There is no cheat “{word}”") as caught:
        make(word)
    assert "off makes the host honest again; opg simnet cheats lists all." in caught.value.hint
    # What is only vaguely alike is not what somebody meant.
    assert ("Did you mean" in caught.value.hint) == (word in ("of", "hangs", "Off"))


def test_every_mode_is_played_by_a_test() -> None:
    tests = Path(__file__).resolve().parents[1]
    written = "".join(
        path.read_text("utf-8")
        for folder in ("simnet", "engine", "wallet", "hosts", "backends", "examples")
        for path in (tests / folder).rglob("*.py")
    )
    assert [mode for mode in MODES if f'"{mode}"' not in written] == []


async def test_a_cheat_of_one_host_leaves_the_others_honest(honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat("anna", "change-byte")
    _, verdict, _ = await exchange(honest_simnet, "off", stream=True, name="bruno")
    assert verdict.claims["response"].status == "passed"
    assert json.dumps(honest_simnet.net.status()).count("change-byte") == 1
