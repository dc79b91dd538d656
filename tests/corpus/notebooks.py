"""Whole notebooks as cases: what each of them shows, and what is to be said of it.

A case's findings are written ``cell: level code`` (cells are counted from 1, the first is text).  They come from
``opg verify``; the browser must find the same (``notebookFindings`` of ``labextension/src/notebook.ts``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.signed_receipts import PROMPT, signed, verify

from opg_magic.display.bundle import answer_bundle
from opg_magic.models import SettlementTx
from opg_magic.receipts.receipt import MIME_TYPE, Receipt, supplement_json, supplemented
from opg_magic.receipts.report import Report

#: Findings about a receipt's document, which `opg verify` says once, where it stands first.
OF_DOCUMENTS = frozenset({"altered", "prompt-altered", "template-altered"})

Bundle = dict[str, Any]


@dataclass(frozen=True)
class NotebookCase:
    """``finds``: ``cell: level code`` of each finding; ``passes``: `opg verify --allow-simulated` exits 0."""

    name: str
    notebook: dict[str, Any]
    finds: tuple[str, ...] = ()
    passes: bool = False


def output(bundle: Bundle, **more: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": json.loads(json.dumps(bundle)), **more}


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def cell(source: str, *outputs: dict[str, Any], run: bool = True) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source.splitlines(keepends=True),
        "execution_count": 1 if run else None,
        "outputs": list(outputs),
    }


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# A study"]}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [text, *cells]}


#: One receipt and its honest display, for all cases that need no other.
GOOD = signed(id="1AAAAAAAAA", text="No: **561** = 3 · 11 · 17")
SHOWN: Bundle = answer_bundle(GOOD.answer())
ASKED = f"%%opg hi\n{PROMPT}"


def held(receipt: Any) -> Bundle:
    """The honest display, with another receipt in it."""
    return {**SHOWN, MIME_TYPE: receipt}


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def one(title: str, /, *finds: str, bundle: Bundle = SHOWN, beside: tuple[Any, ...] = (), **more: Any) -> NotebookCase:
    """A notebook with one cell: the receipt's display, perhaps changed, perhaps with other output beside it."""
    return NotebookCase(title, notebook(cell(ASKED, output(bundle, **more), *beside)), finds, passes=not finds)


def honest() -> Iterator[NotebookCase]:
    yield one("an honest notebook")
    yield one("an honest notebook, as the result of a cell", output_type="execute_result", execution_count=1)
    as_lines = {type: lines(text) if isinstance(text, str) else text for type, text in SHOWN.items()}
    yield one("an honest notebook, its text in lines", bundle=as_lines)
    quiet = answer_bundle(GOOD.answer(), show_text=False)
    yield one("no answer is shown (--quiet)", bundle=quiet)
    again = notebook(cell(ASKED, output(SHOWN)), cell("answer", output(SHOWN)))
    yield NotebookCase("an answer shown again", again, ("2: note shown-again", "3: note shown-again"), passes=True)
    tool = signed(id="3CCCCCCCCC", text="line one\n\n    code\n\n```python\nx = '$1'\n```\n| a | b |\n|---|---|\n")
    yield one("an answer of many shapes", bundle=answer_bundle(tool.answer()))


def as_text() -> Iterator[NotebookCase]:
    """A receipt given as JSON text is judged as what it is."""
    yield one("a receipt as JSON text", bundle=held(GOOD.to_json()))
    yield one("a receipt as JSON text in lines", bundle=held(lines(json.dumps(GOOD.document, indent=1))))
    altered = json.dumps({**GOOD.document, "software": "another"})
    yield one("an altered receipt as JSON text", "2: failed altered", bundle=held(altered))
    unread = ("2: unreadable unreadable", "2: incomplete no-receipt")
    twice = GOOD.to_json().replace('"id":', '"id":"9ZZZZZZZZZ","id":', 1)
    yield one("a receipt as ambiguous JSON text", *unread, bundle=held(twice))
    yield one("a receipt as lines that are no text", *unread, bundle=held([GOOD.to_json(), 1]))
    yield one("a receipt that is a number", *unread, bundle=held(1))
    yield one("a receipt that is no receipt", *unread, bundle=held({"type": "opg-receipt"}))


def beside() -> Iterator[NotebookCase]:
    """A cell that bears a receipt shows the receipt's own display and nothing else without a finding."""
    forged = {"text/plain": "Yes: 561 is prime."}
    found = "2: incomplete beside"
    yield one("a stream beside the receipt", found, beside=(stream("Yes: 561 is prime."),))
    yield one("another display beside the receipt", found, beside=(output(forged),))
    result = output(forged, output_type="execute_result", execution_count=1)
    yield one("a result beside the receipt", found, beside=(result,))
    error = {"output_type": "error", "ename": "Answer", "evalue": "561 is prime", "traceback": ["561 is prime"]}
    yield one("an error beside the receipt", found, beside=(error,))
    yield one(
        "a receipt in an output that shows its text", found, output_type="stream", name="stdout", text="561 is prime"
    )
    shown = notebook(cell("answer", output(SHOWN), stream("561 is prime")))
    yield NotebookCase("output beside a receipt under no call", shown, (found,))
    yield NotebookCase("a call without receipt", notebook(cell(ASKED, output(forged))), ("2: incomplete no-receipt",))
    yield NotebookCase("a call that was not run", notebook(cell(ASKED, run=False)), ("2: incomplete no-receipt",))


OTHER_TYPES: dict[str, Any] = {
    "image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg'><text y='20'>561 is prime</text></svg>",
    "image/png": "iVBORw0KGgo=",
    "application/javascript": "element.textContent = '561 is prime'",
    "text/latex": "$561$ is prime",
    "application/json": {"answer": "561 is prime"},
    "application/x-ndjson": '"561 is prime"\n',
    "application/json-lines": '"561 is prime"\n',
    "application/vnd.jupyter.widget-view+json": {"model_id": "0", "version_major": 2, "version_minor": 0},
    "application/vnd.opg.receipt.v2+json": GOOD.document,
    "TEXT/HTML": "561 is prime",
    "text/html; charset=utf-8": "561 is prime",
}


def other_types() -> Iterator[NotebookCase]:
    """The types of a receipt's display are an allow-list."""
    for type, content in OTHER_TYPES.items():
        yield one(f"{type} beside the receipt", "2: failed other-types", bundle={**SHOWN, type: content})
    as_string = {**SHOWN, "application/json": "561 is prime"}
    yield one("application/json as a string", "2: failed other-types", bundle=as_string)
    yield one("isolated", "2: failed isolated", metadata={"isolated": True})
    yield one("isolated, one type", "2: failed isolated", metadata={"text/html": {"isolated": True}})
    yield one("isolated, by another word", "2: failed isolated", metadata={MIME_TYPE: {"isolated": 1}})
    yield one("not isolated", metadata={"isolated": False})


def skipped() -> Iterator[NotebookCase]:
    """Attack 36: what a receipt states of its own digest excuses it from nothing."""
    original = GOOD
    later = later_version(original)
    invented = {**invention("2BBBBBBBBB"), "digest": later.supersedes}
    both = notebook(
        cell(ASKED, output(answer_bundle(later.answer()))), cell("answer", output(forged_display(invented)))
    )
    yield NotebookCase(
        "attack_36 an invented receipt states the digest that another supersedes", both, ("3: failed altered",)
    )
    same_id = {**invention(original.id), "digest": later.supersedes}
    both = notebook(cell(ASKED, output(answer_bundle(later.answer()))), cell("answer", output(forged_display(same_id))))
    finds = ("3: failed altered", "2: failed two-versions", "3: failed two-versions")
    yield NotebookCase("attack_36 the same under the id of the genuine one", both, finds)
    both = notebook(
        cell(ASKED, output(answer_bundle(original.answer()))), cell("answer", output(answer_bundle(later.answer())))
    )
    yield NotebookCase(
        "attack_36 a receipt beside a later version of it", both, ("2: note later-version",), passes=True
    )


def later_version(original: Receipt) -> Receipt:
    """With what was asked of the payment chain since."""
    found = SettlementTx(status="open", chain_id=8453, seen_at_block=7, rpcs=("a.example",))
    return supplemented(original, {"payment": supplement_json(found)})


def invention(id: str) -> dict[str, Any]:
    """A receipt of no call at all: no key, no frame."""
    document = GOOD.document
    response = {**document["response"], "frame": None}
    return {**document, "id": id, "response": response, "signing_key": None, "attestation": None, "registry": None}


def forged_display(document: dict[str, Any]) -> Bundle:
    return answer_bundle(Receipt(document).answer())


def all_notebooks() -> Iterator[NotebookCase]:
    for part in (honest, as_text, beside, other_types, skipped):
        yield from part()


# ------------------------------------------------------------------------------------------------------- what is found


def report_of(case: NotebookCase, folder: Path) -> Report:
    path = folder / "case.ipynb"
    path.write_text(json.dumps(case.notebook), encoding="utf-8")
    return verify(path, allow_simulated=True)


def found_in(report: Report) -> list[str]:
    """``cell: level code`` of each finding, once a cell; of documents without the cell."""
    found = set()
    for finding in report.findings:
        for where in (finding.where or "").split(", "):
            number = "" if finding.code in OF_DOCUMENTS else where.removeprefix("cell ")
            found.add(f"{number}: {finding.level} {finding.code}")
    return sorted(found)


def wanted_of(case: NotebookCase) -> list[str]:
    return sorted({f": {f.partition(': ')[2]}" if f.split()[-1] in OF_DOCUMENTS else f for f in case.finds})


def line(case: NotebookCase) -> str:
    return json.dumps({"name": case.name, "notebook": case.notebook, "finds": wanted_of(case)})
