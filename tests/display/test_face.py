"""The line under an answer and what opens below it: in words, grouped, short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from support import states
from support.signed_receipts import signed

from opg_magic.display import bundle
from opg_magic.models import Basis, Claim, Status, VerdictStatus
from opg_magic.receipt import face
from opg_magic.receipt.document import Receipt


def card(receipt: Receipt) -> str:
    plain = face.face(receipt, show=True)["text/plain"]
    return plain.rpartition(" ────\n")[2]


def test_the_line_says_state_basis_and_figures_in_that_order() -> None:
    line = card(signed()).splitlines()[0]
    assert [part.split()[0] for part in line.split(" · ")] == [
        "✓",  # the state in words
        "checked",  # what it rests on
        "gpt-5",
        "host",
        "0.0041",
        "2.0",
        "[simulated",  # apart, and no part of a sentence
    ]
    assert line.startswith("✓ All 7 checks pass · checked by the author's kernel, ")


def test_opened_it_is_grouped_by_basis_and_what_is_open_comes_last() -> None:
    lines = card(signed()).splitlines()
    headings = [line.strip() for line in lines if re.match(r"  [A-Z]", line)]
    assert headings[:3] == [
        "Proven from this receipt",
        "Asked live by the author's kernel",
        "Still open",
    ]
    assert headings[3].startswith("Not known: ")


def test_opened_it_has_at_most_120_words() -> None:
    ran = Claim("weights", Status.PASSED, Basis.RE_RUN, "118 of 118 tokens are the first choice.")
    cards = (
        signed(),
        states.call()[1],
        states.call(VerdictStatus.VERIFIED, ran, simulated=True)[1],
    )
    for receipt in cards:
        assert len(re.findall(r"[\w'’.…-]*\w[\w'’.…-]*", card(receipt))) <= 120


@pytest.mark.parametrize(
    ("receipt", "state"),
    [
        (states.call(VerdictStatus.FAILED, states.TAMPERED)[1], "✗ Failed at the call"),
        (states.call(VerdictStatus.PARTIAL, states.UNATTESTED)[1], "◐ Partially verified"),
        (states.call(VerdictStatus.UNVERIFIED, states.UNSIGNED)[1], "! Not verified"),
    ],
)
def test_what_is_not_whole_is_said_first(receipt: Receipt, state: str) -> None:
    assert card(receipt).startswith(f"{state} · ")


UNSIGNED = "the host did not sign this answer"


def unsigned(verdict: VerdictStatus) -> Receipt:
    """Of an answer without a signature: four checks lack the same."""
    lacking = [
        Claim("signature", Status.FAILED, Basis.PROVEN, "There is no signature.", UNSIGNED),
        Claim("request", Status.MISSING, None, "Nothing says which request it was.", UNSIGNED),
        Claim("response", Status.MISSING, None, "The answer is not signed.", UNSIGNED),
        Claim("freshness", Status.MISSING, None, "Nothing says when it was made.", UNSIGNED),
        Claim("channel", Status.MISSING, None, "No connection was seen.", "none was recorded"),
    ]
    return states.call(verdict, *lacking)[1]


@pytest.mark.parametrize("verdict", [VerdictStatus.FAILED, VerdictStatus.UNVERIFIED])
@pytest.mark.parametrize("type", ["text/plain", "text/html"])
def test_a_reason_that_checks_share_is_said_once_and_each_says_what_it_lacks(
    verdict: VerdictStatus, type: str
) -> None:
    receipt = unsigned(verdict)
    opened = face.face(receipt, show=False)[type].partition(
        "Failed\n" if type == "text/plain" else "<small>Failed"
    )[2]
    assert opened.count(UNSIGNED) == 1
    assert f"signature: There is no signature. {UNSIGNED}" in opened
    for sentence in (
        "Nothing says which request it was.",
        "The answer is not signed.",
        "Nothing says when it was made.",
        "No connection was seen. none was recorded",
    ):
        assert sentence in opened


def test_nbconvert_to_markdown_shows_the_answer_and_one_line(tmp_path: Path) -> None:
    """nbconvert's Markdown prefers HTML to everything else, so ours is short and folds itself."""
    answer = signed(text="Two lines:\n\n```python\na = 1\n\nb = 2\n```").answer()
    output = nbformat.v4.new_output("display_data", data=bundle.answer_bundle(answer))
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("%%opg hi\nHello", outputs=[output])]
    )
    path = tmp_path / "a.ipynb"
    nbformat.write(notebook, path)
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "markdown", str(path)],
        check=True,
        capture_output=True,
    )
    made = path.with_suffix(".md").read_text(encoding="utf-8")
    ours = made[made.index("<div") :].strip()
    assert len(ours) < 2_000
    # An empty line would end the HTML there, and what follows would be read as Markdown.
    assert "" not in [line.strip() for line in ours.splitlines()]
    shown = re.sub(r"<details.*?<summary>(.*?)</summary>.*</details>", r"\1", ours, flags=re.S)
    words = re.sub(r"<[^>]+>", "", shown).replace("&#10;", "\n").strip()
    assert words.startswith("Two lines:")
    assert words.splitlines()[-1].startswith("```✓ All 7 checks pass · ")


def test_the_markdown_text_is_the_answer_and_one_line() -> None:
    made = face.face(signed(text="Hello."), show=True)["text/markdown"]
    assert made.startswith("~~~text\nHello.\n~~~\n\n**✓ All 7 checks pass** · ")
    assert made.count("\n") == 5
