"""A notebook's cell: whether it is a ``%%opg`` call, and whether it is the one that a receipt answers."""

from __future__ import annotations

import re
import shlex
from typing import Any

from opg_magic.receipts.receipt import Receipt, signed_prompt, source_sha256
from opg_magic.receipts.report import Level


def joined(value: Any) -> str | None:
    """Text as notebooks hold it: a string, or a list of lines; None of what is neither."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "".join(value)
    return value if isinstance(value, str) else None


def asks(source: str) -> bool:
    """Whether a cell is a ``%%opg`` call: not its help, and not a dry run, which pay nothing."""
    first = source.lstrip().partition("\n")[0]
    if re.match(r"%%opg(\s|$)", first) is None:
        return False
    words = magic_line(source)
    return not {"--dry-run", "--help", "-h"} & set(words)


def magic_line(source: str) -> list[str]:
    line = source.lstrip().partition("\n")[0].removeprefix("%%opg")
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def magic_body(source: str) -> str:
    return source.lstrip().replace("\r\n", "\n").partition("\n")[2]


def option(words: list[str], *names: str) -> str | None:
    for index, word in enumerate(words):
        name, found, value = word.partition("=")
        if name in names:
            return value if found else (words[index + 1] if index + 1 < len(words) else None)
    return None


def fills(template: str, text: str) -> bool:
    """Whether ``text`` can be ``template`` with each ``{{name}}`` filled in: its fixed parts, in order."""
    parts = re.split(r"\{\{\s*\w+\s*\}\}", template.strip())
    text = text.strip()
    if len(parts) == 1:
        return parts[0] == text
    first, *middle, last = parts
    # A value at either end may bring white space of its own.
    if not text.startswith(first.lstrip()) or not text.endswith(last.rstrip()):
        return False
    position, end = len(first.lstrip()), len(text) - len(last.rstrip())
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return position <= end


def cell_fault(cell: str, receipt: Receipt) -> tuple[Level, str, str] | None:
    """Why this cell, a call, is not the one that the receipt answers: level, code and words; None if it is."""
    line, body = magic_line(cell), magic_body(cell)
    d = receipt.document
    signed = signed_prompt(d["request"]["kind"], d["request"]["body"])
    if signed is not None:
        fits = fills(body, signed) if "--vars" in line else body.strip() == signed.strip()
        if not fits:
            return "failed", "prompt-differs", "The prompt in the cell is not the one that this answer was given to."
    asked = option(line, "--model")
    sent = d["request"]["model_sent"]
    if asked and sent and asked.rpartition("/")[2] != sent.rpartition("/")[2]:
        return "failed", "model-differs", f"The cell asks for {asked}; {sent} was asked."
    if d["prompt"]["source_sha256"] not in (None, source_sha256(cell)):
        return "incomplete", "cell-changed", "The cell was changed after the call (its prompt was not)."
    return None
