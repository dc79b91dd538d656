"""Whole receipts, one a line: what ``opg verify`` reads."""

from __future__ import annotations

from pathlib import Path

from opg_magic.ledger.formats.interface import ChosenCalls, ExportFormat, Written


class Jsonl(ExportFormat):
    """Every receipt with all its evidence; withheld answers with their text and verdict."""

    suffix = ".jsonl"
    summary = "whole receipts, for opg verify"
    unit = "receipt"

    def write(self, calls: ChosenCalls, path: Path) -> Written:
        damaged: list[str] = []
        number = 0
        with path.open("w", encoding="utf-8", newline="\n") as out:
            for receipt in calls.receipts(damaged.append):
                out.write(receipt.to_json() + "\n")
                number += 1
        return Written(number, tuple(damaged), calls.without_receipt)
