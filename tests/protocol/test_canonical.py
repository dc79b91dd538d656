"""Golden bytes of canonical requests, and what may be sent at all."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

import pytest
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from opg_magic.errors import MalformedMessage, RequestError
from opg_magic.models import Prompt
from opg_magic.protocol import canonical, request_body
from opg_magic.protocol.canonical import (
    CANONICALISER,
    NEWER,
    canonical_chat,
    canonical_completion,
    canonicalise,
    canonicalisers,
    output_hash,
    request_evidence,
    request_hash,
    signed_digest,
    tee_id,
    unsigned_keys,
    unsigned_parts,
)
from opg_magic.protocol.request_body import build_body, wire_model

HI = '"messages": [{"content": "hi", "role": "user"}], "model": "m"'


def chat(text: str, version: str = CANONICALISER) -> str:
    """Canonical form of a chat body given as JSON text: always by way of ``json.loads``."""
    return canonical_chat(json.loads(text), version)


def with_message(message: str, version: str = CANONICALISER) -> str:
    whole = chat('{"model":"m","messages":[' + message + "]}", version)
    assert whole.startswith('{"messages": [') and whole.endswith(
        '], "model": "m", "temperature": 0.0}'
    )
    return whole[len('{"messages": [') : -len('], "model": "m", "temperature": 0.0}')]


# ------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("sent", "hashed"),
    [
        ("", "0.0"),
        (',"temperature":null', "0.0"),
        (',"temperature":0', "0.0"),
        (',"temperature":0.0', "0.0"),
        (',"temperature":-0.0', "-0.0"),
        (',"temperature":1e-07', "1e-07"),
        (',"temperature":0.0000001', "1e-07"),
        (',"temperature":0.7', "0.7"),
        (',"temperature":1', "1.0"),
        (',"temperature":0.1000000000000000055', "0.1"),
        (',"temperature":1e16', "1e+16"),
    ],
)
def test_attack_16_temperature_is_always_a_float_in_python_s_words(sent: str, hashed: str) -> None:
    text = '{"model":"m","messages":[{"role":"user","content":"hi"}]' + sent + "}"
    assert chat(text) == "{" + HI + ', "temperature": ' + hashed + "}"


@pytest.mark.parametrize(
    ("number", "hashed"),
    [
        ("0", "0"),
        ("0.0", "0.0"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("1e-7", "1e-07"),
        ("1E5", "100000.0"),
    ],
)
def test_attack_16_numbers_inside_tools_keep_their_type(number: str, hashed: str) -> None:
    text = '{"model":"m","messages":[],"tools":[{"b":' + number + ',"a":null}]}'
    assert chat(text) == (
        '{"messages": [], "model": "m", "temperature": 0.0, "tools": [{"a": null, "b": '
        + hashed
        + "}]}"
    )


def test_attack_16_composed_and_decomposed_letters_hash_differently() -> None:
    nfc, nfd = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    assert (
        with_message(json.dumps({"role": "user", "content": nfc}))
        == '{"content": "\\u00e9", "role": "user"}'
    )
    assert (
        with_message(json.dumps({"role": "user", "content": nfd}))
        == '{"content": "e\\u0301", "role": "user"}'
    )
    assert (
        output_hash(nfc).hex() == "e9076b2429006c3cfc23780a3ab7db373ff2200f3ee9a6c58ef84bd1c9118372"
    )
    assert (
        output_hash(nfd).hex() == "a06e9f5487b3aaae3568df886912a848c792a24dab3e3d42eb0077671680f132"
    )


@pytest.mark.parametrize("temperature", ["true", '"0.5"', "[]", "1" + "0" * 400])
def test_a_temperature_that_is_no_number_has_no_canonical_form(temperature: str) -> None:
    with pytest.raises(MalformedMessage):
        chat('{"model":"m","messages":[],"temperature":' + temperature + "}")


# --------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("sent", "hashed"),
    [
        ('"max_tokens":50', '"max_tokens": 50, '),
        ('"max_tokens":0', '"max_tokens": 0, '),
        ('"max_tokens":null', ""),
    ],
)
def test_max_tokens_is_covered_unless_null(sent: str, hashed: str) -> None:
    text = '{"model":"m","messages":[{"role":"user","content":"hi"}],' + sent + "}"
    assert chat(text) == "{" + hashed + HI + ', "temperature": 0.0}'


@pytest.mark.parametrize(
    ("sent", "hashed"),
    [
        ('"stop":""', ""),
        ('"stop":null', ""),
        ('"stop":[]', ""),
        ('"stop":"END"', '"stop": "END", '),
        ('"stop":["a","b"]', '"stop": ["a", "b"], '),
        ('"stop":[""]', '"stop": [""], '),
        ('"tools":[]', ""),
        ('"tools":null', ""),
        ('"response_format":{}', ""),
        ('"response_format":null', ""),
    ],
)
def test_empty_keys_are_dropped(sent: str, hashed: str) -> None:
    text = '{"model":"m","messages":[{"role":"user","content":"hi"}],' + sent + "}"
    assert chat(text) == "{" + HI + ", " + hashed + '"temperature": 0.0}'


def test_tools_and_response_format_are_covered_with_all_their_keys() -> None:
    text = (
        '{"messages":[],"model":"m","response_format":{"type":"json_schema","json_schema":{"strict":true,"name":"n"}},'
        '"tools":[{"type":"function","x-own":1,"function":{"name":"f","parameters":{}}}]}'
    )
    assert chat(text) == (
        '{"messages": [], "model": "m", '
        '"response_format": {"json_schema": {"name": "n", "strict": true}, "type": "json_schema"}, '
        '"temperature": 0.0, '
        '"tools": [{"function": {"name": "f", "parameters": {}}, "type": "function", "x-own": 1}]}'
    )


def test_keys_that_no_signature_covers_are_named() -> None:
    text = (
        '{"model":"m","messages":[{"role":"user","content":"hi"}],"top_p":0.5,"n":2,"tool_choice":"auto","seed":1,'
        '"user":"u","stream":true,"max_completion_tokens":9,"web_search":true}'
    )
    assert chat(text) == "{" + HI + ', "temperature": 0.0}'
    dropped = (
        "max_completion_tokens",
        "n",
        "seed",
        "stream",
        "tool_choice",
        "top_p",
        "user",
        "web_search",
    )
    assert unsigned_keys("chat", json.loads(text)) == dropped
    assert unsigned_keys("chat", json.loads(text), NEWER) == tuple(
        key for key in dropped if key != "web_search"
    )


def test_parts_of_messages_that_no_signature_covers_are_named() -> None:
    body = {
        "model": "m",
        "seed": 1,
        "messages": [
            {"role": "system", "content": "s", "name": "n"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "index": 0, "function": {"name": "f", "strict": True}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "c", "is_error": False},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "t", "cache": 1},
                    {"type": "image_url", "image_url": {}},
                    {},
                    "x",
                ],
            },
        ],
    }
    dropped = {
        "seed",
        "messages.name",
        "messages.tool_calls.index",
        "messages.tool_calls.function.strict",
    }
    dropped |= {"messages.is_error"}
    assert set(unsigned_parts("chat", body)) == dropped
    newer = {"messages.content.cache", "messages.image_url", "messages.content"}
    assert set(unsigned_parts("chat", body, NEWER)) == dropped | newer
    assert unsigned_parts(
        "completion", {"model": "m", "prompt": "p", "n": 2, "messages": [{"x": 1}]}
    ) == (
        "messages",
        "n",
    )


def test_newer_hosts_cover_web_search_when_it_is_true() -> None:
    text = '{"model":"m","messages":[{"role":"user","content":"hi"}],"web_search":%s}'
    assert chat(text % "true", NEWER) == "{" + HI + ', "temperature": 0.0, "web_search": true}'
    assert chat(text % "1", NEWER) == "{" + HI + ', "temperature": 0.0, "web_search": true}'
    assert chat(text % "false", NEWER) == "{" + HI + ', "temperature": 0.0}'


# ----------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("message", "hashed"),
    [
        ('{"role":"system","content":"s","name":"n"}', '{"content": "s", "role": "system"}'),
        ('{"role":"user","name":"n","content":"u"}', '{"content": "u", "role": "user"}'),
        (
            '{"role":"assistant","content":null,"refusal":"no"}',
            '{"content": "", "role": "assistant"}',
        ),
        ('{"role":"assistant"}', '{"content": "", "role": "assistant"}'),
        (
            '{"role":"assistant","content":"a","tool_calls":[]}',
            '{"content": "a", "role": "assistant"}',
        ),
        (
            '{"role":"tool","tool_call_id":"c1","content":"t","name":"n"}',
            '{"content": "t", "role": "tool", "tool_call_id": "c1"}',
        ),
        (
            '{"role":"function","name":"f","content":"r"}',
            '{"content": "r", "name": "f", "role": "function"}',
        ),
        (
            '{"role":"user","content":"\\u2028\\ud83d\\ude00\\"\\u007f"}',
            '{"content": "\\u2028\\ud83d\\ude00\\"\\u007f", "role": "user"}',
        ),
        (
            '{"role":"system","content":[{"text":"a","type":"text"}]}',
            '{"content": [{"text": "a", "type": "text"}], "role": "system"}',
        ),
    ],
)
def test_messages_are_reduced_by_role(message: str, hashed: str) -> None:
    assert with_message(message) == hashed


def test_an_assistant_s_tool_calls_are_reduced_to_what_hosts_keep() -> None:
    message = (
        '{"role":"assistant","content":"","tool_calls":[{"index":0,"type":"function","id":"c1",'
        '"function":{"arguments":"{\\"a\\": '
        '1}","name":"f","strict":true},"extra":1},{"function":{"name":"g"}}]}'
    )
    assert with_message(message) == (
        '{"content": "", "role": "assistant", "tool_calls": ['
        '{"function": {"arguments": "{\\"a\\": 1}", "name": "f"}, "id": "c1", "type": "function"}, '
        '{"function": {"arguments": null, "name": "g"}, "id": null, "type": null}]}'
    )


def test_april_hosts_hash_a_content_list_as_python_prints_it() -> None:
    parts = (
        '[{"type":"text","text":"it\'s \\"é\\""},{"text":"b","type":"text"},'
        '{"type":"image_url","image_url":{"url":"data:,x","detail":null,"n":1.0,"t":true}}]'
    )
    printed = (
        "[{'type': 'text', 'text': 'it\\\\'s \\\"\\u00e9\\\"'}, {'text': 'b', 'type': 'text'}, "
        "{'type': 'image_url', 'image_url': {'url': 'data:,x', 'detail': None, 'n': 1.0, 't': "
        "True}}]"
    )
    assert (
        with_message('{"role":"user","content":' + parts + "}")
        == '{"content": "' + printed + '", "role": "user"}'
    )


def test_newer_hosts_hash_a_reduced_content_list() -> None:
    parts = (
        '[{"text":"a","type":"text","cache":1},{"type":"text"},"plain",{"type":"image_url","image_url":{"url":"data:,x"}},'
        '{"type":"file","file":{"filename":"f.pdf","file_data":"QQ=="}},{"type":"file","filename":"g.pdf"}]'
    )
    assert with_message('{"role":"user","content":' + parts + "}", NEWER) == (
        '{"content": [{"text": "a", "type": "text"}, {"text": "", "type": "text"}, {"text": '
        '"plain", "type": "text"}, '
        '{"type": "image_url"}, {"filename": "f.pdf", "type": "file"}, {"filename": "g.pdf", '
        '"type": "file"}], '
        '"role": "user"}'
    )


def test_both_versions_agree_where_content_is_text() -> None:
    text = (
        '{"model":"m","messages":[{"role":"system","content":"s"},'
        '{"role":"user","content":"hi"}],"max_tokens":5}'
    )
    assert chat(text) == chat(text, NEWER)


@pytest.mark.parametrize(
    "text",
    [
        '{"model":"m"}',
        '{"model":"m","messages":{}}',
        '{"model":"m","messages":["hi"]}',
        '{"model":"m","messages":[{"role":"developer","content":"d"}]}',
        '{"model":"m","messages":[{"content":"d"}]}',
        '{"model":"m","messages":[{"role":"assistant","tool_calls":{"a":1}}]}',
        '{"model":"m","messages":[{"role":"assistant","tool_calls":["x"]}]}',
        '{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":"f"}]}]}',
        '{"model":"m","messages":[],"tools":{"a":1}}',
        '{"model":"m","messages":[],"response_format":"json"}',
    ],
)
@pytest.mark.parametrize("version", canonicalisers("chat"))
def test_what_no_host_takes_has_no_canonical_form(text: str, version: str) -> None:
    with pytest.raises(MalformedMessage):
        chat(text, version)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        canonicalise("chat", {"messages": []}, "2031-01")
    with pytest.raises(MalformedMessage):
        canonicalise("completion", {}, NEWER)
    with pytest.raises(MalformedMessage):
        canonicalise("chat", {"messages": []}, f"{NEWER}+unicode-99.0")
    assert canonicalisers("chat")[-1] == canonicalisers("completion")[-1] == CANONICALISER


# -------------------------------------------------------------------------------------- completions


@pytest.mark.parametrize(
    ("sent", "hashed"),
    [
        ("", '{"max_tokens": 16, "model": "m", "prompt": "p", "temperature": 1.0}'),
        (
            ',"max_tokens":null,"temperature":null',
            '{"model": "m", "prompt": "p", "temperature": 0.0}',
        ),
        (
            ',"max_tokens":0,"temperature":0',
            '{"max_tokens": 0, "model": "m", "prompt": "p", "temperature": 0.0}',
        ),
        (
            ',"temperature":1,"stop":""',
            '{"max_tokens": 16, "model": "m", "prompt": "p", "temperature": 1.0}',
        ),
        (
            ',"stop":["x"],"top_p":1,"max_tokens":7',
            '{"max_tokens": 7, "model": "m", "prompt": "p", "stop": ["x"], "temperature": 1.0}',
        ),
    ],
)
def test_completion_defaults(sent: str, hashed: str) -> None:
    assert canonical_completion(json.loads('{"model":"m","prompt":"p"' + sent + "}")) == hashed


# ------------------------------------------------------------------------------------------- hashes


def test_hashes_are_ethereum_s_keccak() -> None:
    assert (
        output_hash("").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    )
    assert (
        request_hash("abc").hex()
        == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
    )
    assert tee_id(b"abc") == "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**256 - 1),
)
def test_the_signed_digest_agrees_with_a_peer(
    request: bytes, output: bytes, timestamp: int
) -> None:
    assert signed_digest(request, output, timestamp) == keccak(
        request + output + timestamp.to_bytes(32, "big")
    )


# ------------------------------------------------------------------------------------- what is sent


def test_models_are_sent_without_their_provider() -> None:
    assert wire_model("openai/gpt-5") == "gpt-5" == wire_model(" gpt-5 ")
    assert wire_model("a/b/c") == "b/c"
    for bad in ("", " ", "openai/", "/gpt-5", "/"):
        with pytest.raises(RequestError):
            wire_model(bad)


def test_a_prompt_becomes_exact_bytes() -> None:
    prompt = Prompt(
        "hé 😀", "openai/gpt-5", system="be brief", max_tokens=9, stop=("X",), temperature=0
    )
    assert build_body(prompt).decode() == (
        '{"model":"gpt-5","messages":[{"role":"system","content":"be '
        'brief"},{"role":"user","content":"hé 😀"}],'
        '"max_tokens":9,"temperature":0.0,"stop":["X"],"stream":true}'
    )
    assert build_body(Prompt("p", "m", stream=False)).decode() == (
        '{"model":"m","messages":[{"role":"user","content":"p"}],"temperature":0.0}'
    )
    assert build_body(Prompt("p", "m", kind="completion")).decode() == (
        f'{{"model":"m","prompt":"p","max_tokens":{request_body.DEFAULT_COMPLETION_TOKENS},"temperature":0.0}}'
    )


def test_minus_zero_is_sent_as_zero() -> None:
    assert (
        math.copysign(1, json.loads(build_body(Prompt("p", "m", temperature=-0.0)))["temperature"])
        == 1
    )


def test_null_keys_are_left_out() -> None:
    body = json.loads(
        build_body(Prompt("p", "m", extra={"tools": None, "seed": None, "top_p": 0.5}))
    )
    assert "tools" not in body and "seed" not in body and body["top_p"] == 0.5
    messages = (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "function": {}}],
            "refusal": None,
        },
    )
    body = json.loads(build_body(Prompt("", "m", messages=messages)))
    assert body["messages"] == [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {}}]}
    ]


def loop() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "a \ud800 b"},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": 100.0},
        {"max_tokens": True},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "0.5"},
        {"temperature": True},
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"stop": ("",)},
        {"stop": ("a", "b", "c", "d", "e")},
        {"stop": "abc"},
        {"stop": (1,)},
        {"messages": ()},
        {"messages": ({"role": "developer", "content": "x"},)},
        {"messages": ({"role": "robot", "content": "x"},)},
        {"messages": ({"role": ["user"], "content": "x"},)},
        {"messages": ({"role": "user", "content": []},)},
        {"messages": ({"role": "user", "content": None},)},
        {"messages": ({"role": "user", "content": 1},)},
        {"messages": ({"role": "user", "content": ["x"]},)},
        {"messages": ({"role": "user", "content": [{"type": "file", "file": {}}]},)},
        {"messages": ({"role": "assistant"},)},
        {"messages": ({"role": "tool", "content": "x"},)},
        {"messages": ({"role": "function", "content": "x"},)},
        {"messages": ({"role": "assistant", "content": "", "tool_calls": ["x"]},)},
        {"extra": {"tools": {"a": 1}}},
        {"extra": {"tools": ["x"]}},
        {"extra": {"tools": [{"a": math.nan}]}},
        {"extra": {"tools": [{"a": "\udc00"}]}},
        {"extra": {"tools": [{"a": b"bytes"}]}},
        {"extra": {"tools": [{"a": loop()}]}},
        {"extra": {"tools": [{1: "a", "1": "b"}]}},
        # What hosts answer with 400, as recorded or by the schema that they check against.
        {"extra": {"tools": [{"type": "x", "function": {"name": "f"}}]}},
        {"extra": {"tools": [{"type": "function"}]}},
        {"extra": {"tools": [{"type": "function", "function": {}}]}},
        {"extra": {"response_format": {}}},
        {"extra": {"response_format": {"type": "json"}}},
        {"extra": {"response_format": {"type": "json_schema"}}},
        {"extra": {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}},
        # JSON would write 1 as "1" and None as "null": not what was passed.
        {
            "extra": {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {1: "a"}}}]
            }
        },
        {"extra": {"metadata": {None: "a"}}},
        {"messages": ({"role": "user", "content": "x", 5: "y"},)},
        {"extra": {"response_format": "json"}},
        {"extra": {"temperature": 1.0}},
        {"extra": {"stream": False}},
        {"extra": {"model": "other"}},
        {"extra": {"prompt": "other"}},
        {"kind": "completion", "system": "s"},
        {"kind": "completion", "messages": ({"role": "user", "content": "x"},)},
    ],
)
def test_what_hosts_refuse_or_hash_ambiguously_is_not_sent(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        build_body(Prompt(**({"text": "p", "model": "openai/gpt-5"} | changes)))


@given(
    st.text(),
    st.none() | st.text(),
    st.floats(0, 2),
    st.none() | st.integers(1, 10**6),
    st.booleans(),
)
def test_whatever_is_sent_has_its_evidence(
    text: str, system: str | None, temperature: float, max_tokens: int | None, stream: bool
) -> None:
    prompt = Prompt(
        text, "m", system, temperature=temperature, max_tokens=max_tokens, stream=stream
    )
    body = build_body(prompt)
    kept = request_evidence(body, "chat")
    assert kept.body.encode() == body
    assert kept.canonical == canonical_chat(json.loads(body))
    assert json.loads(kept.canonical)["messages"][-1]["content"] == text


def test_what_no_signature_covers_is_named_by_its_path() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    call = {
        "id": "c",
        "type": "function",
        "index": 0,
        "function": {"name": "f", "arguments": "{}", "strict": True},
    }
    body: dict[str, Any] = {
        "model": "m",
        "seed": 7,
        "messages": [
            {
                "role": "user",
                "name": "Ada",
                "content": [{"type": "text", "text": "a", "cache": 1}, image],
            },
            {"role": "assistant", "content": "", "tool_calls": [call], "refusal": None},
            {"role": "function", "name": "f", "content": "x"},
        ],
    }
    always = {"seed", "messages.name", "messages.refusal"}
    always |= {"messages.tool_calls.index", "messages.tool_calls.function.strict"}
    # The older rules hash a list as it is; the newer ones leave out what an attachment holds.
    assert set(canonical.unsigned_parts("chat", body)) == always
    newer = canonical.unsigned_parts("chat", body, canonical.NEWER)
    assert set(newer) == always | {"messages.content.cache", "messages.image_url"}
    prompt = {"model": "m", "prompt": "a", "user": "u", "messages": body["messages"]}
    assert canonical.unsigned_parts("completion", prompt) == ("messages", "user")
