"""Outputs without a receipt that the receipts of their cell imply: the question before functions
run, and the error of an answer that has another shape.  Honest, and forged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from corpus.notebooks import NotebookCase, altered, cell, notebook, output, stream
from corpus.notebooks_threads import entry, said
from support import signing
from support.signed_receipts import PROMPT, redigested, signed

from opg_magic import shapes
from opg_magic.call.tools import Wanted
from opg_magic.display.bundle import receipt_bundle, settled_bundle
from opg_magic.display.card import settled
from opg_magic.display.data import table_bundle, text_bundle
from opg_magic.errors import (
    AnswerWithheld,
    CallFailed,
    ShapeMismatch,
    ToolsStopped,
    read_all_the_same,
)
from opg_magic.models import Evidence, Thread
from opg_magic.receipt import calls
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face import third
from opg_magic.receipt.thread import answer_message, messages_of
from opg_magic.shapes import misfit
from opg_magic.shapes.functions import tools_of
from opg_magic.shapes.shape import FROM_LEDGER
from opg_magic.verify import judge
from opg_magic.verify.policy import STRICT

NOTE = "2: note tools"
BESIDE = "2: incomplete beside"
QUESTION, ERROR = "2: failed shown-question", "2: failed shown-error"
WORDS = "2: incomplete not-compared"
ASKED = f"%%opg --tools weather, send\n{PROMPT}"


def weather(city: str, days: int = 1) -> str:
    """The weather of some days."""
    return f"{city}: {days} sunny days"


def send(to: str, text: str) -> str:
    """Send a text."""
    return f"{to}: {text}"


TOOLS = tools_of([weather, send])
DEFINITIONS = [dict(tool.definition) for tool in TOOLS]
GRAZ = ("weather", '{"city": "Graz", "days": 2}')


def asking(id: str, *wanted: tuple[str, str], earlier: tuple[Receipt, ...] = ()) -> Receipt:
    """A call whose answer asks for these functions; it is another round after ``earlier``."""
    signed_calls = [
        {"id": f"{id}{place}", "type": "function", "function": {"name": name, "arguments": text}}
        for place, (name, text) in enumerate(wanted)
    ]
    messages = after(earlier) if earlier else [{"role": "user", "content": PROMPT}]
    asked = {"messages": messages, "tools": DEFINITIONS}
    body = {"model": "gpt-5", "temperature": 0.0, "stream": True, **asked}
    text = json.dumps(signed_calls, sort_keys=True)
    fragments = tuple({"index": n, **call} for n, call in enumerate(signed_calls))
    raw = signing.stream(signing.signer(), body, pieces=(), fragments=fragments, output=text)
    response = signing.evidence(raw, body).response
    return said(
        id,
        name=None,
        thread=Thread(None, tuple(map(entry, earlier))),
        messages=messages,
        cell=ASKED,
        asked={"tools": DEFINITIONS},
        change=lambda evidence: replace(evidence, response=response),
    )


def after(earlier: tuple[Receipt, ...]) -> list[Any]:
    """The messages of the round after these."""
    document = earlier[-1].document
    call = answer_message(document)
    assert call is not None
    results = [
        {"role": "tool", "tool_call_id": one["id"], "content": "2 sunny days"}
        for one in call["tool_calls"]
    ]
    return [*messages_of(document), call, *results]


def answering(id: str, *earlier: Receipt) -> Receipt:
    """The last round."""
    return said(
        id,
        name=None,
        thread=Thread(None, tuple(map(entry, earlier))),
        messages=after(earlier),
        cell=ASKED,
        asked={"tools": DEFINITIONS},
    )


def lines_of(receipt: Receipt) -> list[str]:
    """The calls of an answer as the question of its round shows them."""
    wanted = calls.read_calls(receipt.document["response"]["tool_calls"])
    assert wanted is not None
    by_name = {tool.name: tool for tool in TOOLS}
    shown = []
    for call in wanted:
        tool = by_name.get(call.name)
        try:
            read = None if tool is None else tool.read(call.arguments)
            problem = misfit.NO_TOOL if tool is None else None
        except Exception as refused:
            read, problem = None, str(refused)
        shown.append(str(Wanted(*call, tool, read, problem)))
    return shown


def typed(receipt: Receipt, answer: str = " y", change: tuple[str, str] | None = None) -> Any:
    """A question with what was typed below it, as JupyterLab saves it."""
    text = f"{calls.question(lines_of(receipt))}{answer}\n"
    if change is not None:
        assert change[0] in text, (change, text)
        text = text.replace(*change)
    return {**stream(text), "name": "stdin"}


def shown(receipt: Receipt) -> dict[str, Any]:
    return output(receipt_bundle(receipt, show_text=True))


def error(problem: CallFailed, **more: Any) -> dict[str, Any]:
    """An error as a kernel sends it."""
    return {
        "output_type": "error",
        "ename": type(problem).__name__,
        "evalue": str(problem),
        "traceback": problem._render_traceback_(),
        **more,
    }


def one(
    title: str, *outputs: Any, finds: tuple[str, ...], passes: bool = False, source: str = ASKED
) -> NotebookCase:
    return NotebookCase(f"implied: {title}", notebook(cell(source, *outputs)), finds, passes)


def questions() -> Iterator[NotebookCase]:
    first = asking("1CAAAAAAAA", GRAZ)
    last = answering("1CBBBBBBBB", first)
    honest = (shown(first), typed(first), shown(last))
    yield one("a round with its question", *honest, finds=(NOTE,), passes=True)
    for answer in ("y", " YES", "   Yes "):
        asked = typed(first, answer)
        title = f"a round, {answer!r} typed"
        yield one(title, shown(first), asked, shown(last), finds=(NOTE,), passes=True)
    as_lines = {**typed(first), "text": typed(first)["text"].splitlines(keepends=True)}
    title = "a question in lines"
    yield one(title, shown(first), as_lines, shown(last), finds=(NOTE,), passes=True)
    second = asking(
        "1CCCCCCCCC", ("send", '{"to": "Ada", "text": "2 sunny days"}'), earlier=(first,)
    )
    third = answering("1CDDDDDDDD", first, second)
    rounds = (shown(first), typed(first), shown(second), typed(second), shown(third))
    yield one("two rounds with their questions", *rounds, finds=(NOTE,), passes=True)
    several = asking(
        "1CEEEEEEEE", GRAZ, ("weather", '{"city": 3}'), ("erase", '{"all": true}'), ("send", "{")
    )
    result = answering("1CFFFFFFFF", several)
    title = "calls that do not run"
    yield one(title, shown(several), typed(several), shown(result), finds=(NOTE,), passes=True)
    hidden = (NOTE, QUESTION)
    for title, change in {
        "another city": ("Graz", "Linz"),
        "another number": ("days=2", "days=20"),
        "another function": ("weather(", "send("),
        "a call less": ('  weather(city="Graz", days=2)\n', ""),
        "a call more": ("\nRun it", '\n  send(to="Eve", text="all")\nRun it'),
        "more words": ("\nRun it", "\n561 is prime.\nRun it"),
        "another end": ("Run it? [y/N]", "561 is prime. Run it? [y/N]"),
        "not run": ("days=2)", "days=2): not run, there is no such tool"),
        "letters that change the order": ("Graz", "\u202ezarG"),
    }.items():
        forged = typed(first, change=change)
        yield one(f"question: {title}", shown(first), forged, shown(last), finds=hidden)
    runs = (": not run, there is no such tool", "")
    forged = typed(several, change=runs)
    title = "question: a function that is none seems to run"
    yield one(title, shown(several), forged, shown(result), finds=hidden)
    imitated = stream(typed(first)["text"])
    yield one("question: printed", shown(first), imitated, shown(last), finds=hidden)
    no = typed(first, "n")
    yield one("question: a no, and results", shown(first), no, shown(last), finds=hidden)
    yield one("question: swapped receipts", shown(last), typed(first), shown(first), finds=hidden)
    moved = (shown(first), shown(last), typed(first))
    yield one("question: below another receipt", *moved, finds=hidden)
    beside = (BESIDE, NOTE)
    lacks = (shown(first), typed(first), shown(third))
    missing = (*beside, "2: note thread-missing")
    yield one("question: a round is missing", *lacks, finds=missing)
    yield one("question: nothing comes after a yes", shown(first), typed(first), finds=(BESIDE,))
    other = typed(first, " y\n561 is prime.")
    yield one("question: more below it", shown(first), other, shown(last), finds=beside)
    other = typed(first, " certainly")
    yield one("question: another word typed", shown(first), other, shown(last), finds=beside)
    more = {**typed(first), "metadata": {"isolated": True}}
    yield one("question: an output with more", shown(first), more, shown(last), finds=beside)
    yield one("question: without a receipt", typed(first), shown(last), finds=missing)


def shown_calls() -> Iterator[NotebookCase]:
    """A display of calls as a person reads them, and as it was before that."""
    strange = ("weather", '{"city": "<b>שלום</b> $x$ ~~~\\n\\u202e", "days": 1e2}')
    first = asking("1GAAAAAAAA", GRAZ, strange, ("no name", "{}"))
    bundle = receipt_bundle(first, show_text=True)
    assert "card 3 of calls" in bundle["text/plain"]
    assert bundle["text/plain"].startswith('weather(city="Graz", days=2)\n')
    yield one("calls shown", output(bundle), finds=(), passes=True)
    former = {**bundle, **third.face(first, show=True)}
    assert former["text/plain"].startswith("[{")
    yield one("calls shown as they were signed", output(former), finds=(), passes=True)
    hidden = receipt_bundle(first)
    yield one("calls not shown", output(hidden), finds=(), passes=True)
    for type in ("text/plain", "text/markdown", "text/html"):
        assert "Graz" in bundle[type]
        forged = {**bundle, type: bundle[type].replace("Graz", "Linz", 1)}
        yield one(f"calls, {type}: another city", output(forged), finds=("2: failed shown-text",))
    html = bundle["text/html"]
    raw = html[: html.rindex("Graz")] + "Linz" + html[html.rindex("Graz") + 4 :]
    assert raw != html.replace("Graz", "Linz", 1)
    forged = {**bundle, "text/html": raw}
    yield one("calls, text/html: signed otherwise", output(forged), finds=("2: failed shown-text",))
    forged = {**bundle, "text/plain": bundle["text/plain"].replace("All 7", "All 8", 1)}
    assert forged != bundle
    yield one("calls, text/plain: another count", output(forged), finds=("2: failed shown-card",))
    other = {**bundle, "text/plain": former["text/plain"]}
    yield one("calls, in two forms", output(other), finds=("2: failed shown-text",))
    free = {**bundle, **settled_bundle(settled(None, first, first.cost), receipt=first,
                                       show_text=True)}  # fmt: skip
    assert "of calls in words" in free["text/plain"]
    yield one("calls, a card in words", output(free), finds=(WORDS,))


def results() -> Iterator[NotebookCase]:
    """What a function returned stands in the next request."""
    first = asking("1DAAAAAAAA", GRAZ)
    honest = after((first,))
    changed = [*honest[:-1], {**honest[-1], "content": "561 is prime"}]
    last = answering("1DBBBBBBBB", first)
    body = json.loads(last.document["request"]["body"])
    request = {**last.document["request"], "body": json.dumps({**body, "messages": changed})}
    altered = Receipt({**last.document, "request": request})
    finds = ("2: failed altered", NOTE)
    yield one("another result", shown(first), typed(first), shown(altered), finds=finds)
    other = [*honest[:1], {**honest[1], "tool_calls": [signing.TOOL_CALL]}, *honest[2:]]
    forged = said(
        "1DCCCCCCCC",
        name=None,
        thread=Thread(None, (entry(first),)),
        messages=other,
        cell=ASKED,
        asked={"tools": DEFINITIONS},
    )
    finds = (NOTE, "2: failed thread-differs")
    yield one("a result of another call", shown(first), typed(first), shown(forged), finds=finds)


def stops() -> Iterator[NotebookCase]:
    first = asking("1EAAAAAAAA", GRAZ)

    def stopped(
        why: str, receipt: Receipt = first, charge: str = "claimed", hint: str | None = None
    ) -> ToolsStopped:
        message = calls.stopped(receipt.id, why)
        return ToolsStopped(message, charge=charge, receipt_id=receipt.id, hint=hint)

    nobody = error(stopped(calls.NOBODY, hint=calls.UNASKED))
    yield one("stopped where nobody can be asked", shown(first), nobody, finds=(), passes=True)
    no = error(stopped(calls.NOT_CONFIRMED))
    asked = typed(first, "")
    yield one("stopped after a no", shown(first), asked, no, finds=(NOTE,), passes=True)
    one_round = error(stopped(calls.still_asks(1)))
    yield one("stopped after one round", shown(first), one_round, finds=(), passes=True)
    for title, problem in {
        "of more rounds": stopped(calls.still_asks(7)),
        "that was not": stopped(calls.TOO_LONG),
        "in other words": stopped("561 is prime"),
        "with another hint": stopped(calls.NOBODY, hint="561 is prime"),
        "that cost nothing": stopped(calls.NOT_CONFIRMED, charge="not charged"),
    }.items():
        yield one(f"stopped: an end {title}", shown(first), error(problem), finds=(ERROR,))
    last = answering("1EBBBBBBBB", first)
    of_last = error(stopped(calls.NOT_CONFIRMED, last))
    finds = (NOTE, ERROR)
    yield one("stopped: no call was asked for", shown(first), shown(last), of_last, finds=finds)


def asked_for(
    id: str, schema: str, text: str, format: str | None = None
) -> tuple[str, Receipt, ShapeMismatch]:
    """A cell that asks for a shape, the receipt of an answer that has another, and its error."""
    line = f'%%opg --schema "{schema}"' + (f" -f {format}" if format else "")
    if not schema:
        line = f"%%opg -f {format}"
    source = f"{line}\n{PROMPT}"
    named = shapes.resolve_words(schema, format=format, namespace={}) if schema else None
    shape = shapes.wanted(named, format)  # type: ignore[arg-type]
    assert shape is not None
    receipt = signed(id=id, text=text, cell=source, asked=shape.asked())
    try:
        shape.fit(receipt.answer())
    except ShapeMismatch as problem:
        return source, receipt, problem
    raise AssertionError(f"{text} fits {schema}")


#: schema, answer: each is told in words that follow from them.
MISFITS = [
    ("title, year int", '{"title": "M", "year": "long ago"}'),
    ("title, year int", '{"title": "M"}'),
    ("title, year int", '{"title": 3, "year": 1.5, "more": [], "and": null, "others": {}}'),
    ("title, year int", "[1]"),
    ("title, year int", "I cannot say."),
    ("title, year int", ""),
    ("title, year int", '{"title": "M", "year": '),
    ("title, year int", '{"title": "M", "title": "N", "year": 1}'),
    ("title, year int", '{"title": "M", "year": NaN}'),
    ("title, year int", '```json\n{"title": "M", "year": "x"}\n```'),
    ("title, year int", '~~~\n{"title": "M", "year": "x"}\n~~~~\n\nand so on'),
    ("title, year int", "```json\n{}\n```\n```\n{}\n```"),
    ("title, year int", "```python\n{}\n```"),
    ("mood good|bad, sure bool", '{"mood": "ugly", "sure": "yes"}'),
    ("tags list[int], note?", '{"tags": [1, "two", 3.5, true], "note": 7}'),
    ("[a int]", '{"items": [{"a": 1}, {"a": "x"}, {"b": 2}, 3]}'),
    ("[a int]", '[{"a": 1}, {"a": "x"}]'),
    ("name str", '{"name": "a", "שם": "b", "a\\u202eb": 1, "\\n": 2}'),
    ("name str", json.dumps({"name": "a", "k" * 300: 1})),
    ("x float?", '{"x": "NaN"}'),
]


def misfits() -> Iterator[NotebookCase]:
    for place, (schema, text) in enumerate(MISFITS):
        source, receipt, problem = asked_for(f"1F{place:08}", schema, text)
        assert problem.message.startswith(misfit.IN_WORDS) is False, problem.message
        title = f"misfit {place}: {schema}"
        outputs = (shown(receipt), error(problem))
        yield one(title, *outputs, finds=(), passes=True, source=source)
    source, receipt, problem = asked_for("1FAAAAAAAA", "", "No.", "json")
    outputs = (shown(receipt), error(problem))
    yield one("misfit: no JSON", *outputs, finds=(), passes=True, source=source)
    source, receipt, problem = asked_for("1FBBBBBBBB", *MISFITS[0])
    again = ShapeMismatch(
        problem.message, hint=FROM_LEDGER, charge=problem.charge, receipt_id=problem.receipt_id
    )
    outputs = (shown(receipt), error(again))
    yield one("misfit: out of the ledger", *outputs, finds=(), passes=True, source=source)
    yield from forged(source, receipt, problem)


#: schema, answer: each is shown as a table above its card.
TABLES = [
    ("title, year int", {"items": [{"title": "M", "year": 1931}, {"title": "<b>$x$", "year": 7}]}),
    ("title, year int", [{"title": "שלום", "year": 1}, {"year": 20, "title": "a\n\u202eb | c"}]),
    ("x float?, ok bool", {"items": [{"x": 1e22, "ok": True}, {"x": None, "ok": False}]}),
    ("tags list[str], a?", {"items": [{"tags": ['"', "é⏎"], "a": None}, {"tags": [], "a": "x"}]}),
    ("n int", {"items": [{"n": place} for place in range(61)]}),
    ("name str", {"items": [{"name": "k" * 400}]}),
    ("name str", {"items": []}),
]


def formats() -> Iterator[NotebookCase]:
    """The answer above its card: as a table, or as its exact text."""
    for place, (schema, data) in enumerate(TABLES):
        source = f'%%opg --schema "{schema}" -f df\n{PROMPT}'
        shape = shapes.wanted(shapes.resolve_words(schema, format="df"), "df")
        assert shape is not None
        text = json.dumps(data, ensure_ascii=place % 2 == 0)
        receipt = signed(id=f"1H{place:08}", text=text, cell=source, asked=shape.asked())
        assert shape.fit(receipt.answer()).data is not None
        found = shapes.rows_in(shape.response_format, text)
        assert found is not None
        table = table_bundle(*found)
        card = output(receipt_bundle(receipt))
        title = f"table {place}: {schema}"
        yield one(title, output(table), card, finds=(), passes=True, source=source)
        if place:
            continue
        for type, was in (("text/plain", "1931"), ("text/html", "1931"), ("text/html", "title")):
            other = {**table, type: table[type].replace(was, "1932", 1)}
            title = f"table, forged: {was} in {type}"
            yield one(title, output(other), card, finds=(BESIDE,), source=source)
        lacks = {"text/html": table["text/html"]}
        yield one("table: no text", output(lacks), card, finds=(BESIDE,), source=source)
        more = {**table, "text/markdown": "561 is prime"}
        yield one("table: more types", output(more), card, finds=(BESIDE,), source=source)
        apart = output(table, metadata={"isolated": True})
        yield one("table: isolated", apart, card, finds=(BESIDE,), source=source)
        yield one("table: below its card", card, output(table), finds=(BESIDE,), source=source)
        twice = (output(table), output(table), card)
        yield one("table: twice", *twice, finds=(), passes=True, source=source)
        result = output(table, output_type="execute_result", execution_count=1)
        yield one("table: as a result", result, card, finds=(BESIDE,), source=source)
    source = f"%%opg -f text\n{PROMPT}"
    for place, text in enumerate(("*561* is `not` prime", "<b>$x$</b>\n\n~~~~\n\u202e", "שלום 12")):
        receipt = signed(id=f"1J{place:08}", text=text, cell=source)
        exact = text_bundle(receipt.answer())
        card = output(receipt_bundle(receipt))
        title = f"text {place}"
        yield one(title, output(exact), card, finds=(), passes=True, source=source)
        other = {**exact, "text/markdown": exact["text/markdown"].replace("561", "563") + " "}
        title = f"text {place}, forged"
        yield one(title, output(other), card, finds=(BESIDE,), source=source)
    failed = signed(id="1KAAAAAAAA", change=altered, cell=source)
    assert failed.withheld
    signed_text = failed.document["response"]["text"]
    exact = text_bundle(replace(receipt.answer(), text=signed_text))
    yield one("text: of an answer that was withheld", output(exact),
              output(receipt_bundle(failed)), finds=(BESIDE,), source=source)  # fmt: skip


def forged(source: str, receipt: Receipt, problem: ShapeMismatch) -> Iterator[NotebookCase]:
    honest = error(problem)
    said = problem._render_traceback_()[0]
    for title, change in {
        "another word": {"evalue": str(problem).replace("year", "title")},
        "another word in the text": {"traceback": [said.replace("year", "title")]},
        "both": {
            "evalue": str(problem).replace("year", "title"),
            "traceback": [said.replace("year", "title")],
        },
        "more words": {"traceback": [f"{said}\n561 is prime."]},
        "another line": {"traceback": [said, "561 is prime."]},
        "another charge": {"traceback": [said.replace("claimed", "not charged")]},
        "another receipt": {"traceback": [said.replace("1FBB", "1FCC")]},
        "no text": {"traceback": []},
        "more keys": {"text": "561 is prime"},
    }.items():
        outputs = (shown(receipt), {**honest, **change})
        yield one(f"misfit, forged: {title}", *outputs, finds=(ERROR,), source=source)
    fits = signed(
        id="1FDDDDDDDD",
        text='{"title": "M", "year": 1931}',
        cell=source,
        asked=shapes.wanted(shapes.resolve_words("title, year int"), None).asked(),  # type: ignore[union-attr]
    )
    invented = ShapeMismatch(problem.message, charge=problem.charge, receipt_id=fits.id)
    outputs = (shown(fits), error(invented))
    yield one("misfit, forged: the answer fits", *outputs, finds=(ERROR,), source=source)
    yield one("misfit: above its receipt", error(problem), shown(receipt), finds=(BESIDE,),
              source=source)  # fmt: skip
    source, receipt, problem = asked_for("1FEEEEEEEE", "day date", '{"day": "tomorrow"}')
    assert problem.message.startswith(misfit.IN_WORDS), problem.message
    outputs = (shown(receipt), error(problem))
    yield one("misfit: in a library's words", *outputs, finds=(WORDS,), source=source)
    lines = ShapeMismatch(
        f"{problem.message}\n561 is prime.", charge=problem.charge, receipt_id=receipt.id
    )
    outputs = (shown(receipt), error(lines))
    yield one("misfit, forged: a line more", *outputs, finds=(ERROR,), source=source)
    other = {**error(problem), "ename": "AnswerWithheld"}
    yield one("misfit: another error", shown(receipt), other, finds=(BESIDE,), source=source)


def refused(receipt: Receipt, *, below_its_card: bool = True) -> AnswerWithheld:
    """The error of a withheld answer."""
    verdict = receipt.verdict_at_creation
    assert verdict is not None and verdict.withheld
    problem = AnswerWithheld(
        verdict.withheld_because,
        hint=read_all_the_same(receipt.id),
        charge=receipt.cost.charge,
        receipt_id=receipt.id,
    )
    problem.shown = below_its_card
    return problem


def withheld() -> Iterator[NotebookCase]:
    """A withheld answer, and the error that ends its cell."""
    source = f"%%opg\n{PROMPT}"
    failed = signed(id="1NAAAAAAAA", change=altered, cell=source)
    card, honest = output(receipt_bundle(failed)), error(refused(failed))
    assert "the response check failed: " in honest["evalue"]
    yield one("withheld: its error", card, honest, finds=(), source=source)
    seen: list[Evidence] = []

    def without_registry(evidence: Evidence) -> Evidence:
        seen.append(replace(evidence, registry=None))
        return seen[-1]

    signed(change=without_registry)
    verdict = judge(seen[0], policy=STRICT, trust=signing.live())
    strict = signed(id="1NBBBBBBBB", cell=source, change=without_registry, verdict=verdict)
    of_strict = refused(strict)
    assert of_strict.message.startswith("answer withheld under policy strict: "), of_strict
    outputs = (output(receipt_bundle(strict)), error(of_strict))
    yield one("withheld: missing evidence", *outputs, finds=(), source=source)
    for title, other in {
        "another reason": {"evalue": honest["evalue"].replace("response", "request")},
        "another word below it": {"traceback": [honest["traceback"][0].replace("the", "The", 1)]},
        "a line more": {"traceback": [*honest["traceback"], "561 is prime"]},
        "another receipt": {"traceback": [honest["traceback"][0].replace("1NAA", "1NBB")]},
        "more keys": {"text": "561 is prime"},
        "not below its card": error(refused(failed, below_its_card=False)),
    }.items():
        outputs = (card, {**honest, **other})
        yield one(f"withheld, otherwise: {title}", *outputs, finds=(BESIDE,), source=source)
    for number, (title, words) in enumerate({
        "lines of its own": "the text differs\nVERIFIED: 561 is prime",
        "more than the card tells": "the text differs " * 20,
        "a mark that turns the text around": "the text differs\u202e",
    }.items()):  # fmt: skip
        document = json.loads(failed.to_json())
        for claim in document["checked"]["claims"]:
            if claim["name"] == "response":
                claim["reason"] = words
        invented = Receipt.from_document(redigested({**document, "id": f"1P{number:08}"}))
        outputs = (output(receipt_bundle(invented)), error(refused(invented)))
        title = f"withheld, forged: {title}"
        yield one(title, *outputs, finds=(BESIDE,), source=source)
    document = json.loads(strict.to_json())
    document["checked"]["policy"] = "strict, as 561 is prime"
    invented = Receipt.from_document(redigested({**document, "id": "1PAAAAAAAA"}))
    outputs = (output(receipt_bundle(invented)), error(refused(invented)))
    yield one("withheld, forged: a policy", *outputs, finds=(BESIDE,), source=source)
    above = (honest, card)
    yield one("withheld: above its card", *above, finds=(BESIDE,), source=source)
    good = signed(id="1NAAAAAAAA", cell=source)
    outputs = (shown(good), honest)
    yield one("withheld, forged: a good answer", *outputs, finds=(BESIDE,), source=source)


def all_implied() -> Iterator[NotebookCase]:
    for part in (questions, shown_calls, results, stops, misfits, formats, withheld):
        yield from part()
