"""A host on the wire: the 402 flow, sessions, answers, streams, refusals; in the shape that was
recorded."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from support.simnet import Client, RunningSimnet, chat, client

from opg_magic.models import CHAT_PATH, COMPLETION_PATH
from opg_magic.network.profiles import OBSERVED_CAP, OPG_ADDRESS
from opg_magic.protocol import canonical
from opg_magic.protocol.frame import SignedFields, read_signed_fields
from opg_magic.protocol.reply import read_reply
from opg_magic.protocol.sse import read_stream
from opg_magic.simnet.host import responses
from opg_magic.verify.examination import examine

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "gateway"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def recorded(name: str) -> list[dict[str, Any]]:
    path = RECORDINGS / f"{name}.json"
    if not path.exists():
        pytest.skip("the recordings of the real gateway are not here")
    exchanges: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["exchanges"]
    return exchanges


def assert_signed(
    simnet: RunningSimnet, name: str, frame: str, kind: Any, body: dict[str, Any], output: str
) -> None:
    """The frame bears the host's own signature over exactly this request and this output."""
    fields = read_signed_fields(frame)
    assert isinstance(fields, SignedFields), fields
    host = simnet.host(name)
    assert fields.tee_id == host.tee_id
    assert fields.request_hash == canonical.request_hash(canonical.canonicalise(kind, body))
    assert fields.output_hash == canonical.output_hash(output)
    key: Any = load_der_public_key(simnet.listed(host).public_key)
    digest = canonical.signed_digest(fields.request_hash, fields.output_hash, fields.timestamp)
    key.verify(fields.signature, digest, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())


def shape(value: Any) -> Any:
    """Keys in their order and types, without the values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return type(value).__name__


def events(text: str) -> list[Any]:
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line[6:]) if line != "data: [DONE]" else None for line in lines]


def header_names(exchange: dict[str, Any]) -> set[str]:
    ignored = {"server", "date", "connection"}
    return {name.lower() for name, _ in exchange["response"]["headers"]} - ignored


def our_header_names(response: httpx.Response) -> set[str]:
    return {name.lower() for name in response.headers} - {"server", "date", "connection"}


# ------------------------------------------------------------------------------------ small answers


async def test_health_gives_the_price_feed(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        health = (await c.http.get("/health")).json()
    assert health["price_feed"]["price_usd"] == 0.1
    assert (health["status"], health["tee_enabled"]) == ("OK", True)


async def test_signing_key_is_the_registered_one(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        said = (await c.http.get("/signing-key")).json()
        listed = simnet.listed(c.host)
    key = load_pem_public_key(said["public_key"].encode())
    assert key == load_der_public_key(listed.public_key)
    assert said["tee_id"] == listed.tee_id
    assert said["wallet_address"].lower() == listed.payment_address.lower()


async def test_attestation_is_genuine_fresh_and_binds_key_and_certificate(
    simnet: RunningSimnet,
) -> None:
    nonce = bytes(range(20))
    async with client(simnet) as c:
        answer = await c.http.get("/enclave/attestation", params={"nonce": nonce.hex()})
        listed = simnet.listed(c.host)
    report = examine(
        base64.b64decode(answer.text, validate=True),
        aws_root_sha256="0" * 64,
        simulated_roots=simnet.network.simulated_roots,
        nonce=nonce,
        signing_key=listed.public_key,
        tls_certificate=listed.tls_certificate,
    )
    assert [step.name for step in report.steps if step.status != "passed"] == []
    assert report.simulated


@pytest.mark.parametrize("nonce", ["", "00", "zz" * 20, "00" * 21])
async def test_attestation_needs_a_nonce_of_twenty_bytes(simnet: RunningSimnet, nonce: str) -> None:
    async with client(simnet) as c:
        assert (
            await c.http.get("/enclave/attestation", params={"nonce": nonce})
        ).status_code == 400


async def test_small_answers_have_the_recorded_shape(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        for exchange in recorded("01_before_keys"):
            url = httpx.URL(exchange["request"]["url"])
            if exchange["request"]["method"] != "GET" or url.path in (
                "/enclave/attestation",
                "/heartbeat/status",
            ):
                continue
            answer = await c.http.get(url.path)
            assert answer.status_code == exchange["response"]["status"], url.path
            assert our_header_names(answer) == header_names(exchange), url.path
            expected = json.loads(exchange["response"]["body"])
            assert shape(answer.json()) == shape(expected), url.path
            if answer.status_code == 404:
                assert answer.text == exchange["response"]["body"]


# ------------------------------------------------------------------------------------------ the 402


async def test_the_first_call_is_answered_402_with_terms(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        answer = await c.unpaid(chat("hello"))
        payment_address = simnet.listed(c.host).payment_address
    assert (answer.status_code, answer.text) == (402, "{}")
    required = json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))
    (offer,) = required["accepts"]
    assert required["error"] == "Payment required"
    assert required["resource"]["url"] == c.host.endpoint + CHAT_PATH
    assert (offer["scheme"], offer["network"], offer["asset"]) == (
        "upto",
        "eip155:8453",
        OPG_ADDRESS,
    )
    assert (offer["amount"], offer["maxTimeoutSeconds"]) == (str(OBSERVED_CAP), 300)
    assert offer["payTo"].lower() == payment_address.lower()
    assert offer["extra"]["facilitatorAddress"] == simnet.net.facilitator


@pytest.mark.parametrize(("number", "path"), [(0, CHAT_PATH), (1, COMPLETION_PATH)])
async def test_the_402_is_byte_for_byte_the_recorded_one_but_for_addresses(
    simnet: RunningSimnet, number: int, path: str
) -> None:
    exchange = recorded("03_unpaid_402")[number]
    async with client(simnet) as c:
        answer = await c.http.post(path, content=exchange["request"]["body"])
        endpoint, payee = c.host.endpoint, c.host.payment_address
    assert answer.status_code == exchange["response"]["status"]
    assert answer.text == exchange["response"]["body"]
    names = [name.lower() for name, _ in exchange["response"]["headers"]]
    ours = [name.lower() for name, _ in answer.headers.multi_items()]
    for name in ("content-type", "payment-required", "transfer-encoding"):
        assert ours.count(name) == names.count(name), name
    theirs = dict(exchange["response"]["headers"])["PAYMENT-REQUIRED"]
    known = exchange["decoded_payment_headers"]["PAYMENT-REQUIRED"]["accepts"][0]
    expected = (
        base64.b64decode(theirs)
        .decode()
        .replace("http://127.0.0.1:18000", endpoint)
        .replace(known["payTo"], payee)
        .replace(known["extra"]["facilitatorAddress"], simnet.net.facilitator)
    )
    assert base64.b64decode(answer.headers["PAYMENT-REQUIRED"]).decode() == expected


async def test_an_unreadable_payment_is_answered_like_none(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        answer = await c.pay(chat("hello"), header="!!!notbase64")
    assert answer.status_code == 402
    assert (
        json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))["error"]
        == "Payment required"
    )


async def test_an_unknown_session_is_answered_402_without_terms(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        c.session = "00000000-0000-0000-0000-000000000000"
        answer = await c.ask(chat("hello"))
    assert answer.status_code == 402
    assert answer.text == '{"error": "Session expired or exhausted"}'
    assert "PAYMENT-REQUIRED" not in answer.headers


async def test_without_authorisation_401_comes_after_the_payment_and_costs_nothing(
    simnet: RunningSimnet,
) -> None:
    async with client(simnet) as c:
        c.headers = {}
        assert (await c.unpaid(chat("hello"))).status_code == 402
        answer = await c.pay(chat("hello"))
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "No authorization token provided"
    assert charged(c) == 0


async def test_refusals_after_payment_have_the_recorded_bodies(simnet: RunningSimnet) -> None:
    by_status = {e["response"]["status"]: e for e in recorded("23_raw_failures")}
    async with client(simnet) as c:
        unknown = await c.pay({"model": "nope", "messages": [{"role": "user", "content": "x"}]})
        c.headers = {}
        unauthorised = await c.pay(chat("x"))
    for answer, status in ((unknown, 400), (unauthorised, 401)):
        assert answer.status_code == status
        assert answer.text == by_status[status]["response"]["body"]
        assert our_header_names(answer) == header_names(by_status[status])
    assert responses.failure().text == by_status[500]["response"]["body"]


# ------------------------------------------------------------------------------------------ answers


def charged(c: Client) -> int:
    """Base units charged in the client's session so far."""
    assert c.session is not None
    return c.host.sessions._by_id[c.session].charged


async def test_a_plain_answer_is_signed_and_has_the_recorded_shape(simnet: RunningSimnet) -> None:
    body = chat("Is 97 prime?", max_tokens=50)
    async with client(simnet) as c:
        answer = await c.pay(body)
    evidence = read_reply(answer.content)
    assert evidence.problem is None
    assert evidence.text == "Yes. 97 is prime: no number from 2 to 9 divides it."
    assert_signed(simnet, "anna", evidence.frame or "", "chat", body, evidence.text)
    theirs = recorded("10_sdk_fromurl_chat_batch")[1]
    assert our_header_names(answer) == header_names(theirs)
    expected = theirs["response"]["body"]
    assert shape(answer.json()) == shape(json.loads(expected))
    assert list(answer.json()) == list(json.loads(expected))
    assert answer.text == json.dumps(answer.json(), indent=2, sort_keys=True) + "\n"


async def test_a_stream_is_signed_and_has_the_recorded_shape(simnet: RunningSimnet) -> None:
    body = chat("Is 97 prime?", stream=True, max_tokens=50)
    async with client(simnet) as c:
        answer = await c.pay(body)
    evidence = read_stream(answer.content)
    assert evidence.problem is None
    assert_signed(simnet, "anna", evidence.frame or "", "chat", body, evidence.text or "")
    theirs = recorded("12_sdk_fromurl_chat_stream_batch")[0]
    assert our_header_names(answer) == header_names(theirs)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    ours, known = events(answer.text), events(theirs["response"]["body"])
    assert ours[-1] is None and known[-1] is None
    for mine, recorded_one in ((ours[0], known[0]), (ours[-2], known[-2])):
        assert shape(mine) == shape(recorded_one)
        assert list(mine) == list(recorded_one)
    first = answer.text.split("\n\n")[0]
    assert first == "data: " + json.dumps(json.loads(first[6:]))


async def test_a_stream_arrives_piece_by_piece(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        await c.pay(chat("hello"))
        headers = {**c.headers, "X-Upto-Session": c.session or ""}
        body = chat("What does a TEE protect against?", stream=True)
        async with c.http.stream("POST", CHAT_PATH, json=body, headers=headers) as response:
            pieces = [piece async for piece in response.aiter_raw()]
    assert len(pieces) > 10


async def test_a_completion_is_signed(simnet: RunningSimnet) -> None:
    body = {"model": "gpt-5", "prompt": "Once upon", "max_tokens": 100, "temperature": 0.0}
    async with client(simnet) as c:
        answer = await c.pay(body, COMPLETION_PATH)
    evidence = read_reply(answer.content, "completion")
    assert (evidence.text or "").startswith(" a time there was")
    assert_signed(simnet, "anna", evidence.frame or "", "completion", body, evidence.text or "")
    theirs = recorded("13_sdk_completion")[1]["response"]["body"]
    assert shape(answer.json()) == shape(json.loads(theirs))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_call_is_signed_as_it_is_read(simnet: RunningSimnet, stream: bool) -> None:
    body = chat("What is the weather in Nairobi?", tools=[TOOL], stream=stream)
    async with client(simnet) as c:
        answer = await c.pay(body)
    evidence = read_stream(answer.content) if stream else read_reply(answer.content)
    assert evidence.problem is None
    assert (evidence.finish_reason, evidence.text) == ("tool_calls", None)
    (call,) = json.loads(evidence.tool_calls or "")
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Nairobi"}
    assert_signed(simnet, "anna", evidence.frame or "", "chat", body, evidence.tool_calls or "")


async def test_after_a_tool_call_its_result_is_used(simnet: RunningSimnet) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
    }
    body = chat("What is the weather in Nairobi?", tools=[TOOL])
    body["messages"] += [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "21 degrees", "tool_call_id": "call_1"},
    ]
    async with client(simnet) as c:
        answer = await c.pay(body)
    assert "21 degrees" in (read_reply(answer.content).text or "")


async def test_a_schema_is_honoured_and_the_answer_signed(simnet: RunningSimnet) -> None:
    import jsonschema

    schema = {
        "type": "object",
        "properties": {"prime": {"type": "boolean"}, "number": {"type": "integer", "minimum": 100}},
        "required": ["prime", "number"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    body = chat("Is 91 prime?", response_format=form)
    async with client(simnet) as c:
        answer = await c.pay(body)
    evidence = read_reply(answer.content)
    value = json.loads(evidence.text or "")
    jsonschema.validate(value, schema)
    assert value["prime"] is False
    assert_signed(simnet, "anna", evidence.frame or "", "chat", body, evidence.text or "")


async def test_the_answer_says_which_model_answered(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        answer = await c.pay(chat("hello"))
    assert answer.json()["model"] == "scripted-model"


# --------------------------------------------------------------------------------------- validation


USER = {"role": "user", "content": "x"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def said(*messages: Any) -> dict[str, Any]:
    return {"model": "gpt-5", "messages": list(messages)}


#: What real hosts refuse, by the words with which they do; a body, or what a good one has besides.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "null tools": (chat("x", tools=None), "None is not of type 'array' - 'tools'"),
    "null response_format": (
        chat("x", response_format=None),
        "None is not valid under any of the given schemas - 'response_format'",
    ),
    "null tool_choice": (
        chat("x", tool_choice=None),
        "None is not valid under any of the given schemas - 'tool_choice'",
    ),
    "no stops": (chat("x", stop=[]), "[] is not valid under any of the given schemas - 'stop'"),
    "five stops": (
        chat("x", stop=["a", "b", "c", "d", "e"]),
        "['a', 'b', 'c', 'd', 'e'] is not valid under any of the given schemas - 'stop'",
    ),
    "empty content list": (
        said({"role": "user", "content": []}),
        "{'role': 'user', 'content': []} is not valid under any of the given schemas - "
        "'messages.0'",
    ),
    "a file part": (
        said({"role": "user", "content": [{"type": "file", "file": {}}]}),
        " - 'messages.0'",
    ),
    "an image without its URL": (
        said({"role": "user", "content": [{"type": "image_url"}]}),
        " - 'messages.0'",
    ),
    "an unknown role": (
        said({"role": "wizard", "content": "x"}),
        "{'role': 'wizard', 'content': 'x'} is not valid under any of the given schemas - "
        "'messages.0'",
    ),
    "an unknown role later": (said(USER, {"role": "User", "content": "x"}), " - 'messages.1'"),
    "no content": (said({"role": "user"}), " - 'messages.0'"),
    "null content": (said({"role": "user", "content": None}), " - 'messages.0'"),
    "a tool's word without its call": (
        said(USER, {"role": "tool", "content": "x"}),
        " - 'messages.1'",
    ),
    "a tool call without its id": (
        said(USER, {"role": "assistant", "tool_calls": [{**CALL, "id": None}]}),
        " - 'messages.1'",
    ),
    "temperature as text": (
        {**chat("x"), "temperature": "0.5"},
        "'0.5' is not of type 'number' - 'temperature'",
    ),
    "temperature as bool": (
        {**chat("x"), "temperature": True},
        "True is not of type 'number' - 'temperature'",
    ),
    "temperature too high": (
        {**chat("x"), "temperature": 3},
        "3 is greater than the maximum of 2 - 'temperature'",
    ),
    "temperature below zero": (
        {**chat("x"), "temperature": -1},
        "-1 is less than the minimum of 0 - 'temperature'",
    ),
    "max_tokens as float": (
        chat("x", max_tokens=100.0),
        "100.0 is not of type 'integer' - 'max_tokens'",
    ),
    "n too high": (chat("x", n=200), "200 is greater than the maximum of 128 - 'n'"),
    "n of zero": (chat("x", n=0), "0 is less than the minimum of 1 - 'n'"),
    "stream as text": (chat("x", stream="yes"), "'yes' is not of type 'boolean' - 'stream'"),
    "logit_bias as text": (chat("x", logit_bias="x"), "'x' is not of type 'object' - 'logit_bias'"),
    "seed as text": (chat("x", seed="x"), "'x' is not of type 'integer' - 'seed'"),
    "top_p too high": (chat("x", top_p=1.5), "1.5 is greater than the maximum of 1 - 'top_p'"),
    "another kind of tool": (
        chat("x", tools=[{"type": "x"}]),
        "'x' is not one of ['function'] - 'tools.0.type'",
    ),
    "a tool without a name": (
        chat("x", tools=[{"type": "function", "function": {}}]),
        "'tools.0.function'",
    ),
    "null messages": (
        {"model": "gpt-5", "messages": None},
        "None is not of type 'array' - 'messages'",
    ),
    "no messages": (said(), " - 'messages'"),
    "no model": ({"messages": [USER]}, "'model' is a required property"),
    "a number as model": ({"model": 5, "messages": [USER]}, " - 'model'"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_hosts_refuse_is_refused_and_not_charged(
    simnet: RunningSimnet, case: str
) -> None:
    body, words = BAD[case]
    async with client(simnet) as c:
        answer = await c.pay(body)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"].endswith(words)
    assert answer.headers["X-Upto-Session"]
    assert charged(c) == 0


@pytest.mark.parametrize(
    "body",
    [
        chat("x", stop="END"),
        chat("x", stop=["a", "b", "c", "d"]),
        chat("x", stop=None),
        chat("x", max_tokens=0),
        chat("x", max_tokens=None),
        chat("x", max_tokens=1_000_000),
        chat("x", temperature=1),
        chat("x", tools=[]),
        chat("x", n=2, web_search=True, foo=1),
        said(
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            }
        ),
        said({**USER, "name": "bob"}),
        said(
            USER,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a", "content": "r"},
        ),
    ],
)
async def test_what_hosts_take_is_answered_and_signed(
    simnet: RunningSimnet, body: dict[str, Any]
) -> None:
    async with client(simnet) as c:
        answer = await c.pay(body)
    evidence = read_reply(answer.content)
    assert_signed(simnet, "anna", evidence.frame or "", "chat", body, evidence.text or "")


@pytest.mark.parametrize(
    ("prompt", "status"),
    [("x", 200), (5, 400), (None, 500), (["a"], 500), ([1, 2], 500), ([[]], 400)],
)
async def test_a_completions_prompt_is_a_text(
    simnet: RunningSimnet, prompt: Any, status: int
) -> None:
    async with client(simnet) as c:
        answer = await c.pay({"model": "gpt-5", "prompt": prompt, "max_tokens": 5}, COMPLETION_PATH)
    assert answer.status_code == status
    assert (charged(c) > 0) == (status == 200)


async def test_odd_bodies_get_the_status_that_a_real_gateway_gave_them(
    simnet: RunningSimnet,
) -> None:
    exchanges = recorded("30_validation")
    theirs = {e["name"]: e["response"] for e in exchanges}
    ours: dict[str, httpx.Response] = {}
    sessions: dict[str, str | None] = {}
    async with client(simnet) as c:
        for exchange in exchanges:
            # A session is bound to its path; each of the two has one.
            c.session = sessions.get(exchange["path"])
            ours[exchange["name"]] = await c.ask(exchange["body"], exchange["path"])
            sessions[exchange["path"]] = c.session
    assert {name: a.status_code for name, a in ours.items()} == {
        name: r["status"] for name, r in theirs.items()
    }
    for name, response in theirs.items():
        assert (
            ours[name].headers["Content-Type"].partition(";")[0]
            == response["headers"]["content-type"]
        ), name
        if response["status"] != 200:
            assert ours[name].json() == json.loads(response["body"]), name


async def test_a_body_that_is_no_json_is_400(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        assert (await c.pay(b"{nope")).status_code == 400


async def test_the_developer_role_fails_as_observed(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        answer = await c.pay(
            {"model": "gpt-5", "messages": [{"role": "developer", "content": "x"}]}
        )
    assert (answer.status_code, answer.json()) == (500, {"error": "Request processing failed"})
    assert charged(c) == 0


# ----------------------------------------------------------------------------------------- sessions


async def test_a_session_pays_for_later_calls_and_is_settled_once(
    honest_simnet: RunningSimnet,
) -> None:
    simnet = honest_simnet
    simnet.settle_now()
    async with client(simnet) as c:
        payee = c.host.payment_address
        before = simnet.balance(simnet.payer), simnet.balance(payee)
        first = await c.pay(chat("Is 97 prime?"))
        second = await c.ask(chat("Is 91 prime?", stream=True))
        assert first.headers["X-Upto-Session"] == second.headers["X-Upto-Session"]
        assert "PAYMENT-RESPONSE" not in second.headers
        usages = [first.json()["usage"], events(second.text)[-2]["usage"]]
        # gpt-5: 1.25 and 10 USD a million tokens; 0.1 USD an OPG.
        cost = (
            sum(u["prompt_tokens"] * 125 + u["completion_tokens"] * 1000 for u in usages) * 10**11
        )
        assert charged(c) == cost
        assert len(simnet.settle_now()) == 1
        assert simnet.balance(simnet.payer) == before[0] - cost
        assert simnet.balance(payee) == before[1] + cost
        assert simnet.settle_now() == []
        gone = await c.ask(chat("again"))
        assert (gone.status_code, gone.json()) == (402, {"error": "Session expired or exhausted"})


async def test_a_session_is_bound_to_its_path(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        await c.pay(chat("hello"))
        answer = await c.ask(
            {"model": "gpt-5", "prompt": "x", "max_tokens": 5, "temperature": 0.0}, COMPLETION_PATH
        )
    assert (answer.status_code, answer.json()) == (402, {"error": "Session expired or exhausted"})


async def test_the_identical_payment_joins_its_session(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        terms = await c.terms()
        header = c.payment(terms, c.authorise(terms))
        first = await c.pay(chat("hello"), header=header)
        once = charged(c)
        second = await c.pay(chat("hello"), header=header)
    assert first.headers["X-Upto-Session"] == second.headers["X-Upto-Session"]
    assert charged(c) == 2 * once > 0


async def test_a_cost_above_the_remainder_is_not_charged(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        await c.pay(chat("hello"))
        session = c.host.sessions._by_id[c.session or ""]
        session.charged = OBSERVED_CAP - 1
        answer = await c.ask(chat("hello again"))
        assert answer.status_code == 200
        assert session.charged == OBSERVED_CAP - 1
        session.charged = OBSERVED_CAP
        assert (await c.ask(chat("and again"))).status_code == 402
        session.charged = 0


# ------------------------------------------------------------------------------------- what is paid


async def refusal(c: Client, **changes: Any) -> str:
    """The word with which a payment is refused whose authorisation differs in ``changes``."""
    terms = await c.terms()
    answer = await c.pay(chat("x"), header=c.payment(terms, c.authorise(terms, **changes)))
    assert answer.status_code == 402
    assert answer.text == "{}"
    return str(json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))["error"])


STRANGER = "0x00000000000000000000000000000000DeaDBeef"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"cap": 1}, "permit2_amount_mismatch"),
        ({"cap": OBSERVED_CAP * 2}, "permit2_amount_mismatch"),
        ({"spender": STRANGER}, "invalid_permit2_spender"),
        ({"pay_to": STRANGER}, "invalid_permit2_recipient_mismatch"),
        ({"facilitator": STRANGER}, "upto_facilitator_mismatch"),
        ({"token": STRANGER}, "permit2_token_mismatch"),
        ({"deadline": 1_700_000_000}, "permit2_deadline_expired"),
        ({"valid_after": 4_000_000_000}, "permit2_not_yet_valid"),
    ],
)
async def test_a_payment_that_differs_from_the_terms_is_refused(
    simnet: RunningSimnet, changes: dict[str, Any], word: str
) -> None:
    async with client(simnet) as c:
        assert await refusal(c, **changes) == word


async def test_the_recorded_word_for_a_lower_amount(simnet: RunningSimnet) -> None:
    known = recorded("23_raw_failures")[1]["decoded_payment_headers"]["PAYMENT-REQUIRED"]["error"]
    async with client(simnet) as c:
        assert await refusal(c, cap=1) == known


async def test_a_signature_by_another_key_is_refused(simnet: RunningSimnet) -> None:
    async with client(simnet) as c:
        terms = await c.terms()
        header = c.payment(terms, c.authorise(terms), key=simnet.net.keys.admin)
        answer = await c.pay(chat("x"), header=header)
    error = json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))["error"]
    assert error == "invalid_permit2_signature"


async def test_a_users_own_key_is_refused(simnet: RunningSimnet) -> None:
    """Its signature would be valid on the real chain: it must not be taken, whatever it owns
    here."""
    from eth_account import Account

    from opg_magic.models.secret import Secret

    own = Account.create()
    async with client(simnet) as c:
        terms = await c.terms()
        header = c.payment(terms, c.authorise(terms, payer=own.address), key=Secret(bytes(own.key)))
        answer = await c.pay(chat("x"), header=header)
    error = json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))["error"]
    assert error == "payer_not_of_this_simulation"


async def test_a_spent_nonce_is_refused(honest_simnet: RunningSimnet) -> None:
    async with client(honest_simnet) as c:
        terms = await c.terms()
        header = c.payment(terms, c.authorise(terms))
        await c.pay(chat("hello"), header=header)
        honest_simnet.settle_now()
        answer = await c.pay(chat("hello"), header=header)
    error = json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))["error"]
    assert error == "permit2_invalid_nonce"


async def test_too_little_allowance_or_balance_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.network.profiles import PERMIT2
    from opg_magic.simnet.contracts import deploy

    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    with RunningSimnet() as simnet:
        token = deploy.opg(simnet.net.payment_chain)
        async with client(simnet) as c:
            token.send(simnet.wallet_key, "approve", PERMIT2, OBSERVED_CAP - 1)
            assert await refusal(c) == "permit2_allowance_required"
            token.send(simnet.wallet_key, "approve", PERMIT2, OBSERVED_CAP)
            token.send(
                simnet.wallet_key,
                "transfer",
                STRANGER,
                simnet.balance(simnet.payer) - OBSERVED_CAP + 1,
            )
            assert await refusal(c) == "permit2_insufficient_balance"
