"""Good exchanges, and what can be wrong with an answer or a request."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from corpus.build import (
    ANNA,
    CALLS_TEXT,
    FRAGMENTS,
    MEANING,
    PINNING,
    READING,
    SIM,
    WITH_TOOLS,
    Case,
    F,
    P,
    U,
    V,
    case,
)
from support.signing import (
    CHAT,
    COMPLETION,
    SIGNED,
    TOOL_CALL,
    as_aws,
    chunks,
    evidence,
    host,
    reader,
    registry,
    reply,
    signed_keys,
    signer,
    sse,
    stream,
)

from opg_magic.models import (
    Trust,
)
from opg_magic.protocol import canonical
from opg_magic.verify import AUDIT, DEFAULT, STRICT

NEW_CHARACTERS = (
    "'\u0cf3 \U0001face \u2ffc \U0002ebf0 \u1c89 \U00010940 \u20c2 \U000e0fff "
    '\u0378\u200b" \\ \U0001f600'
)


def good() -> Iterator[Case]:
    for policy in (DEFAULT, STRICT):
        yield case(f"a stream, {policy.name}", V, evidence(), policy=policy)
    yield case("a whole answer", V, evidence(reply(ANNA)))
    yield case(
        "a completion",
        V,
        evidence(reply(ANNA, COMPLETION, kind="completion"), COMPLETION, kind="completion"),
    )
    yield case("an empty answer", V, evidence(stream(ANNA, pieces=())))
    yield case(
        "tool calls", V, evidence(reply(ANNA, WITH_TOOLS, tool_calls=[TOOL_CALL]), WITH_TOOLS)
    )
    raw = stream(ANNA, WITH_TOOLS, pieces=(), fragments=FRAGMENTS, output=CALLS_TEXT)
    yield case("tool calls in a stream", V, evidence(raw, WITH_TOOLS))
    yield case("text that looks like tool calls", V, evidence(reply(ANNA, text=CALLS_TEXT)))
    yield case("text where tools were offered", V, evidence(reply(ANNA, WITH_TOOLS), WITH_TOOLS))
    beside = reply(ANNA, WITH_TOOLS, tool_calls=[TOOL_CALL], shown="trust me")
    yield case("attack_17 text beside tool calls is not signed", V, evidence(beside, WITH_TOOLS))
    text = "Ünïcode \U0001f600 \u0000 \u2028 <script>alert(1)</script> \x1b[31m e\u0301 é"
    yield case("text of all kinds", V, evidence(stream(ANNA, pieces=(text,))))
    for bits in (3072, 4096):
        yield case(f"a key of {bits} bits", V, evidence(by=signer("large", bits)))
    yield case("a reader who asks nobody", P, evidence(), READING)
    yield case("a reader who pinned the code", V, evidence(), PINNING)
    yield case("a reader who pinned the code, strict", V, evidence(), PINNING, STRICT)
    yield case("a reader who names the registry", V, evidence(), MEANING)
    yield case("a kernel's own look", V, evidence(), as_aws())
    yield case("one RPC", V, evidence(registry=registry(host(ANNA), rpcs=("a",))))
    yield case(
        "attack_06 one RPC under strict",
        P,
        evidence(registry=registry(host(ANNA), rpcs=("a", "a"))),
        policy=STRICT,
    )
    yield case(
        "simulated, with the root known",
        V,
        evidence(),
        reader(asked=frozenset({"registry"})),
        network=SIM,
    )
    yield case("simulated, for a reader who knows the root", P, evidence(), reader(), network=SIM)
    yield case("simulated, for a stranger", P, evidence(), Trust(), network=SIM)
    yield case("simulated by its own word, under the pinned root", V, evidence(), network=SIM)
    yield case("a simulator that says it is real", F, evidence(), Trust(), fails="attestation")
    yield case("no attestation", P, evidence(attestation=None))
    yield case("no attestation, strict", P, evidence(attestation=None), policy=STRICT)
    yield case("no registry", P, evidence(registry=None))
    yield case("no registry, code pinned", V, evidence(registry=None), PINNING)
    yield case("neither registry nor attestation", U, evidence(registry=None, attestation=None))
    yield case("no channel", P, evidence(channel=None))
    yield case("no host but a key", P, evidence(host=None, registry=None, channel=None))
    yield case("no key", U, evidence(signing_key=None))
    yield case("no key and no host", U, evidence(signing_key=None, host=None))
    nothing = {
        "host": None,
        "registry": None,
        "channel": None,
        "signing_key": None,
        "attestation": None,
    }
    yield case("nothing but an exchange", U, evidence(**nothing))


def answers() -> Iterator[Case]:
    for form in (stream, reply):
        how = "stream" if form is stream else "whole"
        spoilt = (
            form(ANNA).replace(b"there", b"theRe")
            if form is stream
            else reply(ANNA, shown="hi theRe")
        )
        yield case(f"attack_01 one byte changed, {how}", F, evidence(spoilt), fails="response")
        yield case(
            f"attack_02 another request, {how}",
            F,
            evidence(form(ANNA, {**CHAT, "max_tokens": 51}), CHAT),
            fails="request",
        )
        yield case(f"attack_10 complete but unsigned, {how}", U, evidence(form(ANNA, signed=False)))
        yield case(
            f"attack_10 unsigned under audit, {how}",
            U,
            evidence(form(ANNA, signed=False)),
            policy=AUDIT,
        )
        null = dict.fromkeys(
            ("tee_signature", "tee_request_hash", "tee_output_hash", "tee_timestamp", "tee_id")
        )
        yield case(f"attack_10 signed fields of null, {how}", U, evidence(form(ANNA, **null)))
        for bad in (-1, 2**256, str(SIGNED), float(SIGNED), True, [SIGNED], ..., 1e300):
            name = f"attack_13 timestamp {type(bad).__name__} {str(bad)[:12]}, {how}"
            yield case(name, F, evidence(form(ANNA, tee_timestamp=bad)), fails="signature")
    raw = chunks(ANNA)
    yield case(
        "attack_09 cut before its final frame",
        F,
        evidence(sse(*raw[:-1], done=False)),
        fails="response",
    )
    yield case("attack_09 cut before [DONE]", F, evidence(sse(*raw, done=False)), fails="response")
    yield case(
        "attack_09 cut in the middle of a line", F, evidence(sse(*raw)[:-40]), fails="response"
    )
    error = {"error": "Stream processing failed"}
    yield case("attack_09 the host's own error", U, evidence(sse(raw[0], error, done=False)))
    yield case(
        "attack_09 the host's own error, audit",
        U,
        evidence(sse(raw[0], error, done=False)),
        policy=AUDIT,
    )
    yield case("attack_11 two final frames", F, evidence(sse(*raw, raw[-1])), fails="response")
    yield case(
        "attack_11 content after the final frame", F, evidence(sse(*raw, raw[0])), fails="response"
    )
    yield case(
        "attack_11 a line that is no JSON",
        F,
        evidence(sse(raw[0], "{", *raw[1:])),
        fails="response",
    )
    for spoil in (
        b'"tee_timestamp": 1, "tee_timestamp"',
        b'"x": NaN, "tee_timestamp"',
        b'"x": "\\ud800", "tee_timestamp"',
    ):
        raw_answer = stream(ANNA).replace(b'"tee_timestamp"', spoil)
        yield case(
            f"attack_16 two readings {spoil[:14].decode()}",
            F,
            evidence(raw_answer),
            fails="response",
        )
    nfc, nfd = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    yield case(
        "attack_16 composed and decomposed",
        F,
        evidence(stream(ANNA, pieces=(nfc,), output=nfd)),
        fails="response",
    )
    for name, altered in {
        "model": "another",
        "usage": {"prompt_tokens": 0},
        "images": ["x"],
        "created": 5,
    }.items():
        yield case(f"attack_17 unsigned {name}", V, evidence(reply(ANNA, extra={name: altered})))
    yield case("attack_17 another finish reason", V, evidence(reply(ANNA, finish_reason="length")))
    readings: list[tuple[str, Any, Mapping[str, Any]]] = [
        ("finish reason of tools", reply(ANNA, finish_reason="tool_calls"), CHAT),
        ("finish reason of tools, stream", stream(ANNA, finish_reason="tool_calls"), CHAT),
        (
            "finish reason of text",
            reply(ANNA, WITH_TOOLS, tool_calls=[TOOL_CALL], finish_reason="stop"),
            WITH_TOOLS,
        ),
        ("tools that nobody offered", reply(ANNA, CHAT, tool_calls=[TOOL_CALL]), CHAT),
        ("tool calls shown as text", reply(ANNA, WITH_TOOLS, text=CALLS_TEXT), WITH_TOOLS),
        ("tool calls streamed as text", stream(ANNA, WITH_TOOLS, pieces=(CALLS_TEXT,)), WITH_TOOLS),
    ]
    for name, answer, body in readings:
        yield case(f"attack_17 {name}", F, evidence(answer, body), fails="response")
    other = json.dumps(
        [{**TOOL_CALL, "function": {"name": "weather", "arguments": "{}"}}], sort_keys=True
    )
    raw = stream(ANNA, WITH_TOOLS, pieces=(), fragments=FRAGMENTS, output=other)
    yield case(
        "attack_01 other arguments of a tool call", F, evidence(raw, WITH_TOOLS), fails="response"
    )


def requests() -> Iterator[Case]:
    """Requests whose canonical form is easily got wrong: numbers, nulls, lists, escapes."""
    whole = '{"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]%s}'
    parts: dict[str, Any] = {
        "floats": '"temperature": 1e-07',
        "a whole temperature": '"temperature": 1',
        "minus zero": '"temperature": -0.0',
        "no temperature": "",
        "null for max_tokens": '"temperature": 0, "max_tokens": null',
        "zero max_tokens": '"max_tokens": 0',
        "a huge integer": '"max_tokens": 123456789012345678901234567890',
        "numbers in tools": '"tools": [{"b": 1e22, "a": [0, 0.0, -0, -0.0, 1e16, 123456789.125, '
        "5e-324]}]",
        "keys beyond the BMP": '"tools": [{"\\uff61": 1, "\\ud83d\\ude00": 2, "é": '
        '"\\u007f\\u0000\\n\\"\\\\"}]',
        "stop as text": '"stop": "END"',
        "stop of nothing": '"stop": []',
        "keys not signed": '"top_p": 0.1, "seed": 7, "stream": true, "n": 1',
        "a key not signed": '"seed": 7, "stream": true, "stream_options": {"include_usage": true}',
        "many keys not signed": ", ".join(f'"k{number}": 1' for number in range(15)),
        "keys not signed beyond the BMP": '"\\uff61": 1, "\\ud83d\\ude00": 2, "a\\u202eb": 3',
        "a form": '"response_format": {"type": "json_object"}',
        "an empty form": '"response_format": {}',
        "web search": '"web_search": true',
        "__proto__": '"tools": [{"__proto__": {"a": 1}, "constructor": 2}]',
    }
    for name, part in parts.items():
        sent = whole % (", " + part if part else "")
        yield case(f"request with {name}", V, evidence(_answer_to(sent), sent))
    messages: dict[str, list[dict[str, Any]]] = {
        "system and history": [
            {"role": "system", "content": "Be brief — «always»."},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
            {"role": "tool", "content": "12 °C", "tool_call_id": "call_1", "name": "weather"},
            {"role": "function", "content": "1", "name": "f"},
            {"role": "assistant", "content": "", "name": "x"},
        ],
        "calls with keys of their own": [
            {"role": "user", "content": "x", "name": "root"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{**TOOL_CALL, "index": 0}],
                "refusal": None,
            },
            {"role": "tool", "content": "1", "tool_call_id": "call_1", "cache_control": {}},
            {
                "role": "user",
                "content": [{"type": "text", "text": "y", "cache_control": {}}, {"type": 7}, "z"],
            },
        ],
        "parts of text": [
            {
                "role": "user",
                "content": [{"type": "text", "text": 'it\'s "é"\n\u200b\u00a0\U0001f600'}],
            }
        ],
        # Printable since Unicode 15.0, 15.1, 16.0, 17.0 and 18.0; one that is not assigned; one
        # that never is.
        "characters newer than a Python": [
            {"role": "user", "content": [{"type": "text", "text": NEW_CHARACTERS}]}
        ],
        "a part of text newer than a Python": [
            {"role": "user", "content": [[NEW_CHARACTERS], {NEW_CHARACTERS: 1}]}
        ],
        "an image": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:x"}}, "don't"],
            }
        ],
        "a file": [
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"filename": "a.pdf"}},
                    {"type": "x", "filename": "b"},
                ],
            }
        ],
        "content of null": [{"role": "user", "content": None}],
        "content of a number": [{"role": "user", "content": [1.0, 2, True, None, {"k": 1e-5}]}],
        "content of an object": [{"role": "user", "content": {"a": [1], "text": "t"}}],
    }
    for name, history in messages.items():
        sent = json.dumps({"model": "gpt-5", "messages": history, "temperature": 0.5})
        for version in canonical.canonicalisers("chat", json.loads(sent)):
            raw = _answer_to(sent, version)
            yield case(f"{name} under {version}", V, evidence(raw, sent, version=version))
        # The version recorded is not that of the host: the one that matches is found.
        yield case(
            f"{name} recorded under another version",
            V,
            evidence(_answer_to(sent), sent, version=canonical.NEWER),
        )
    alike = {
        "minus zero for zero": ('"temperature": -0.0', '"temperature": 0.0'),
        "a float for an integer": ('"tools": [{"n": 0}]', '"tools": [{"n": 0.0}]'),
        "zero for nothing": ('"max_tokens": 0', ""),
        "an empty stop": ('"stop": [""]', ""),
    }
    for name, (sent, signed) in alike.items():
        one, other = (whole % (", " + text if text else "") for text in (sent, signed))
        yield case(f"attack_16 {name}", F, evidence(_answer_to(other), one), fails="request")
    found = evidence()
    spoilt: dict[str, tuple[str, str]] = {
        "a key twice": ('{"model": "gpt-5", "model": "gpt-5", "messages": []}', "ambiguous"),
        "NaN": ('{"model": "gpt-5", "messages": [], "temperature": NaN}', "ambiguous"),
        "a lone surrogate": ('{"model": "\\ud800", "messages": []}', "ambiguous"),
        "a huge float": ('{"model": "gpt-5", "messages": [], "temperature": 1e999}', "ambiguous"),
        "a huge temperature": (
            '{"model": "gpt-5", "messages": [], "temperature": 1' + "0" * 400 + "}",
            "request",
        ),
        "too many digits": (
            '{"model": "gpt-5", "messages": [], "max_tokens": ' + "1" * 4301 + "}",
            "not-json",
        ),
        "deep": ('{"messages": ' + "[" * 70 + "]" * 70 + "}", "ambiguous"),
        "no JSON": ("{", "not-json"),
        "a control character": ('{"model": "a\nb"}', "not-json"),
        "a list": ("[]", "request"),
        "no messages": ("{}", "request"),
        "a message of text": ('{"messages": ["x"]}', "request"),
        "another role": ('{"messages": [{"role": "developer", "content": "x"}]}', "request"),
        "no role": ('{"messages": [{"content": "x"}]}', "request"),
        "tools of text": ('{"messages": [], "tools": "x"}', "request"),
        "a temperature of text": ('{"messages": [], "temperature": "0"}', "request"),
        "a temperature of truth": ('{"messages": [], "temperature": true}', "request"),
        "a tool call of null": (
            '{"messages": [{"role": "assistant", "tool_calls": [{"function": null}]}]}',
            "request",
        ),
        "another prompt": (json.dumps({**CHAT, "max_tokens": 51}), "canonical"),
        "other words": (json.dumps({**CHAT, "model": "gpt-6"}), "canonical"),
    }
    for name, (body, _) in spoilt.items():
        edited = replace(found, request=replace(found.request, body=body))
        yield case(f"attack_16 request of {name}", F, edited, fails="request")
    for name, text in {"other": "x", "spaced": found.request.canonical + " "}.items():
        edited = replace(found, request=replace(found.request, canonical=text))
        yield case(f"attack_25 canonical request {name}", F, edited, fails="request")
    for name, change in {"null": None, "1.0": 1.0, "absent": ...}.items():
        body = {
            key: value
            for key, value in {**COMPLETION, "temperature": change, "stop": ["a"]}.items()
            if value is not ...
        }
        answer = reply(ANNA, body, kind="completion")
        yield case(
            f"a completion with temperature {name}", V, evidence(answer, body, kind="completion")
        )
    body = {key: value for key, value in COMPLETION.items() if key != "max_tokens"}
    yield case(
        "a completion without max_tokens",
        V,
        evidence(reply(ANNA, body, kind="completion"), body, kind="completion"),
    )


def _answer_to(sent: str, version: str = canonical.CANONICALISER) -> bytes:
    """A signed stream for exactly that JSON text (a dictionary would lose what its numbers looked
    like)."""
    form = canonical.canonicalise("chat", json.loads(sent), version)
    request, output = canonical.request_hash(form), canonical.output_hash("hi there")
    keys = signed_keys(ANNA, CHAT, "hi there")
    keys |= {
        "tee_request_hash": request.hex(),
        "tee_signature": ANNA.sign(canonical.signed_digest(request, output, SIGNED)),
    }
    return sse(*chunks(ANNA, signed=False)[:-1], {**chunks(ANNA, signed=False)[-1], **keys})
