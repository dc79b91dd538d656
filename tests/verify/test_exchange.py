"""``verify_exchange``: one exchange and a key; agreement with the recordings of the real
gateway."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signing import (
    CHAT,
    COMPLETION,
    RECEIVED,
    SENT,
    TOOL_CALL,
    TOOLS,
    reply,
    signer,
    stream,
)

from opg_magic.models import Basis, Status, Verdict, VerdictStatus
from opg_magic.verify import verify_exchange

RECORDINGS = Path(__file__).parents[3] / "shared" / "vectors" / "gateway"
ANNA = signer()
TIMES = {"sent_at": SENT.timestamp(), "received_at": RECEIVED.timestamp()}
PROVEN = ("request", "response", "signature")


def verify(response: Any, request: Any = CHAT, **changes: Any) -> Verdict:
    return verify_exchange(request, response, **({"signing_key": ANNA.der, **TIMES} | changes))


def assert_good(verdict: Verdict) -> None:
    assert (verdict.status, verdict.simulated) == (VerdictStatus.UNVERIFIED, False)
    assert (verdict.claims["freshness"].status, verdict.claims["freshness"].basis) == (
        Status.PASSED,
        Basis.ASKED,
    )
    for name in PROVEN:
        assert (verdict.claims[name].status, verdict.claims[name].basis) == (
            Status.PASSED,
            Basis.PROVEN,
        )
    for name in ("attestation", "registry", "channel"):
        assert (verdict.claims[name].status, verdict.claims[name].basis) == (Status.MISSING, None)


@pytest.mark.parametrize(
    "key", [ANNA.der, ANNA.pem, ANNA.pem.encode(), "\n" + ANNA.pem.replace("\n", "\r\n") + "\n"]
)
def test_all_forms_of_key_and_answer(key: bytes | str) -> None:
    for response in (
        reply(ANNA),
        json.loads(reply(ANNA)),
        "\n " + reply(ANNA),
        stream(ANNA).decode(),
    ):
        assert_good(verify(response, signing_key=key))


def test_completions_and_tool_calls() -> None:
    assert_good(verify(reply(ANNA, COMPLETION, kind="completion"), COMPLETION, kind="completion"))
    assert_good(
        verify(
            reply(ANNA, {**CHAT, "tools": TOOLS}, tool_calls=[TOOL_CALL]), {**CHAT, "tools": TOOLS}
        )
    )


@pytest.mark.parametrize(
    "key",
    [
        "",
        b"",
        "junk",
        b"\xff\xfe",
        "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
        "\ud800",
        signer("b").pem,
    ],
)
def test_another_key_or_none_fails(key: bytes | str) -> None:
    verdict = verify(reply(ANNA), signing_key=key)
    assert (verdict.status, verdict.claims["signature"].status) == (
        VerdictStatus.FAILED,
        Status.FAILED,
    )


@pytest.mark.parametrize(
    "response",
    [
        "",
        "{",
        "null",
        "data: [DONE]\n\n",
        {},
        {"choices": []},
        {"a": math.nan},
        {"a": b"bytes"},
        {"a": "\ud800"},
        {1: 2},
        "\ud800",
    ],
)
def test_malformed_answers_fail_and_do_not_raise(response: Any) -> None:
    verdict = verify(response)
    assert (verdict.status, verdict.claims["response"].status) == (
        VerdictStatus.FAILED,
        Status.FAILED,
    )


@pytest.mark.parametrize(
    "request_body",
    [
        {},
        {"messages": []},
        {"a": math.inf},
        {"a": b"bytes"},
        {"messages": [{"role": "x"}]},
        {"a": "\ud800"},
    ],
)
def test_malformed_requests_fail_and_do_not_raise(request_body: Any) -> None:
    verdict = verify(reply(ANNA), request_body)
    assert (verdict.status, verdict.claims["request"].status) == (
        VerdictStatus.FAILED,
        Status.FAILED,
    )


def test_an_endlessly_nested_answer_fails() -> None:
    deep: dict[str, Any] = {}
    deep["a"] = deep
    assert verify(deep).status is VerdictStatus.FAILED
    assert verify(reply(ANNA), deep).status is VerdictStatus.FAILED


@pytest.mark.parametrize("time", [math.nan, math.inf, 1e300])
def test_a_time_that_is_none_is_the_caller_s_mistake(time: float) -> None:
    with pytest.raises(ValueError):
        verify(reply(ANNA), sent_at=time)


@given(
    st.text() | st.dictionaries(st.text(), st.none() | st.integers() | st.text()),
    st.binary() | st.text(),
)
def test_any_answer_and_key_give_a_verdict(response: Any, key: Any) -> None:
    assert verify(response, signing_key=key).status in {
        VerdictStatus.FAILED,
        VerdictStatus.UNVERIFIED,
    }


# --------------------------------------------------------------------------------------- recordings


def recorded() -> list[Any]:
    found = []
    for path in sorted(RECORDINGS.glob("*.json")) if RECORDINGS.is_dir() else ():
        for at, exchange in enumerate(json.loads(path.read_text())["exchanges"]):
            # Of odd bodies only the status was kept, not the exchange.
            if "request" in exchange and "tee_signature" in exchange["response"]["body"]:
                found.append(pytest.param(exchange, id=f"{path.stem}-{at}"))
    return found


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings of the gateway are not here")
def test_there_are_recordings_of_every_form() -> None:
    paths = {
        (
            e.values[0]["request"]["url"].rsplit("/", 2)[-2:][0],
            "data:" in e.values[0]["response"]["body"],
        )
        for e in recorded()
    }
    assert len(recorded()) >= 6 and paths == {("chat", False), ("chat", True), ("v1", False)}


@pytest.mark.parametrize("exchange", recorded())
def test_the_recordings_are_as_the_gateway_signed_them(exchange: dict[str, Any]) -> None:
    keys = json.loads((RECORDINGS / "01_before_keys.json").read_text())["exchanges"]
    key = next(
        json.loads(e["response"]["body"])["public_key"]
        for e in keys
        if "signing-key" in e["request"]["url"]
    )
    body, answer = exchange["request"]["body"], exchange["response"]["body"]
    arguments = {
        "signing_key": key,
        "sent_at": exchange["t0"],
        "received_at": exchange["t0"] + exchange["response"]["chunks"][-1][0],
        "kind": "chat" if "chat" in exchange["request"]["url"] else "completion",
    }
    assert_good(verify_exchange(json.loads(body), answer, **arguments))

    tampered = answer.replace("stub ", "stab ", 1)
    verdict = verify_exchange(json.loads(body), tampered, **arguments)
    assert [claim.name for claim in verdict.failed_claims] == ["response"]
    verdict = verify_exchange({**json.loads(body), "model": "gpt-6"}, answer, **arguments)
    assert [claim.name for claim in verdict.failed_claims] == ["request"]
    verdict = verify_exchange(json.loads(body), answer, **{**arguments, "signing_key": ANNA.der})
    assert [claim.name for claim in verdict.failed_claims] == ["signature"]
    verdict = verify_exchange(
        json.loads(body), answer, **{**arguments, "sent_at": exchange["t0"] + 1000}
    )
    assert "freshness" in [claim.name for claim in verdict.failed_claims]
