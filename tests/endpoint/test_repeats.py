"""What a client must not send again by itself."""

from __future__ import annotations

import httpx
import pytest
from support.serving import Served
from support.simnet import RunningSimnet

from opg_magic.endpoint.calls import QUIET_SECONDS, Repeats
from opg_magic.endpoint.refusal import Refusal

AGAIN = {"x-stainless-retry-count": "1"}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_over_may_be_asked_again() -> None:
    repeats = Repeats()
    name = repeats.begin(b"a", {})
    repeats.over(name)
    repeats.begin(b"a", AGAIN)
    # The same request twice at once is a sample of two, not a repetition.
    repeats.begin(b"a", {})
    repeats.begin(b"b", AGAIN)
    with pytest.raises(Refusal, match="may have been paid for"):
        repeats.begin(b"a", AGAIN)


def test_after_an_error_the_same_request_waits() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    repeats.failed(repeats.begin(b"a", {}))
    repeats.begin(b"b", {})
    for _ in range(3):
        with pytest.raises(Refusal) as refused:
            repeats.begin(b"a", {})
        assert (refused.value.status, refused.value.code) == (409, "repeated")
    clock.now += QUIET_SECONDS
    with pytest.raises(Refusal):
        repeats.begin(b"a", AGAIN)
    repeats.begin(b"a", {})


def test_a_client_that_repeats_a_502_pays_once(
    served: Served, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opg_magic.endpoint.calls.QUIET_SECONDS", 1e9)
    honest_simnet.cheat_everywhere("change-byte")
    request = {"model": "gpt-5", "messages": [{"role": "user", "content": "Is 97 prime?"}]}

    def ask(client: httpx.Client) -> int:
        return client.post("/chat/completions", json=request).status_code

    with served.raw() as client:
        assert [ask(client) for _ in range(3)] == [502, 409, 409]
    assert len(served.receipts()) == 1


def test_a_client_that_repeats_a_stream_that_failed_half_way_pays_once(
    served: Served, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some clients (litellm's fallbacks) ask again where a stream ends with an error."""
    monkeypatch.setattr("opg_magic.endpoint.calls.QUIET_SECONDS", 1e9)
    honest_simnet.cheat_everywhere("change-byte")
    question = [{"role": "user", "content": "Is 97 prime?"}]
    request = {"model": "gpt-5", "messages": question, "stream": True}
    with served.raw() as client:
        with (
            client.stream("POST", "/chat/completions", json=request) as first,
            pytest.raises(httpx.RemoteProtocolError),
        ):
            assert first.status_code == 200
            first.read()
        assert client.post("/chat/completions", json=request).status_code == 409
    assert len(served.receipts()) == 1


def test_what_cost_nothing_may_be_repeated_at_once(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat_everywhere("provider-down")
    request = {"model": "gpt-5", "messages": [{"role": "user", "content": "Is 97 prime?"}]}
    with served.raw(**AGAIN) as client:
        first, second = (client.post("/chat/completions", json=request) for _ in range(2))
    assert first.status_code == second.status_code == 502
    assert first.json()["error"]["opg"]["charge"] == "not charged"
