"""The receipts of a table's calls: in the output of its cell, or named there and in another file.

A table's answers do not stand in that output, so all that is compared is its text, which is made
anew; which row got which answer is nowhere in the notebook, and the note says so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from opg_magic.audit import words
from opg_magic.audit.displays import form_faults
from opg_magic.audit.findings import Level
from opg_magic.audit.notebook import Display
from opg_magic.audit.sources import joined
from opg_magic.errors import UnreadableReceipt
from opg_magic.receipt import table
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face.figures import money
from opg_magic.receipt.face.table import table_text

#: What a line of figures says of its cost, and of answers that it did not pay for.
_COST = re.compile(r" · cost ([0-9]+)(?:\.([0-9]+))? ([A-Za-z0-9-]+) of at most ")
_UNPAID = re.compile(r" · ([0-9,]+) (?:from the ledger|on record do not fit)")

_TYPES = ("text/plain", table.MIME_TYPE)


class Reader(Protocol):
    """What reads receipts and takes findings."""

    only: str | None

    def read(self, text: Any, where: str) -> Receipt | None: ...

    def say(
        self, level: Level, code: str, message: str, where: str | None = None, id: str | None = None
    ) -> None: ...


class Elsewhere:
    """The receipts of a second file, by the digest that each had when it was made: all versions of
    it, or a forged one could hide behind an honest one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._versions: dict[str, dict[str, Receipt]] = {}
        self._named: set[str] = set()

    def add(self, receipt: Receipt) -> None:
        """Take a receipt of the file."""
        versions = self._versions.setdefault(receipt.original().computed_digest, {})
        versions.setdefault(_key(receipt), receipt)

    def take(self, digests: Iterable[str]) -> dict[str, Receipt]:
        """Those that a notebook names, each version by what it is."""
        named = [one for one in digests if one in self._versions]
        self._named.update(named)
        return {key: receipt for one in named for key, receipt in self._versions[one].items()}

    @property
    def others(self) -> list[Receipt]:
        """Those that it has not named."""
        return [
            receipt
            for digest, versions in self._versions.items()
            if digest not in self._named
            for receipt in versions.values()
        ]


def read_table(
    display: Display, audit: Reader, where: str, elsewhere: Elsewhere | None
) -> list[Receipt] | None:
    """Its receipts, each once, with what is to be said of them together; None if nothing in it
    can be read."""
    try:
        found = table.read(display.bundle[table.MIME_TYPE])
    except UnreadableReceipt as error:
        audit.say("note" if audit.only else "unreadable", "unreadable", error.message, where)
        return None
    receipts: dict[str, Receipt] = {}
    if found.receipts is None:
        receipts = _from_elsewhere(found, audit, where, elsewhere)
    else:
        receipts = _from_here(found.receipts, audit, where)
    if audit.only is not None:
        return [*receipts.values()]
    text = joined(display.bundle.get("text/plain"))
    of_text = None if found.receipts is None else [*receipts.values()]
    if text != table_text(found.counts, of_text, len(found.digests)):
        message = "The text that the cell shows is not the one of the receipts in it."
        audit.say("failed", "shown-card", message, where)
    for level, code, message in form_faults(display, _TYPES):
        audit.say(level, code, message, where)
    # Of those that are named and not here, something is said already.
    calls = _calls(receipts.values())
    held = len(found.digests) if found.receipts is None else len(calls)
    lacking = found.counts.prompts - held
    if lacking > 0:
        message = (
            f"{lacking:,} of {found.counts.prompts:,} prompts have no receipt here: nobody signed "
            "what a table shows for them."
        )
        audit.say("incomplete", "rows-without-receipt", message, where)
    least = _cost_left_out(found.counts.figures, calls)
    if least is not None:
        message = (
            "The author's figures tell of a lower cost than the receipts here: these come to "
            f"{least} at least."
        )
        audit.say("incomplete", "table-cost", message, where)
    if receipts:
        message = (
            f"A table's {len(calls):,} receipts. Which row got which answer is not in them, and "
            "tables that other cells show were not compared."
        )
        audit.say("note", "table", message, where)
    if found.receipts is not None and not receipts:
        return None
    return [*receipts.values()]


def _key(receipt: Receipt) -> str:
    """What a receipt is: what a document states of its own digest makes another one of it."""
    return f"{receipt.computed_digest} {receipt.digest}"


def _from_here(documents: Iterable[Any], audit: Reader, where: str) -> dict[str, Receipt]:
    found: dict[str, Receipt] = {}
    for document in documents:
        if isinstance(document, UnreadableReceipt):
            audit.say("note" if audit.only else "unreadable", "unreadable", document.message, where)
            continue
        receipt = audit.read(document, where)
        if receipt is None:
            continue
        key = _key(receipt)
        if key in found and audit.only is None:
            audit.say("incomplete", "twice", words.TWICE_IN_TABLE, where, receipt.id)
        found.setdefault(key, receipt)
    return found


def _calls(receipts: Iterable[Receipt]) -> list[Receipt]:
    """One receipt for each call: others are later versions of it."""
    return [*{one.original().computed_digest: one for one in receipts}.values()]


def _from_elsewhere(
    named: table.TableReceipts, audit: Reader, where: str, elsewhere: Elsewhere | None
) -> dict[str, Receipt]:
    found = {} if elsewhere is None else elsewhere.take(named.digests)
    lacking = len(named.digests) - len(_calls(found.values()))
    if lacking and audit.only is None:
        message = (
            f"The receipts of {lacking:,} calls are not here: ask the author for them (opg "
            "receipts export), then: opg verify NOTEBOOK FILE."
            if elsewhere is None
            else f"{elsewhere.name} lacks {lacking:,} of the {len(named.digests):,} receipts that "
            "this cell names."
        )
        audit.say("incomplete", "receipts-elsewhere", message, where)
    return found


def _cost_left_out(figures: str, receipts: Sequence[Receipt]) -> str | None:
    """What these receipts cost at least, if the line tells of less: neither is signed, but they
    cannot both be so.  Answers out of the ledger cost nothing; the dearest may be theirs."""
    told = _COST.search(figures)
    costs = [
        payment["cost"]
        for payment in (
            receipt.document["payment"]
            for receipt in receipts
            if receipt.document["response"]["problem"] is None
        )
        if payment is not None and payment["cost"] and payment["charge"] != "not charged"
    ]
    if told is None or not costs:
        return None
    token = costs[0]["token"]
    # What is in another token was not paid by this table.
    own = sorted(int(cost["amount"]) for cost in costs if cost["token"] == token)
    unpaid = sum(int(count.replace(",", "")) for count in _UNPAID.findall(figures))
    paid = own[: max(0, len(costs) - unpaid)]
    least = {"amount": str(sum(paid)), "token": token}
    fraction = (told[2] or "")[: token["decimals"]].ljust(token["decimals"], "0")
    if not paid or (told[3] == token["symbol"] and int(told[1] + fraction) >= sum(paid)):
        return None
    return money(least)
