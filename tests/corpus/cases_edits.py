"""Receipts that were edited, and texts that are no receipts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from corpus.build import (
    ANNA,
    BORIS,
    CALLS_TEXT,
    Case,
    F,
    P,
    U,
    V,
    document_of,
    redigested,
    written,
)
from support.signing import (
    evidence,
    reply,
    stream,
)

from opg_magic.models import (
    VerdictStatus,
)


def edits() -> Iterator[Case]:
    """What somebody does to a receipt with an editor: with the digest as it was, or made right
    again."""
    edits: dict[str, tuple[VerdictStatus, Callable[[dict[str, Any]], None]]] = {
        "text": (F, lambda d: d["response"].update(text="bye")),
        "no text": (F, lambda d: d["response"].update(text=None)),
        "text as tool calls": (
            F,
            lambda d: d["response"].update(
                text=None, tool_calls="hi there", finish_reason="tool_calls"
            ),
        ),
        "both": (F, lambda d: d["response"].update(tool_calls=CALLS_TEXT)),
        "finish reason": (F, lambda d: d["response"].update(finish_reason="tool_calls")),
        "frame": (F, lambda d: d["response"].update(frame="{")),
        "frame of another kind": (F, lambda d: d["response"].update(frame="[1]")),
        "frame with a key twice": (
            F,
            lambda d: d["response"].update(frame='{"tee_id": "a", "tee_id": "b"}'),
        ),
        "frame dropped": (U, lambda d: d["response"].update(frame=None)),
        "frame without signature": (U, lambda d: d["response"].update(frame="{}")),
        "a problem invented": (
            F,
            lambda d: d["response"].update(problem={"code": "truncated", "message": "cut"}),
        ),
        "an unknown problem": (
            F,
            lambda d: d["response"].update(problem={"code": "toString", "message": "?"}),
        ),
        "a problem that excuses": (
            P,
            lambda d: d["response"].update(problem={"code": "timeout", "message": "late"}),
        ),
        "request": (F, lambda d: d["request"].update(body='{"model": "gpt-5", "messages": []}')),
        "kind": (F, lambda d: d["request"].update(kind="completion")),
        "canonicaliser": (V, lambda d: d["request"].update(canonicaliser="2099-01")),
        "key": (F, lambda d: d.update(signing_key=base64.b64encode(BORIS.der).decode())),
        "sent and received": (
            F,
            lambda d: d.update(
                sent_at="2026-05-04T13:00:00.000000Z", received_at="2026-05-04T13:00:02.000000Z"
            ),
        ),
        "model": (V, lambda d: d["response"].update(model="another")),
        "usage": (V, lambda d: d["response"].update(usage={"total_tokens": 1})),
        "prompt": (V, lambda d: d["prompt"].update(text="something else")),
        "cost": (V, lambda d: d["notebook"].update(cell=99)),
        "verdict": (
            V,
            lambda d: d["checked"].update(verdict="FAILED", because=["no"], withheld=True),
        ),
        "no verdict": (V, lambda d: d.update(checked=None)),
        "block": (V, lambda d: d["registry"].update(block_number="1", block_hash="0x" + "00" * 32)),
        "an unsimulated word": (V, lambda d: d["network"].update(simulated=False)),
        "a simulated word": (V, lambda d: d["network"].update(simulated=True)),
        "the first year": (V, lambda d: d.update(sent_at="0001-01-01T00:00:00.000000Z")),
        "the end of days": (F, lambda d: d.update(received_at="9999-12-31T23:59:59.999999Z")),
        "leap day": (F, lambda d: d.update(received_at="2028-02-29T00:00:00.000001Z")),
    }
    for form, name_of in ((reply, "whole"), (stream, "stream")):
        for name, (want, edit) in edits.items():
            for again in (False, True):
                document = document_of(evidence(form(ANNA)))
                edit(document)
                if again:
                    document = redigested(document)
                how = "digest made right" if again else "digest left"
                yield Case(f"attack_25 {name} edited, {name_of}, {how}", want, written(document))
    document = document_of(evidence())
    supplemented = {**document, "settlement": None, "supersedes": document["digest"]}
    yield Case("a later version", V, written(redigested(supplemented)))
    unfaithful = {**supplemented, "id": "ZZZZZZZZZZ"}
    for mode in ("batch", "individual"):
        last = document_of(evidence(settlement_mode=mode))
        last["received_at"] = "9999-12-31T23:59:59.999999Z"
        yield Case(f"the end of days, {mode}", F, written(redigested(last)))
    yield Case("a later version of another", V, written(redigested(unfaithful)))


EARLIER = {"receipt": "0123456789", "digest": "sha256:" + "0" * 64, "messages": 2}


def unreadable() -> Iterator[Case]:
    document = document_of(evidence())
    text = written(document)

    def edited(**changes: Any) -> str:
        return written(redigested({**document, **changes}))

    texts = {
        "nothing": "",
        "a list": "[]",
        "null": "null",
        "no JSON": text[:-1],
        "a key twice": text[:-1] + ', "version": 1}',
        "NaN": text.replace('"cell": 1', '"cell": NaN'),
        "a lone surrogate": text.replace("Say hi", "Say \\ud800"),
        "another type": written({**document, "type": "receipt"}),
        "another version": written({**document, "version": 2}),
        "version as text": written({**document, "version": "1"}),
        "version as truth": written({**document, "version": True}),
        "a key too many": written({**document, "more": 1}),
        "a key too few": written({key: value for key, value in document.items() if key != "host"}),
        "an id in lower case": edited(id="abcdefghjk"),
        "a digest of another kind": written({**document, "digest": "md5:00"}),
        "a month too many": edited(sent_at="2026-13-01T00:00:00.000000Z"),
        "a day too many": edited(received_at="2026-02-30T00:00:00.000000Z"),
        "a leap second": edited(received_at="2026-06-30T23:59:60.000000Z"),
        "the year 0": edited(sent_at="0000-01-01T00:00:00.000000Z"),
        "milliseconds": edited(sent_at="2026-05-04T12:00:00.000Z"),
        "base64 with loose bits": edited(signing_key="AB=="),
        "base64 without padding": edited(signing_key="AAA"),
        "base64 cut short": edited(signing_key="A"),
        "an odd nonce": edited(attestation={**document["attestation"], "nonce": "abc"}),
        "a claim unknown": edited(checked={**document["checked"], "claims": [{"name": "x"}]}),
        "a negative cell": edited(notebook={**document["notebook"], "cell": -1}),
        "a cell beyond 2^53": edited(notebook={**document["notebook"], "cell": None}).replace(
            '"cell": null', '"cell": 9007199254740993'
        ),
        "a fraction of a cell": text.replace('"cell": 1', '"cell": 1.5'),
        "an entry of a host that is not there": edited(host=None),
        "an RPC with its key": edited(
            registry={**document["registry"], "rpcs": ["https://x/secret"]}
        ),
        "deep": edited(
            host={**document["host"], "ohttp_config": json.loads("[" * 60 + "]" * 60) and {"a": 1}}
        ).replace('"ohttp_config": {"a": 1}', '"ohttp_config": {"a": ' + "[" * 70 + "]" * 70 + "}"),
        "packed base64 that is none": edited(
            host={**document["host"], "ohttp_config": {"k": {"base64": "A"}}}
        ),
        "a packed integer that is none": edited(
            host={**document["host"], "ohttp_config": {"k": {"int": "x"}}}
        ),
        "a huge number in the registry's entry": edited(
            host={**document["host"], "ohttp_config": {"k": 1}}
        ).replace('{"k": 1}', '{"k": 9007199254740993}'),
        "a newline after the id": edited(id="0123456789\n"),
        "a newline after a hash": edited(
            channel={**document["channel"], "certificate_sha256": "ab" * 32 + "\n"}
        ),
        "no thread": edited(thread=None),
        "a thread without its calls": edited(thread={"name": "plans"}),
        "a thread's name that is none": edited(thread={"name": "a b", "earlier": []}),
        "a thread's name with a line's end": edited(thread={"name": "a\n", "earlier": []}),
        "a thread's call without an answer": edited(
            thread={"name": None, "earlier": [{**EARLIER, "messages": 1}]}
        ),
        "a thread's call with more": edited(
            thread={"name": None, "earlier": [{**EARLIER, "more": 1}]}
        ),
    }
    for name, value in texts.items():
        yield Case(f"unreadable, {name}", None, value)
    readable = {
        "cells as 1.0": text.replace('"cell": 1', '"cell": 1.0'),
        "spaces": json.dumps(document, indent=2),
        "escapes": json.dumps(document, ensure_ascii=True),
        "a thread": edited(thread={"name": "plans", "earlier": [EARLIER]}),
        "a thread without a name": edited(thread={"name": None, "earlier": []}),
        "packed values": edited(
            host={
                **document["host"],
                "ohttp_config": {"k": {"base64": "AAE="}, "n": {"int": "5"}, "l": [1, None, "x"]},
            }
        ),
    }
    for name, value in readable.items():
        yield Case(f"readable, {name}", V, value)
