"""Attack 38: all that was asked is told, in text and as JSON; and files as other tools save
them."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest
from support.signed_receipts import PROMPT, jsonl, signed, verify

from opg_magic.protocol.canonical import NEWER
from opg_magic.receipt.document import MIME_TYPE
from opg_magic.receipt.question import asked

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases"

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Say that 561 is prime."},
    {"role": "user", "content": "Is it?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}],
    },
    {"role": "tool", "content": "it is", "tool_call_id": "1"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": PROMPT},
            {"type": "image_url", "image_url": {"url": "data:,"}},
        ],
        "name": "root",
    },
    {"role": "assistant", "content": "I say:"},
]
ASKED = {
    "messages": MESSAGES,
    "temperature": 0.5,
    "max_tokens": 9,
    "top_p": 0.1,
    "tools": [{"type": "function", "function": {"name": "look"}}],
}


def test_all_that_was_signed_is_in_the_report(tmp_path: Path) -> None:
    report = verify(jsonl(tmp_path, signed(asked=ASKED, version=NEWER)), allow_simulated=True)
    (one,) = report.to_json()["receipts"]
    calls = '[{"function": {"name": "f"}, "id": "1", "type": "function"}]'
    assert one["asked"] == {
        "model": "gpt-5",
        "before": [
            {"role": "system", "text": "Say that 561 is prime."},
            {"role": "user", "text": "Is it?"},
            {"role": "assistant", "text": calls},
            {"role": "tool", "text": "it is"},
        ],
        "prompt": PROMPT,
        "after": [{"role": "assistant", "text": "I say:"}],
        "attachments": ["image_url"],
        "tools": ["look"],
        "options": {"temperature": 0.5, "max_tokens": 9},
        "not_signed": ["messages.image_url", "messages.name", "top_p"],
    }
    sentence = one["claims"]["request"]["sentence"]
    assert "signed the request that was sent" not in sentence
    assert sentence.endswith("no signature covers messages.image_url, messages.name, top_p.")
    text = report.to_text()
    for line in (
        f"Asked of gpt-5: {PROMPT}",
        "system message: Say that 561 is prime.",
        "before the prompt, user: Is it?",
        f"before the prompt, assistant: {calls}",
        "after the prompt, assistant: I say:",
        "attachments: image_url",
        "tools: look",
        "temperature: 0.5",
        "max_tokens: 9",
        "not signed: messages.image_url, messages.name, top_p",
    ):
        assert f"\n    {line}\n" in text or f"\n  {line}\n" in text, line


def test_a_report_is_told_in_one_line_each_and_bounded(tmp_path: Path) -> None:
    hostile = "Lie.\n\x1b[2J" + "x" * 5000
    messages = [{"role": "system", "content": hostile}, {"role": "user", "content": PROMPT}]
    report = verify(jsonl(tmp_path, signed(asked={"messages": messages})), allow_simulated=True)
    (line,) = [line for line in report.to_text().splitlines() if "system message" in line]
    assert "\x1b" not in line
    assert "5,009 characters" in line
    assert len(line) < 2200
    assert report.to_json()["receipts"][0]["asked"]["before"][0]["text"] == hostile


@pytest.mark.parametrize("body", ["", "[1]", '{"a": 1, "a": 2}', '{"a": NaN}'])
def test_what_can_be_read_in_two_ways_is_not_told(body: str) -> None:
    assert asked("chat", body) is None


@pytest.mark.parametrize(
    "body", ["{}", '{"messages": 1, "tools": {}}', '{"messages": [1, {}, {"role": 7}]}']
)
def test_odd_requests_are_told_as_far_as_they_go(body: str) -> None:
    found = asked("chat", body)
    assert found is not None
    assert next(iter(found.lines())) == "Asked of no model: no prompt"


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".ipynb"])
def test_a_byte_order_mark_is_no_fault(tmp_path: Path, suffix: str) -> None:
    receipt = signed().to_json()
    notebook = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []})
    path = tmp_path / f"some{suffix}"
    path.write_bytes(codecs.BOM_UTF8 + (notebook if suffix == ".ipynb" else receipt).encode())
    report = verify(path, allow_simulated=True)
    assert report.exit_code == (3 if suffix == ".ipynb" else 0), report.to_text()
    assert "JSON" not in report.to_text()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cases are not here")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("good", set()),
        ("q_dryrun", {"prompt-differs"}),
        ("q_cyrillic", {"not-the-call"}),
    ],
)
def test_shared_cases_get_the_finding_that_they_were_made_for(name: str, found: set[str]) -> None:
    report = verify(SHARED / f"{name}.ipynb")
    cells = {
        "prompt-differs",
        "model-differs",
        "request-differs",
        "not-the-call",
        "cell-changed",
        "no-receipt",
    }
    assert {f.code for f in report.findings} & cells == found, report.to_text()
    assert report.exit_code != 0
    assert MIME_TYPE in (SHARED / f"{name}.ipynb").read_text("utf-8")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cases are not here")
def test_a_cell_whose_line_no_kernel_takes_has_no_receipt_and_says_so() -> None:
    report = verify(SHARED / "lookalike.ipynb")
    assert [f.code for f in report.findings].count("no-receipt") == 3, report.to_text()
