"""Answers, figures and words of every kind on a receipt's face: the same bytes in both
languages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from corpus.notebooks import GOOD, NotebookCase, cell, notebook, output
from support.hostile import HOSTILE
from support.signed_receipts import PROMPT, redigested, signed

from opg_magic.display.bundle import receipt_bundle
from opg_magic.receipt.document import Receipt


def of_every_shape() -> Iterator[NotebookCase]:
    """Answers, figures and words of every kind come out the same in both languages."""
    clean = [text.encode("utf-8", "replace").decode() for text in HOSTILE.values()]
    answers = [
        signed(text=text, prompt=f"Question {number}") for number, text in enumerate(clean) if text
    ]
    for title, receipts in (
        ("answers", answers),
        ("receipts", [Receipt(document) for document in every_shape()]),
    ):
        # The cells are no calls; all else about them is in order.
        finds = tuple(
            f"{number}: incomplete not-the-call" for number in range(2, len(receipts) + 2)
        )
        yield NotebookCase(f"{title} of every shape", shown_by(receipts), finds)


def shown_by(receipts: Iterable[Receipt]) -> dict[str, Any]:
    return notebook(
        *(cell("answer", output(receipt_bundle(receipt, show_text=True))) for receipt in receipts)
    )


AMOUNTS = [
    str(sign * 10**place + more)
    for place in (0, 2, 6, 15, 17, 18, 29)
    for sign in (1, 4, 9)
    for more in (0, 5)
]
AMOUNTS += [
    "0",
    "94",
    "95",
    "995",
    "1049",
    "1050",
    "999949",
    "999950",
    "1004999999999999999",
    "1005000000000000000",
]


def every_shape() -> Iterator[dict[str, Any]]:
    """Receipts that differ from a good one in what a card says; none is altered by its own
    digest."""
    number = 0

    def changed(change: Callable[[dict[str, Any]], Any], receipt: Receipt = GOOD) -> dict[str, Any]:
        nonlocal number
        number += 1
        document = json.loads(receipt.to_json())
        change(document)
        document["id"] = f"0{number:09}"
        return redigested(document)

    for amount in AMOUNTS:
        for decimals in (0, 1, 2, 6, 18):
            yield changed(
                lambda d, a=amount, n=decimals: d["payment"]["cost"].update(
                    amount=a, token=token(d, n)
                )
            )
    for symbol in ("OPG", "561 is prime", "a" * 13, "", "opg\n"):
        yield changed(lambda d, s=symbol: d["payment"]["cap"]["token"].update(symbol=s))
    for usd in ("0", "0.00041", "12.345", "0.000000000999", "1000000", None):
        yield changed(
            lambda d, u=usd: (d["network"].update(simulated=False), d["payment"].update(cost_usd=u))
        )
    for received in ("00.949499", "00.949500", "01.049999", "01.050000", "59.949999", "59.950000"):
        yield changed(
            lambda d, r=received: d.update(sent_at=AT.format("00.000000"), received_at=AT.format(r))
        )
    yield changed(
        lambda d: d.update(sent_at=AT.format("09.000000"), received_at=AT.format("00.000000"))
    )
    yield changed(
        lambda d: d.update(
            sent_at="2026-05-04T10:00:00.5Z".replace(".5", ".500000"),
            received_at=AT.format("01.000000"),
        )
    )
    for charge in ("not charged", "unknown", "charged"):
        yield changed(lambda d, c=charge: d["payment"].update(charge=c, cost=None))
    yield changed(lambda d: d.update(payment=None, host=None, registry=None, checked=None))
    for verdict in ("PARTIAL", "UNVERIFIED", "FAILED"):
        for because in (
            [],
            ["signature:  of\u00a0another " + "ab" * 32, "more"],
            ["é" + "ab" * 40],
            ["\U0001f600" * 400],
        ):
            yield changed(lambda d, v=verdict, b=because: said(d, v, b))
    for verdict in ("PARTIAL", "FAILED"):
        for reason in ("the host did not sign this answer", "  of\u00a0another " + "ab" * 32, ""):
            yield changed(lambda d, v=verdict, r=reason: shared(d, v, r))
    for code in ("interrupted", "host-failure", "http-status", "truncated", "unsigned"):
        problem = {
            "code": code,
            "message": "  it\tended\x1b[2J <b>here</b> *so* _it_ $did$ @all " + "x" * 300,
        }
        yield changed(lambda d, p=problem: d["response"].update(problem=p))
    for body in (
        {
            "model": "a <b> | *c*",
            "messages": [{"role": "system"}, {"role": "user", "content": PROMPT}],
            "tools": [1, 2],
        },
        {
            "model": 7,
            "messages": [{"role": "user", "content": PROMPT}] * 3 + [{"role": "developer"}, 7],
        },
        {"messages": {}, "tools": {}},
        [1],
    ):
        named = body.get("model") if isinstance(body, dict) else None
        sent = named if isinstance(named, str) else None
        yield changed(
            lambda d, b=body, m=sent: d["request"].update(body=json.dumps(b), model_sent=m)
        )
    yield changed(lambda d: d["request"].update(body="{"))
    calls = '[{"id":"1","function":{"name":"f","arguments":"{}"}}]'
    yield changed(lambda d: d["response"].update(text="", tool_calls=calls))
    yield changed(lambda d: d["response"].update(text=None, tool_calls=None))


AT = "2026-05-04T12:00:{}Z"


def token(document: dict[str, Any], decimals: int) -> dict[str, Any]:
    return {**document["payment"]["token"], "decimals": decimals}


def said(document: dict[str, Any], verdict: str, because: list[str]) -> None:
    claims = document["checked"]["claims"]
    claims[0].update(
        status="failed", sentence="The host signed another request.", reason="it is 0x" + "cd" * 32
    )
    claims[1].update(status="missing", reason=None)
    document["checked"].update(verdict=verdict, because=because)


def shared(document: dict[str, Any], verdict: str, reason: str) -> None:
    """Four checks have one reason; the last says nothing else."""
    claims = document["checked"]["claims"]
    for claim, status in zip(claims, ("missing", "failed", "failed", "missing"), strict=False):
        claim.update(status=status, sentence=f"No {claim['name']}.", reason=reason)
    claims[3].update(sentence="")
    document["checked"].update(verdict=verdict, because=[])
