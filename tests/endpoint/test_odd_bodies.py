"""Bodies that no client should send: each gets a 4xx in OpenAI's form, and nothing is paid."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from support.serving import TOKEN, Served

from opg_magic.errors import PromptError
from opg_magic.models import Prompt
from opg_magic.protocol.request_body import build_body

WHOLE = {"model": "openai/gpt-5", "input": "hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "7"}
TOOL = {"type": "function", "name": "f"}
FORM = {"type": "json_schema", "name": "f", "schema": {"type": "object"}}
PARAMETERS = (
    "model", "input", "instructions", "stream", "stream_options", "temperature", "top_p",
    "max_output_tokens", "text", "reasoning", "tools", "tool_choice", "metadata", "include",
    "store", "truncation", "service_tier", "background", "parallel_tool_calls", "user",
    "previous_response_id", "conversation", "prompt", "prompt_cache_key", "client_metadata",
)  # fmt: skip
#: Values of every type.
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**400, "", " ", "x", [], [[]], [None], [1], ["x"], {},
    {"x": 1}, {"type": None}, {"type": 7}, {"type": "x"}, {"type": "function"},
    {"type": ["function"]}, [{}], [{"type": "x"}], [{"type": "function"}], [{"type": {}}],
    [[1, {"a": [2]}]],
)  # fmt: skip


def raw(name: str, value: str) -> bytes:
    given = {"model": '"gpt-5"', "input": '"hi"', name: value}
    return ("{" + ", ".join(f'"{key}": {text}' for key, text in given.items()) + "}").encode()


#: No object, or one that two readers would read differently.
BROKEN: Mapping[str, bytes] = {
    "nothing": b"",
    "words": b"hi",
    "list": b"[]",
    "text": b'"hi"',
    "null": b"null",
    "unfinished": b'{"model": "gpt-5", "input": "hi"',
    "twice": raw("model", '"gpt-5", "model": "gpt-5"'),
    "twice inside": raw("metadata", '{"a": "1", "a": "2"}'),
    "NaN": raw("temperature", "NaN"),
    "infinite": raw("temperature", "1e999"),
    "not UTF-8": b'{"model": "\xff"}',
    "surrogate": raw("input", '"\\ud800"'),
    "surrogate in a name": raw("metadata", '{"\\udfff": ""}'),
    "deep": raw("input", "[" * 65 + "]" * 65),
    "very deep": raw("input", "[" * 100_000 + "]" * 100_000),
    "digits": raw("max_output_tokens", "9" * 5000),
    "zero byte": b"\0" + raw("store", "false"),
    "byte order mark": b"\xef\xbb\xbf" + raw("store", "false"),
    "UTF-16": raw("store", "false").decode().encode("utf-16"),
    "comment": b"{/**/" + raw("store", "false")[1:],
}


def odd_requests() -> Iterator[dict[str, Any]]:
    for odd in ODD:
        yield from ({**WHOLE, name: odd} for name in PARAMETERS)
        items = [
            odd,
            {"role": odd, "content": "hi"},
            {"role": "user", "content": odd},
            {"role": "user", "content": [odd]},
            {"role": "assistant", "content": [{"type": "output_text", "text": odd}]},
            {"role": "user", "content": "hi", "x": odd},
        ]
        yield from ({**WHOLE, "input": [item]} for item in items)
        for key in (*CALL, "x"):
            yield {**WHOLE, "input": [{**CALL, key: odd}, OUTPUT]}
        for key in (*OUTPUT, "x"):
            yield {**WHOLE, "input": [CALL, {**OUTPUT, key: odd}]}
        for key in (*TOOL, "description", "parameters", "strict", "x"):
            yield {**WHOLE, "tools": [{**TOOL, key: odd}]}
        for key in (*FORM, "description", "strict", "x"):
            yield {**WHOLE, "text": {"format": {**FORM, key: odd}}}
        for choice in ({"type": odd, "name": "f"}, {"type": "function", "name": odd}):
            yield {**WHOLE, "tools": [TOOL], "tool_choice": choice}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert 400 <= answer.status_code < 500, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["message"] and error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_no_request_is_refused_unpaid(served: Served, body: bytes) -> None:
    with served.raw(**{"Content-Type": "application/json"}) as client:
        error_of(client.post("/responses", content=body))
    assert served.session.ledger.count() == 0


def test_more_than_a_receipt_holds_is_refused_unread(served: Served) -> None:
    with served.raw(**{"Content-Type": "application/json"}) as client:
        assert (
            error_of(client.post("/responses", content=b" " * 2**23 + b" "))["code"] == "too_large"
        )
    assert served.session.ledger.count() == 0


@pytest.mark.parametrize("path", ["/responses", "/chat/completions"])
@pytest.mark.parametrize("packed", ["gzip", "deflate", "br", "zstd", "rot13"])
def test_a_packed_body_is_refused_by_its_header(served: Served, path: str, packed: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": packed}
    with served.raw(**headers) as client:
        answer = client.post(path, content=b'{"model": "gpt-5", "input": "hi"}')
    assert answer.status_code == 415 and packed in error_of(answer)["message"]
    assert served.session.ledger.count() == 0


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /v1/responses HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\x00\r\n\r\n",
        "Authorization: Bearer {token}\r\n\r\n",
        "POST /v1/responses HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\nZZ\r\n",
    ],
    ids=["a zero byte", "no request", "a broken chunk"],
)
def test_what_is_not_http_shows_no_token(
    served: Served,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    request_text: str,
) -> None:
    host = httpx.URL(served.url)
    text = request_text.format(host=host.netloc.decode(), token=TOKEN)
    with socket.create_connection((host.host, host.port or 0), timeout=30) as connection:
        connection.sendall(text.encode())
        told = connection.recv(65536).decode()
    assert told.startswith("HTTP/1.1 400 ") or told.startswith("HTTP/1.0 400 ")
    shown = capfd.readouterr()
    assert TOKEN not in shown.out + shown.err + caplog.text and "Traceback" not in shown.err
    assert served.session.ledger.count() == 0


def test_whatever_stands_where_something_else_belongs(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each type at each place.  What is a request all the same must be one that can be sent."""

    async def ask(prompt: Prompt, *_: object) -> None:
        build_body(prompt)
        raise PromptError("as far as it goes")

    monkeypatch.setattr(served.session, "ask_here", ask)
    refused = 0
    with served.raw() as client:
        for request in odd_requests():
            error = error_of(client.post("/responses", json=request))
            if error["message"] != "as far as it goes":
                refused += 1
                assert "Nothing was sent." in error["message"] or error["code"] == "model_not_found"
                assert error["param"] or "cannot be read" in error["message"]
    assert refused > 1000
