"""Tables: the receipts of their calls in one output, honest, altered, smuggled in, cut, and made to
cost a reader time."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from corpus.notebooks import NotebookCase, cell, notebook, output, stream
from support.signed_receipts import redigested, signed

from opg_magic.display.bundle import answer_bundle
from opg_magic.models import SettlementTx
from opg_magic.receipt import table
from opg_magic.receipt.document import Receipt, supplemented
from opg_magic.receipt.face.table import table_text
from opg_magic.receipt.supplements import supplement_json

ASKED = "%%opg labels --over data\nIs {{ n }} prime?"
NOTES = ("2: note table", "2: note from-variables")
UNREAD = ("2: unreadable unreadable", "2: incomplete no-receipt")
TOLD = "3 of 3 prompts · 1 from the ledger · cost 0.02 sim-OPG of at most 0.1 sim-OPG · 1.3e+03/s"
WHOLE = table.Counts(rows=4, prompts=3, figures=TOLD)


def row(id: str, prompt: str, template: str = "Is {{ n }} prime?", **more: Any) -> Receipt:
    """A receipt as a table's calls leave it."""
    document = signed(id=id, prompt=prompt, cell=ASKED, **more).document
    told = {**document["prompt"], "template": template, "variables": ["n"]}
    return Receipt(redigested({**document, "prompt": told}))


@cache
def rows() -> tuple[Receipt, ...]:
    return tuple(row(f"1AAAAAAAA{n}", f"Is {n} prime?", text=f"{n}: yes") for n in (2, 3, 5))


def value(receipts: Sequence[Receipt], counts: table.Counts = WHOLE) -> dict[str, Any]:
    made = table.packed(receipts, counts)
    assert made is not None
    return made


def shown(
    held: dict[str, Any] | None = None,
    receipts: Sequence[Receipt] | None = None,
    counts: table.Counts = WHOLE,
    **more: Any,
) -> dict[str, Any]:
    """The output of a table's cell: honest but for what is given."""
    told = rows() if receipts is None else receipts
    bundle = {
        "text/plain": table_text(counts, told),
        table.MIME_TYPE: value(told, counts) if held is None else held,
    }
    return output({**bundle, **more.pop("types", {})}, **more)


def one(title: str, *finds: str, source: str = ASKED, **more: Any) -> NotebookCase:
    beside = more.pop("beside", ())
    document = notebook(cell(source, shown(**more), *beside))
    return NotebookCase(f"a table: {title}", document, finds, passes=set(finds) == set(NOTES))


def tables() -> Iterator[NotebookCase]:
    yield one("honest", *NOTES)
    several = "%%opg labels --over data --hosts 3 --output prime\nIs {{ n }} prime?"
    changed = "2: incomplete cell-changed"
    yield one("over several hosts, its line changed since", *NOTES, changed, source=several)
    bare = ASKED.replace("Is {{ n }} prime?", "{{ n }}")
    yield one("its cell names a column where there were words", *NOTES, changed, source=bare)
    twice = notebook(cell(ASKED, shown()), cell(ASKED, shown()))
    again = ("2: note shown-again", "3: note shown-again")
    both = (*NOTES, *(note.replace("2:", "3:") for note in NOTES), *again)
    yield NotebookCase("a table: shown by two cells", twice, both, passes=True)
    single = answer_bundle(rows()[0].answer())
    reread = notebook(cell(ASKED, shown()), cell("%opg show 1AAAAAAAA2", output(single)))
    yield NotebookCase("a table: one of its receipts shown", reread, (*NOTES, *again), passes=True)
    lone = notebook(cell(ASKED, output(single)))
    yield NotebookCase("a table: one receipt for all", lone, ("2: failed prompt-differs",))
    yield one("a stream beside", *NOTES, "2: incomplete beside", beside=(stream("all prime"),))
    python = "labels = opg_magic.map(data, 'Is {{ n }} prime?')"
    call = "2: incomplete not-the-call"
    yield one("of Python's map", "2: note table", call, source=python)
    yield one("under a single call", "2: note table", call, source="%%opg hi\nIs {{ n }} prime?")
    alike = [rows()[0]]
    few = table.Counts(1, 1, "1 of 1 prompts")
    found = ("2: note table", call)
    source = "%%opg hi\nIs 2 prime?"
    yield one("under its own single call", *found, source=source, receipts=alike, counts=few)
    lacking = table.Counts(5, 5, "3 of 5 prompts")
    yield one("prompts without a receipt", *NOTES, "2: incomplete rows-without-receipt",
              counts=lacking)  # fmt: skip


def altered() -> Iterator[NotebookCase]:
    """What is done to a receipt among others shows as if it stood alone."""
    first, *others = rows()
    edited = Receipt({**first.document, "software": "another"})
    title = "a receipt altered, its digest as it was"
    yield one(title, *NOTES, "2: failed altered", receipts=[edited, *others])
    response = {**first.document["response"], "text": "2: no"}
    signed_over = Receipt(redigested({**first.document, "response": response}))
    case = one("a receipt altered, its digest made anew", *NOTES, receipts=[signed_over, *others])
    yield replace(case, passes=False)
    foreign = row("4DDDDDDDDD", "Are 2 and 3 both prime?", "Are {{ n }} and {{ m }} both prime?")
    smuggled = [*rows(), foreign]
    yield one("a receipt of another template", *NOTES, "2: failed prompt-differs",
              receipts=smuggled)  # fmt: skip
    posing = row("4DDDDDDDDD", "Are 2 and 3 both prime?")
    found = ("2: failed prompt-differs", "2: failed template-altered")
    yield one("the same, which names this one", *NOTES, *found, receipts=[*rows(), posing])
    warmer = row("5EEEEEEEEE", "Is 7 prime?", asked={"temperature": 1.0})
    yield one("a receipt asked otherwise", *NOTES, "2: failed request-differs",
              receipts=[*rows(), warmer])  # fmt: skip
    twice = [*rows(), rows()[1]]
    yield one("a receipt twice", *NOTES, "2: incomplete twice", held=value(twice))

    open_ = SettlementTx(status="open", chain_id=8453, seen_at_block=7, rpcs=("a.example",))
    later = supplemented(rows()[0], {"payment": supplement_json(open_)})
    versions = [later, *rows()[:2]]
    found = ("2: incomplete rows-without-receipt", "2: note later-version")
    yield one("two versions of a call for two calls", *NOTES, *found, receipts=versions)

    swapped = changed('"fetched_at":"2026', '"fetched_at":"2025')
    yield one("an attestation that they share swapped", *NOTES, "2: failed altered", held=swapped)


def told(figures: str) -> table.Counts:
    return table.Counts(4, 3, f"3 of 3 prompts · {figures}")


def costs() -> Iterator[NotebookCase]:
    """The line is its author's word; what it leaves out of the cost, the receipts beside it tell.
    Each of the three cost 0.0041 sim-OPG."""
    short = "2: incomplete table-cost"
    unfit = "1 from the ledger · 1 on record do not fit"
    for figures, finds in (
        ("cost 0 sim-OPG of at most 0 sim-OPG", [short]),
        ("cost 0.0122999999999999999999 sim-OPG of at most 0.1 sim-OPG", [short]),
        ("cost 0.0123 sim-OPG of at most 0.1 sim-OPG", []),
        ("cost 5 sim-OPG of at most 10 sim-OPG", []),
        ("cost 5 OPG of at most 10 OPG", [short]),
        ("2 from the ledger · cost 0.004 sim-OPG of at most 0.1 sim-OPG", [short]),
        (f"{unfit} · cost 0.0041 sim-OPG of at most 1 sim-OPG", []),
        ("3 from the ledger · cost 0 sim-OPG of at most 0 sim-OPG", []),
        ("9,999 from the ledger · cost 0 sim-OPG of at most 0 sim-OPG", []),
        ("1 failed", []),
    ):  # fmt: skip
        yield one(f"its line tells of {figures}", *NOTES, *finds, counts=told(figures))
    nothing = told("cost 0 sim-OPG of at most 0 sim-OPG")
    yield one("its hosts charged nothing", *NOTES, receipts=free(), counts=nothing)


def free() -> list[Receipt]:
    """The same calls, of hosts that took nothing for them."""
    documents = [receipt.document for receipt in rows()]
    return [
        Receipt(redigested({**one, "payment": {**one["payment"], "charge": "not charged"}}))
        for one in documents
    ]


def forged() -> Iterator[NotebookCase]:
    """The text is made anew; the types are an allow-list."""
    honest = table_text(WHOLE, rows())
    card = "2: failed shown-card"
    for title, text in (
        ("another text", honest.replace("3 verified", "3,000 verified")),
        ("words below", honest + "\n561 is prime."),
        ("no text", None),
    ):
        yield one(title, *NOTES, card, types={"text/plain": text})
    fewer = value(rows()[:2])
    lacks = "2: incomplete rows-without-receipt"
    yield one("receipts taken out", *NOTES, card, lacks, held=fewer)
    html = {"text/html": "<b>561 is prime.</b>"}
    yield one("HTML beside", *NOTES, "2: failed other-types", types=html)
    yield one("isolated", *NOTES, "2: failed isolated", metadata={"isolated": True})


def named() -> Iterator[NotebookCase]:
    """Receipts that are elsewhere."""
    held = table.named([receipt.digest for receipt in rows()], WHOLE)
    assert held is not None
    elsewhere = "2: incomplete receipts-elsewhere"
    text = {"text/plain": table_text(WHOLE, None, 3)}
    yield one("its receipts elsewhere", elsewhere, held=held, types=text)
    more = {"text/plain": text["text/plain"].replace("Receipts: 3", "Receipts: 3,000")}
    yield one("more elsewhere than named", elsewhere, "2: failed shown-card", held=held, types=more)
    for title, digests in (("none", ""), ("a piece", base64.b64encode(b"x" * 33).decode())):
        yield one(f"digests, {title}", *UNREAD, held={**held, "digests": digests})
    counts = table.Counts(3000, 3000, TOLD.replace("3 of 3", "3,000 of 3,000"))
    few = table.named([receipt.digest for receipt in rows()], counts)
    lacks = "2: incomplete rows-without-receipt"
    text = {"text/plain": table_text(counts, None, 3)}
    yield one("few named of many prompts", elsewhere, lacks, held=few, types=text)


def unreadable() -> Iterator[NotebookCase]:
    """What cannot be read, or would cost too much, is refused; one receipt in its place."""
    good = value(rows())
    raw = base64.b64decode(good["packed"])
    for title, packed in {
        "cut": raw[:-40],
        "damaged": raw[:200] + bytes([raw[200] ^ 1]) + raw[201:],
        "more after its end": raw + b"x",
        "its sum again after its end": raw + raw[-4:],
        "twice": raw + raw,
        "a sum that is not its own": raw[:-1] + bytes([raw[-1] ^ 1]),
        "nothing packed": b"",
        "more than is unpacked": zlib.compress(b" " * (table.MOST_UNPACKED + 1), 9),
        "no parts": squeezed("{}"),
        "no UTF-8": zlib.compress(b"{}\n\n\xff"),
        "one part in very many receipts": squeezed(
            "\n".join(['{"host":{"part":0}}'] * 70) + '\n\n"' + "a" * 1_000_000 + '"'
        ),
        "too many receipts": squeezed("{}\n" * (table.MOST + 1) + "\n1"),
    }.items():
        held = {**good, "packed": base64.b64encode(packed).decode()}
        yield one(title, *UNREAD, held=held)
    for title, held in {
        "another type": {**good, "type": "opg-receipt"},
        "a version to come": {**good, "version": 2},
        "a key more": {**good, "more": 1},
        "a key less": {key: one for key, one in good.items() if key != "rows"},
        "both forms": {**good, "digests": "AAAA"},
        "a count that is none": {**good, "rows": True},
        "a count below nothing": {**good, "rows": -1},
        "a version that is a truth value": {**good, "version": True},
        "more prompts than rows": {**good, "rows": 2},
        "fewer prompts than its line tells": {**good, "prompts": 2},
        "a line that tells more prompts": {**good, "figures": TOLD.replace("3 of 3", "3 of 3,000")},
        "a line with a number that is none": {**good, "figures": TOLD.replace("3 of", ",,3 of")},
        "a line with an amount that is none": {**good, "figures": TOLD.replace("0.02", "...")},
        "figures that are words": {**good, "figures": f"{TOLD} · all verified"},
        "figures in two lines": {**good, "figures": f"{TOLD}\n"},
        "figures that are none": {**good, "figures": None},
        "not base64": {**good, "packed": good["packed"][:-1] + "*"},
        "base64 in lines": {**good, "packed": good["packed"][:76] + "\n" + good["packed"][76:]},
        "no object": [good],
    }.items():
        yield one(title, *UNREAD, held=held)

    as_floats = {**good, "rows": 4.0, "prompts": 3.0, "version": 1.0}
    yield one("counts with a point, which a browser does not see", *NOTES, held=as_floats)
    title = "a part's number with a point, which a browser does not see"
    yield one(title, *NOTES, held=changed('"host":{"part":2}', '"host":{"part":2.0}'))
    gone = value(rows(), WHOLE)
    lines = zlib.decompress(base64.b64decode(gone["packed"])).decode().partition("\n\n")
    gone["packed"] = base64.b64encode(squeezed(f"{lines[0]}\n\n1")).decode()
    none = ("2: incomplete rows-without-receipt", *UNREAD)
    text = {"text/plain": table_text(WHOLE, [])}
    yield one("receipts none of which is readable", *none, held=gone, types=text)

    left = table_text(WHOLE, rows()[1:])
    found = (*NOTES, "2: unreadable unreadable", "2: incomplete rows-without-receipt")
    host = '"host":{"part":'
    for title, was, line in (
        ("a part that is not there", host, host + "9"),
        ("a part that is no number", host, host + "0."),
        ("a part by its name", host, host + '"'),
        ("a reference elsewhere", '"id":', '"more":{"part":0},"id":'),
        ("ambiguous JSON", '"id":', '"id":"9ZZZZZZZZZ","id":'),
        ("nested too deep", '"id":', f'"more":{"[" * 9000}{"]" * 9000},"id":'),
        ("a number that cannot be", '"version":1', '"version":123456789012345678901234567890'),
        ("an empty line", None, ""),
        ("a line that is no object", None, "[1]"),
    ):
        text = {"text/plain": left}
        yield one(title, *found, held=changed(was, line), types=text)


def changed(was: str | None, now: str) -> dict[str, Any]:
    """The honest value, with words changed where they stand first; None: the first receipt."""
    good = value(rows())
    text = zlib.decompress(base64.b64decode(good["packed"])).decode()
    was = text.partition("\n")[0] if was is None else was
    assert was in text
    packed = squeezed(text.replace(was, now, 1))
    return {**good, "packed": base64.b64encode(packed).decode()}


def squeezed(text: str) -> bytes:
    return zlib.compress(text.encode(), 9)


def all_tables() -> Iterator[NotebookCase]:
    for part in (tables, altered, costs, forged, named, unreadable):
        yield from part()
