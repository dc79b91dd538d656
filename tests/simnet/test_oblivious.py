"""The simulated relay and the hosts behind it: what they take, refuse and seal."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from support.simnet import RunningSimnet

from opg_magic.protocol import ohttp
from opg_magic.protocol.sse import StreamReader
from opg_magic.simnet.oblivious import bending
from opg_magic.simnet.oblivious.relay import RELAY_PATH

pytestmark = pytest.mark.simnet

BODY: dict[str, Any] = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": "Is 97 prime?"}],
    "temperature": 0.0,
}


def post(simnet: RunningSimnet, wire: bytes, **changes: str) -> httpx.Response:
    headers = {
        "Content-Type": ohttp.REQUEST_TYPE,
        "X-TEE-ID": simnet.hosts[0].tee_id,
        "Authorization": f"Bearer {simnet.net.relay.own.token.reveal()}",
    }
    url = simnet.net.relay.url + RELAY_PATH
    return httpx.post(url, content=wire, headers={**headers, **changes}, timeout=30)


def sealed(simnet: RunningSimnet, **changes: Any) -> ohttp.SealedRequest:
    key = simnet.hosts[0].sealing.key
    return ohttp.seal_request(key, json.dumps({**BODY, **changes}).encode())


def test_the_registry_lists_each_host_with_a_key_of_its_own(honest_simnet: RunningSimnet) -> None:
    listed = [
        honest_simnet.net.registry.contract.read("getTEE", bytes.fromhex(host.tee_id[2:]))[10]
        for host in honest_simnet.hosts
    ]
    assert [entry[:5] for entry in listed] == [
        (1, 0x20, 1, 3, host.sealing.key.public_key) for host in honest_simnet.hosts
    ]
    assert len({entry[4] for entry in listed}) == len(listed)
    # RFC 9458, section 3.1: key id, KEM, key, and the list of suites.
    key = honest_simnet.hosts[0].sealing.key
    assert listed[0][5] == b"\x01\x00\x20" + key.public_key + bytes.fromhex("000400010003")


def test_a_whole_answer_comes_back_sealed(honest_simnet: RunningSimnet) -> None:
    request = sealed(honest_simnet)
    answer = post(honest_simnet, request.wire)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == ohttp.RESPONSE_TYPE
    opener = ohttp.SingleOpener(request)
    opener.feed(answer.content)
    document = json.loads(opener.finish()[0])
    assert document["choices"][0]["message"]["content"].startswith("Yes. 97 is prime")
    assert document["tee_id"] == honest_simnet.hosts[0].tee_id
    assert b"97 is prime" not in answer.content


def test_the_relay_keeps_its_connection_to_a_host(honest_simnet: RunningSimnet) -> None:
    """A handshake for each call would be no part of what the private route costs."""
    for _ in range(3):
        assert post(honest_simnet, sealed(honest_simnet).wire).status_code == 200
    connector = honest_simnet.net.relay._http.connector
    port = int(honest_simnet.hosts[0].endpoint.rpartition(":")[2])
    kept = [len(held) for key, held in connector._conns.items() if key.port == port]
    assert kept == [1]


def test_a_streamed_answer_comes_back_event_by_event(honest_simnet: RunningSimnet) -> None:
    request = sealed(honest_simnet, stream=True)
    answer = post(honest_simnet, request.wire)
    assert answer.headers["content-type"] == ohttp.CHUNKED_TYPE
    opener, reader = ohttp.ChunkedOpener(request), StreamReader()
    chunks = opener.feed(answer.content) + opener.finish()
    assert len(chunks) > 5
    assert all(chunk.startswith(b"data: ") for chunk in chunks[:-1])
    for chunk in chunks:
        reader.feed(chunk)
    evidence = reader.finish()
    assert evidence.problem is None
    assert evidence.text is not None and evidence.text.startswith("Yes. 97 is prime")


def test_a_hosts_refusal_is_sealed_with_its_status(honest_simnet: RunningSimnet) -> None:
    request = sealed(honest_simnet, temperature="warm")
    answer = post(honest_simnet, request.wire)
    opener = ohttp.SingleOpener(request)
    opener.feed(answer.content)
    inner = json.loads(opener.finish()[0])
    assert answer.status_code == 200
    assert inner["status"] == 400 and "temperature" in inner["body"]["detail"]


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"Authorization": ""}, 401, "Not signed in"),
        ({"Authorization": "Bearer another"}, 401, "Not signed in"),
        ({"X-TEE-ID": "0x" + "0" * 64}, 404, "No such host"),
        ({"Content-Type": "application/json"}, 415, "Expected message/ohttp-req"),
    ],
)
def test_the_relay_refuses_as_json(
    honest_simnet: RunningSimnet, changes: dict[str, str], status: int, detail: str
) -> None:
    answer = post(honest_simnet, sealed(honest_simnet).wire, **changes)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


def test_an_account_has_an_end_a_quota_and_a_pace(honest_simnet: RunningSimnet) -> None:
    relay = honest_simnet.net.relay
    request = sealed(honest_simnet)

    def asked(**limits: Any) -> list[int]:
        account = relay.accounts.open("test")
        for name, value in limits.items():
            setattr(account, name, value)
        bearer = f"Bearer {account.token.reveal()}"
        return [
            post(honest_simnet, request.wire, Authorization=bearer).status_code for _ in range(2)
        ]

    assert asked(quota=1) == [200, 402]
    assert asked(per_minute=1) == [200, 429]
    assert asked(expires_at=1.0) == [401, 401]


def test_a_relay_that_is_down_and_a_request_for_another_host_are_told_apart(
    honest_simnet: RunningSimnet,
) -> None:
    relay, request = honest_simnet.net.relay, sealed(honest_simnet)
    try:
        relay.carrying = bending.Down()
        assert post(honest_simnet, request.wire).status_code == 503
        relay.carrying = bending.OtherHost()
        assert post(honest_simnet, request.wire).status_code == 502
    finally:
        relay.carrying = bending.Carrying()


def test_what_sealed_calls_cost_is_kept_on_a_tab_and_settled_nowhere(
    honest_simnet: RunningSimnet,
) -> None:
    host = honest_simnet.hosts[0]
    before = host.unsealing.tab.charged
    honest_simnet.settle_now()  # what others have left open
    post(honest_simnet, sealed(honest_simnet).wire)
    assert host.unsealing.tab.charged > before
    assert honest_simnet.settle_now() == []
