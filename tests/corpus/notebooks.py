"""Whole notebooks as cases: what each of them shows, and what is to be said of it.

A case's findings are written ``cell: level code`` (cells are counted from 1, the first is text).
They come from ``opg verify``; the browser must find the same (``notebookFindings`` of
``labextension/src/audit/together.ts``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support import chains
from support.signed_receipts import PROMPT, signed, verify

from opg_magic.audit.report import Report
from opg_magic.display.bundle import answer_bundle, receipt_bundle
from opg_magic.models import Evidence, Problem, SettlementTx
from opg_magic.models.plain_text import RULE
from opg_magic.receipt.document import MIME_TYPE, Receipt, supplemented
from opg_magic.receipt.face import REMARKS, face
from opg_magic.receipt.face import second as form_2
from opg_magic.receipt.supplements import supplement_json

#: Findings about a receipt's document, which `opg verify` says once, where it stands first.
OF_DOCUMENTS = frozenset({"altered", "prompt-altered", "template-altered", "model-altered"})

#: Findings that come of a verdict, which the browser computes elsewhere (``audit/check.ts``).
OF_VERDICTS = frozenset({"saved-differs"})

#: Findings whose words are each judge's own: a parser's, or which of two versions counts.
OWN_WORDS = frozenset({"unreadable", "later-version"})

Bundle = dict[str, Any]


@dataclass(frozen=True)
class NotebookCase:
    """``finds``: ``cell: level code`` of each finding; ``passes``: `opg verify --allow-simulated`
    exits 0."""

    name: str
    notebook: dict[str, Any]
    finds: tuple[str, ...] = ()
    passes: bool = False


def output(bundle: Bundle, **more: Any) -> dict[str, Any]:
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": json.loads(json.dumps(bundle)),
        **more,
    }


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


def one(
    title: str, /, *finds: str, bundle: Bundle = SHOWN, beside: tuple[Any, ...] = (), **more: Any
) -> NotebookCase:
    """A notebook with one cell: the receipt's display, perhaps changed, perhaps with other output
    beside it."""
    return NotebookCase(
        title, notebook(cell(ASKED, output(bundle, **more), *beside)), finds, passes=not finds
    )


def honest() -> Iterator[NotebookCase]:
    yield one("an honest notebook")
    yield one(
        "an honest notebook, as the result of a cell",
        output_type="execute_result",
        execution_count=1,
    )
    as_lines = {
        type: lines(text) if isinstance(text, str) else text for type, text in SHOWN.items()
    }
    yield one("an honest notebook, its text in lines", bundle=as_lines)
    quiet = answer_bundle(GOOD.answer(), show_text=False)
    yield one("no answer is shown (--quiet)", bundle=quiet)
    finds = ("2: note shown-again", "3: note shown-again")
    for source in (
        "hi",
        "hi\n",
        "_",
        "%opg show last",
        f"%opg show {GOOD.id}",
        f"%opg show {GOOD.id[:4].lower()}",
    ):
        again = notebook(cell(ASKED, output(SHOWN)), cell(source, output(SHOWN)))
        yield NotebookCase(f"an answer shown again by {source!r}", again, finds, passes=True)
    for source in ("answer", "hi  # Is 563 prime?", "# hi\nhi", "%opg show 1BBB", "%opg show", ""):
        again = notebook(cell(ASKED, output(SHOWN)), cell(source, output(SHOWN)))
        yield NotebookCase(
            f"an answer shown by {source!r}", again, (*finds, "3: incomplete not-the-call")
        )
    edited = notebook(cell("%%opg hi\nSay bye", output(SHOWN)), cell("hi", output(SHOWN)))
    finds = (*finds, "2: failed prompt-differs", "3: incomplete not-the-call")
    yield NotebookCase("an answer shown again, and its question edited", edited, finds)
    nameless = signed(id="7GGGGGGGGG", cell=f"%%opg\n{PROMPT}")
    shown_twice = [output(answer_bundle(nameless.answer()))] * 2
    empty = notebook(cell(f"%%opg\n{PROMPT}", shown_twice[0]), cell("", shown_twice[1]))
    finds = ("2: note shown-again", "3: note shown-again", "3: incomplete not-the-call")
    yield NotebookCase("an answer without a name shown by an empty cell", empty, finds)
    tool = signed(
        id="3CCCCCCCCC",
        text="line one\n\n    code\n\n```python\nx = '$1'\n```\n| a | b |\n|---|---|\n",
    )
    yield one("an answer of many shapes", bundle=answer_bundle(tool.answer()))


def as_text() -> Iterator[NotebookCase]:
    """A receipt given as JSON text is judged as what it is."""
    yield one("a receipt as JSON text", bundle=held(GOOD.to_json()))
    yield one(
        "a receipt as JSON text in lines", bundle=held(lines(json.dumps(GOOD.document, indent=1)))
    )
    altered = json.dumps({**GOOD.document, "software": "another"})
    yield one("an altered receipt as JSON text", "2: failed altered", bundle=held(altered))
    unread = ("2: unreadable unreadable", "2: incomplete no-receipt")
    twice = GOOD.to_json().replace('"id":', '"id":"9ZZZZZZZZZ","id":', 1)
    yield one("a receipt as ambiguous JSON text", *unread, bundle=held(twice))
    yield one("a receipt as lines that are no text", *unread, bundle=held([GOOD.to_json(), 1]))
    yield one("a receipt that is a number", *unread, bundle=held(1))
    yield one("a receipt that is no receipt", *unread, bundle=held({"type": "opg-receipt"}))


def beside() -> Iterator[NotebookCase]:
    """A cell that bears a receipt shows the receipt's own display and nothing else without a
    finding."""
    forged = {"text/plain": "Yes: 561 is prime."}
    found = "2: incomplete beside"
    yield one("a stream beside the receipt", found, beside=(stream("Yes: 561 is prime."),))
    yield one("another display beside the receipt", found, beside=(output(forged),))
    result = output(forged, output_type="execute_result", execution_count=1)
    yield one("a result beside the receipt", found, beside=(result,))
    error = {
        "output_type": "error",
        "ename": "Answer",
        "evalue": "561 is prime",
        "traceback": ["561 is prime"],
    }
    yield one("an error beside the receipt", found, beside=(error,))
    yield one(
        "a receipt in an output that shows its text",
        found,
        output_type="stream",
        name="stdout",
        text="561 is prime",
    )
    shown = notebook(cell("answer", output(SHOWN), stream("561 is prime")))
    yield NotebookCase(
        "output beside a receipt under no call", shown, (found, "2: incomplete not-the-call")
    )
    yield NotebookCase(
        "a call without receipt",
        notebook(cell(ASKED, output(forged))),
        ("2: incomplete no-receipt",),
    )
    yield NotebookCase(
        "a call that was not run", notebook(cell(ASKED, run=False)), ("2: incomplete no-receipt",)
    )


OTHER_TYPES: dict[str, Any] = {
    "image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg'><text y='20'>561 is "
    "prime</text></svg>",
    "image/png": "iVBORw0KGgo=",
    "application/javascript": "element.textContent = '561 is prime'",
    "text/latex": "$561$ is prime",
    "application/json": {"answer": "561 is prime"},
    "application/x-ndjson": '"561 is prime"\n',
    "application/json-lines": '"561 is prime"\n',
    "application/vnd.jupyter.widget-view+json": {
        "model_id": "0",
        "version_major": 2,
        "version_minor": 0,
    },
    "application/vnd.opg.receipt.v2+json": GOOD.document,
    "TEXT/HTML": "561 is prime",
    "text/html; charset=utf-8": "561 is prime",
}


def other_types() -> Iterator[NotebookCase]:
    """The types of a receipt's display are an allow-list."""
    for type, content in OTHER_TYPES.items():
        yield one(
            f"{type} beside the receipt", "2: failed other-types", bundle={**SHOWN, type: content}
        )
    as_string = {**SHOWN, "application/json": "561 is prime"}
    yield one("application/json as a string", "2: failed other-types", bundle=as_string)
    yield one("isolated", "2: failed isolated", metadata={"isolated": True})
    yield one(
        "isolated, one type", "2: failed isolated", metadata={"text/html": {"isolated": True}}
    )
    yield one(
        "isolated, by another word", "2: failed isolated", metadata={MIME_TYPE: {"isolated": 1}}
    )
    yield one("not isolated", metadata={"isolated": False})


def skipped() -> Iterator[NotebookCase]:
    """Attack 36: what a receipt states of its own digest excuses it from nothing."""
    original = GOOD
    later = later_version(original)
    invented = {**invention("2BBBBBBBBB"), "digest": later.supersedes}
    both = notebook(
        cell(ASKED, output(answer_bundle(later.answer()))),
        cell("answer", output(forged_display(invented))),
    )
    yield NotebookCase(
        "attack_36 an invented receipt states the digest that another supersedes",
        both,
        ("3: failed altered", "3: incomplete not-the-call"),
    )
    same_id = {**invention(original.id), "digest": later.supersedes}
    both = notebook(
        cell(ASKED, output(answer_bundle(later.answer()))),
        cell("answer", output(forged_display(same_id))),
    )
    finds = (
        "3: failed altered",
        "2: failed two-versions",
        "3: failed two-versions",
        "3: incomplete not-the-call",
    )
    yield NotebookCase("attack_36 the same under the id of the genuine one", both, finds)
    both = notebook(
        cell(ASKED, output(answer_bundle(original.answer()))),
        cell("hi", output(answer_bundle(later.answer()))),
    )
    yield NotebookCase(
        "attack_36 a receipt beside a later version of it",
        both,
        ("2: note later-version", "3: note shown-again"),
        passes=True,
    )


def shown_twice() -> Iterator[NotebookCase]:
    """One call is one cell's answer, whatever was learnt of it between two saves."""
    later = answer_bundle(later_version(GOOD).answer())
    for first, second in ((SHOWN, later), (later, SHOWN), (SHOWN, SHOWN)):
        name = "a later version" if later in (first, second) else "the same receipt"
        both = notebook(cell(ASKED, output(first)), cell(ASKED, output(second)))
        finds = ["2: note shown-again", "3: note shown-again"]
        if name == "a later version":
            finds.append(f"{2 if second is later else 3}: note later-version")
        title = f"attack_36 one call as two answers, {name}{', first' if first is later else ''}"
        yield NotebookCase(title, both, tuple(finds), passes=True)
    failed = signed(id="4DDDDDDDDG", change=altered)
    both = notebook(
        *(cell(ASKED, output(receipt_bundle(one))) for one in (failed, later_version(failed)))
    )
    finds = ["2: note shown-again", "3: note shown-again", "2: note later-version"]
    yield NotebookCase("attack_36 a failed receipt and a later version", both, tuple(finds))


def later_version(original: Receipt) -> Receipt:
    """With what was asked of the payment chain since."""
    found = SettlementTx(status="open", chain_id=8453, seen_at_block=7, rpcs=("a.example",))
    return supplemented(original, {"payment": supplement_json(found)})


def invention(id: str) -> dict[str, Any]:
    """A receipt of no call at all: no key, no frame."""
    document = GOOD.document
    response = {**document["response"], "frame": None}
    return {
        **document,
        "id": id,
        "response": response,
        "signing_key": None,
        "attestation": None,
        "registry": None,
    }


def forged_display(document: dict[str, Any]) -> Bundle:
    return answer_bundle(Receipt(document).answer())


def shown() -> Iterator[NotebookCase]:
    """The texts of a display are compared with those that are made anew of the receipt."""
    text, card, older = "2: failed shown-text", "2: failed shown-card", "2: incomplete not-compared"
    for type in ("text/plain", "text/markdown", "text/html"):
        was = SHOWN[type]
        edits = {
            "another answer": (was.replace("561", "563", 1), text),
            "another answer and the same after it": (
                ("Yes.\n\n" if type == "text/plain" else "<p>Yes.</p>") + was,
                text,
            ),
            "words after the card": (was + "\n561 is prime.", card),
            "words in the card": (was.replace("checked by", "561 is prime, checked by", 1), card),
            "another count": (was.replace("All 7 checks", "All 8 checks", 1), card),
            "no tag of the simulated network": (was.replace("simulated network", "", 1), card),
            "a remark that is none": (
                was.replace("simulated network", "Another host was used.", 1),
                card,
            ),
            "no text": (1, text),
        }
        for name, (is_now, finding) in edits.items():
            yield one(f"{type}: {name}", finding, bundle={**SHOWN, type: is_now})
    html = SHOWN["text/html"]
    for hiding in HIDING:
        yield one(
            f"hidden in HTML: {hiding}",
            card,
            bundle={**SHOWN, "text/html": html[: -len("</div>")] + hiding + "</div>"},
        )
        yield one(
            f"hidden in HTML before the answer: {hiding}",
            text,
            bundle={**SHOWN, "text/html": hiding + html},
        )
    opened = {**SHOWN, "text/html": html.replace("overflow:auto", "height:0;overflow:hidden", 1)}
    yield one("an answer without height", text, bundle=opened)
    yield one(
        "the answer in closed details",
        text,
        bundle={**SHOWN, "text/html": f"<details>{html}</details>"},
    )
    costly = {**SHOWN, "text/html": html + "<a x='" * 22_000}
    yield one("HTML that a parser would take a minute for", card, bundle=costly)
    without = {type: content for type, content in SHOWN.items() if type != "text/html"}
    yield one("no HTML", bundle=without)
    plainless = {type: content for type, content in SHOWN.items() if type != "text/plain"}
    yield one("no plain text", text, bundle=plainless)
    quiet = answer_bundle(GOOD.answer(), show_text=False)
    yield one("an answer in HTML alone", card, bundle={**quiet, "text/html": html})
    yield one(
        "an answer in Markdown alone",
        card,
        bundle={**quiet, "text/markdown": SHOWN["text/markdown"]},
    )
    other = SHOWN["text/plain"].replace("card 3", "card 4")
    yield one("a form to come", older, bundle={**SHOWN, "text/plain": other})
    yield one("a display of version 0.1", older, bundle={**SHOWN, "text/plain": of_01()})
    foreign = {**SHOWN, "text/plain": of_01(), "text/html": "<h1>561 is prime.</h1>"}
    yield one("a display of version 0.1, other HTML", text, bundle=foreign)
    foreign = {**SHOWN, "text/plain": of_01().replace("561", "563", 1)}
    yield one("a display of version 0.1, another answer", text, bundle=foreign)
    ours = SHOWN["text/plain"].replace("1AAAAAAAAA", "1AAAAAAAAB", 1)
    yield one("the id of another receipt", card, bundle={**SHOWN, "text/plain": ours})
    remarked = face(GOOD, show=True, remarks=REMARKS[1:])
    yield one("remarks", bundle={**SHOWN, **remarked})


def former() -> Iterator[NotebookCase]:
    """Displays of form ``card 2`` are compared as they were."""
    text = "```python\na = 1\n\n\n  \nb = 2\n```"
    code = signed(id="1AAAAAAAAC", text=text)
    failed = signed(id="4DDDDDDDDE", change=altered)
    stopped = signed(id="5EEEEEEEEF", change=ended)
    for name, receipt, show in (
        ("", GOOD, True),
        (", no answer shown", GOOD, False),
        (", code with empty lines", code, True),
        (", failed", failed, False),
        (", failed and shown", failed, True),
        (", no answer", stopped, False),
    ):
        made = {**answer_bundle(GOOD.answer()), MIME_TYPE: receipt.document}
        honest = one(f"card 2{name}", bundle={**made, **form_2.face(receipt, show=show)})
        yield honest if receipt in (GOOD, code) else replace(honest, passes=False)
    was = {**SHOWN, **form_2.face(GOOD, show=True, remarks=REMARKS[1:])}
    yield one("card 2, remarks", bundle=was)
    for type in ("text/plain", "text/markdown", "text/html"):
        found = "2: failed shown-card"
        other = was[type].replace("Not proven", "561 is prime. Not proven", 1)
        yield one(f"card 2, words in {type}", found, bundle={**was, type: other})
        other = was[type].replace("SIMULATED · all", "all", 1)
        yield one(f"card 2, another verdict in {type}", found, bundle={**was, type: other})
        found = "2: failed shown-text"
        other = was[type].replace("561", "563", 1)
        yield one(f"card 2, another answer in {type}", found, bundle={**was, type: other})
    words = {**was, "text/plain": was["text/plain"].replace("· card 2 ─", "· card in words ─", 1)}
    yield one("a card in words of form 2", "2: incomplete not-compared", bundle=words)
    now = answer_bundle(code.answer())
    yield one("code with empty lines", bundle=now)
    mixed = {**now, "text/html": form_2.face(code, show=True)["text/html"]}
    yield one("HTML of another form", "2: failed shown-text", bundle=mixed)


def nameless() -> Iterator[NotebookCase]:
    """The line between answer and card names nothing but a form: it is read as that form's."""
    for form, found in (
        ("no answer is shown", "2: failed shown-text"),
        ("xyno answer is shown", "2: incomplete not-compared"),
        ("card 3", "2: failed shown-card"),
        ("xycard 3", "2: incomplete not-compared"),
    ):
        plain = f"{RULE}{form} ────\n✓ Verified"
        texts = {"text/plain": plain, "text/html": "<b>561 is prime.</b>"}
        yield one(f"a line that is {form!r}", found, bundle={**texts, MIME_TYPE: GOOD.document})


def of_01() -> str:
    """Plain text as version 0.1 wrote it: its line between answer and card names no form."""
    text: str = SHOWN["text/plain"]
    return text.replace(" · card 3 ────", " ────")


HIDING = (
    '<div style="font-size:1px">561 is prime.</div>',
    '<div style="color:#fff">561 is prime.</div>',
    '<div style="line-height:0">561 is prime.</div>',
    '<div style="margin-top:-99px">561 is prime.</div>',
    "<details><summary>more</summary>561 is prime.</details>",
    "<script>document.body.textContent = '561 is prime.'</script>",
    "<![<b>561 is prime.",
    "<!-- 561 is prime. -->",
)


def in_words() -> Iterator[NotebookCase]:
    """A card that says more than its receipt is not compared, and its answer is."""
    public = (
        "its hashes go on a public chain, unsalted: a short prompt can be guessed from its hash"
    )
    yield one(
        "a call whose hashes become public",
        bundle=answer_bundle(replace(GOOD.answer(), notes=(public,))),
    )
    answer = replace(GOOD.answer(), notes=("the ledger could not be written",))
    bundle = answer_bundle(answer)
    incomplete = "2: incomplete not-compared"
    yield one("a card in words", incomplete, bundle=bundle)
    for type in ("text/plain", "text/markdown", "text/html"):
        forged = {**bundle, type: bundle[type].replace("561", "563", 1)}
        found = (
            ("2: failed shown-text",)
            if type == "text/plain"
            else ("2: failed shown-text", incomplete)
        )
        yield one(f"a card in words, another answer in {type}", *found, bundle=forged)


def other_verdicts() -> Iterator[NotebookCase]:
    """Cards of answers that failed, were withheld, or never came: of their receipts too."""
    failed = signed(id="4DDDDDDDDD", change=altered)
    for name, bundle in {
        "withheld": receipt_bundle(failed),
        "withheld, after it had streamed": receipt_bundle(failed, streamed=True),
        "withheld, shown because asked": answer_bundle(failed.answer(include_withheld=True)),
    }.items():
        honest = one(name, bundle=bundle)
        yield replace(honest, passes=False)
    banner = answer_bundle(failed.answer(include_withheld=True))
    unwarned = {
        **banner,
        "text/html": banner["text/html"].replace(
            "<p><b>✗ Shown because you asked", "<p><b>✓ Shown", 1
        ),
    }
    yield one("a withheld answer without its warning", "2: failed shown-text", bundle=unwarned)
    stopped = signed(id="5EEEEEEEEE", change=ended)
    yield replace(one("no answer", bundle=receipt_bundle(stopped)), passes=False)


def agreements() -> Iterator[NotebookCase]:
    """An agreement is held against the receipts of its answers that stand in the same notebook."""
    one = signed(id="6FFFFFFFFF")
    found = chains.agreement(one)
    bound = supplemented(one, {"agreement": supplement_json(found)})
    yield replace(one_of("an agreement", bound), passes=True)
    own, other = found.answers
    for what, hashes in {
        "but for white space": {"text_sha256": "0" * 64},
        "as another answer": dict.fromkeys(
            ("text_sha256", "normal_sha256", "json_sha256"), "0" * 64
        ),
        "unverified": {"verdict": "UNVERIFIED"},
    }.items():
        others = replace(found, answers=(own, replace(other, **hashes)))
        several = supplemented(one, {"agreement": supplement_json(others)})
        made = {**receipt_bundle(several, show_text=True)}
        shown = NotebookCase(f"several hosts, {what}", notebook(cell(ASKED, output(made))))
        yield replace(shown, passes=True)
        quiet = cell(ASKED, output(receipt_bundle(several, show_text=False)))
        yield replace(
            NotebookCase(f"one line of several hosts, {what}", notebook(quiet)), passes=True
        )
        ours = {**made, "text/plain": made["text/plain"].replace(" independent", "", 1)}
        if what == "but for white space":
            yield one_of_bundle("several hosts, another headline", ours)
    wrong = replace(found, answers=(replace(own, owner="0x" + "99" * 20), other))
    lying = supplemented(one, {"agreement": supplement_json(wrong)})
    yield one_of(
        "an agreement that tells of a receipt what it does not hold",
        lying,
        "2: failed agreement-differs",
    )


def one_of_bundle(title: str, bundle: Bundle) -> NotebookCase:
    found = ("2: failed shown-card",)
    return NotebookCase(title, notebook(cell(ASKED, output(bundle))), found)


def one_of(title: str, receipt: Receipt, *finds: str) -> NotebookCase:
    return NotebookCase(
        title, notebook(cell(ASKED, output(answer_bundle(receipt.answer())))), finds
    )


def altered(evidence: Evidence) -> Evidence:
    return replace(evidence, response=replace(evidence.response, text="something else"))


def ended(evidence: Evidence) -> Evidence:
    problem = Problem(
        "interrupted", "the call was stopped before its answer was complete, at 0x" + "ab" * 32
    )
    return replace(
        evidence, response=replace(evidence.response, text=None, frame=None, problem=problem)
    )


@cache
def all_notebooks() -> tuple[NotebookCase, ...]:
    from corpus.notebooks_cells import (
        asked_otherwise,
        calls,
        like_calls,
        no_calls,
        of_a_route,
        of_hosts_that_differ,
        of_several,
        without_receipt,
    )
    from corpus.notebooks_implied import all_implied
    from corpus.notebooks_schemas import schemas
    from corpus.notebooks_shapes import of_every_shape
    from corpus.notebooks_tables import all_tables
    from corpus.notebooks_threads import rounds, threads

    shown_in_it = (
        shown,
        former,
        nameless,
        in_words,
        other_verdicts,
        agreements,
        threads,
        rounds,
        of_every_shape,
    )
    cells = (
        calls,
        no_calls,
        without_receipt,
        asked_otherwise,
        schemas,
        of_several,
        of_a_route,
        of_hosts_that_differ,
        like_calls,
    )
    of_one = (honest, as_text, beside, other_types, skipped, shown_twice)
    parts = (*of_one, *shown_in_it, *cells, all_tables, all_implied)
    return tuple(case for part in parts for case in part())


# ------------------------------------------------------------------------------------ what is found


def report_of(case: NotebookCase, folder: Path) -> Report:
    path = folder / "case.ipynb"
    path.write_text(json.dumps(case.notebook), encoding="utf-8")
    return verify(path, allow_simulated=True)


def found_in(report: Report) -> list[str]:
    """``cell: level code`` of each finding, once a cell; of documents without the cell."""
    found = set()
    for finding in report.findings:
        if finding.code in OF_VERDICTS:
            continue
        for where in (finding.where or "").split(", "):
            number = "" if finding.code in OF_DOCUMENTS else where.removeprefix("cell ")
            found.add(f"{number}: {finding.level} {finding.code}")
    return sorted(found)


def wanted_of(case: NotebookCase) -> list[str]:
    return sorted(
        {f": {f.partition(': ')[2]}" if f.split()[-1] in OF_DOCUMENTS else f for f in case.finds}
    )


def line(case: NotebookCase) -> str:
    with TemporaryDirectory() as folder:
        says = said_in(report_of(case, Path(folder)))
    found = {"notebook": case.notebook, "finds": wanted_of(case), "says": says}
    return json.dumps({"name": case.name, **found})


def said_in(report: Report) -> list[str]:
    """``code: message`` of each finding, once, where both judges have the same words for it."""
    own = OWN_WORDS | OF_VERDICTS
    return sorted({f"{one.code}: {one.message}" for one in report.findings if one.code not in own})
