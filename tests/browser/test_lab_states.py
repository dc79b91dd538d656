"""The line under an answer in each state that a person can meet, and what opens below it; pictures
of all of them, light and dark, are in ``build/ui/state-*.png``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from support import lab_notebooks as notebooks
from support.lab_page import UI, Eyes, Lab, cell, put, read, run, write

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.xdist_group("browser")]

RECEIPT = ".opg-receipt"
CARD = ".opg-receipt .opg-card"

OPG = "%load_ext opg_magic"
OWN = "%%opg a\nWhat does a trusted execution environment protect against?"
SEVERAL = "%%opg b --hosts 3\nWhat does a trusted execution environment protect against?"


def pictures(eyes: Eyes, output: Any, name: str) -> None:
    """The output in both themes, closed as it is and then open."""
    for theme in ("Light", "Dark"):
        eyes.theme(f"JupyterLab {theme}")
        eyes.page.wait_for_timeout(400)
        output.screenshot(path=str(UI / f"state-{name}-{theme.lower()}.png"))
    eyes.theme("JupyterLab Light")


def line(card: Any) -> str:
    shown = str(card.locator("summary").first.inner_text()).replace("\xa0", " ")
    return " ".join(shown.split())


def words(card: Any) -> list[str]:
    seen = card.evaluate(
        """card => {
            const copy = card.cloneNode(true);
            copy.querySelectorAll('.opg-unseen, button').forEach(node => node.remove());
            const walk = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT);
            const parts = [];
            while (walk.nextNode()) parts.push(walk.currentNode.textContent);
            return parts.join(' ');
        }"""
    )
    return re.findall(r"[\w'’.:…-]*\w[\w'’.:…-]*", str(seen))


def open_all(page: Any) -> None:
    page.evaluate(
        "() => document.querySelectorAll('details.opg-card').forEach(card => void (card.open = "
        "true))"
    )
    page.locator(f"{CARD} table").first.wait_for()


def test_yours_just_now_is_a_success(eyes: Eyes, lab: Lab) -> None:
    """The author's own ledger holds it, so what the author's own kernel asked counts, with its
    time."""
    UI.mkdir(parents=True, exist_ok=True)
    write(lab, "yours.ipynb", OPG, OWN, SEVERAL)
    eyes.open(lab, "yours.ipynb")
    eyes.command("application:toggle-left-area")
    for index in range(3):
        run(eyes, index)
    own, several = eyes.page.locator(CARD).nth(0), eyes.page.locator(CARD).nth(1)
    several.wait_for(timeout=60_000)
    own.locator(".opg-headline", has_text="✓ All 7 checks pass").wait_for()
    assert re.match(r"✓ All 7 checks pass asked live by your kernel at \d\d:\d\d UTC · ", line(own))
    assert own.locator(".opg-tag").inner_text() == "simulated network"
    several.locator(".opg-headline", has_text="✓ 3 of 3 independent hosts say the same").wait_for()
    outputs = eyes.page.locator(RECEIPT)
    pictures(eyes, outputs.nth(0), "yours")
    pictures(eyes, outputs.nth(1), "hosts")
    open_all(eyes.page)
    several.locator("table").wait_for()
    groups = own.locator("tbody").evaluate_all("all => all.map(one => one.dataset.group)")
    assert groups[0] == "Proven from this receipt"
    assert groups[1].startswith("Asked live by your kernel at ")
    assert groups[2:] == ["Still open"]
    assert len(words(own)) <= 120, " ".join(words(own))
    assert several.locator("tbody[data-group=Hosts] tr.opg-claim").count() == 3
    pictures(eyes, outputs.nth(0), "yours-open")
    pictures(eyes, outputs.nth(1), "hosts-open")


def test_a_stranger_sees_what_was_proven_here(eyes: Eyes, lab: Lab, knows_root: Path) -> None:
    """And what is not: on whose word it rests, and how to ask."""
    calls = [
        notebooks.call("Is 561 prime?", "No: 561 = 3 · 11 · 17."),
        notebooks.call("Is 17 prime?", "Yes, and the memory is sealed."),
        notebooks.call(
            "Is 9 prime?",
            "Yes.",
            change=lambda evidence: replace(
                evidence, response=replace(evidence.response, text="something else")
            ),
        ),
    ]
    made = notebooks.tampered(notebooks.notebook(calls), 2)
    page = read(eyes.page, lab, put(lab, made, "stranger.ipynb"))
    stranger, altered, failed = (page.locator(CARD).nth(index) for index in range(3))
    failed.wait_for()
    said = line(stranger)
    assert said.startswith("✓ Request, response, signature and attestation proven here ")
    assert "registry and channel: the author's word" in said
    assert line(altered).startswith("✗ Not what the host signed changed after the call")
    assert line(failed).startswith("✗ Failed at the call the answer is withheld · ")
    for index, name in enumerate(("stranger", "altered", "failed")):
        pictures(eyes, page.locator(RECEIPT).nth(index), name)
    open_all(page)
    pictures(eyes, page.locator(RECEIPT).nth(0), "stranger-open")
    assert len(words(stranger)) <= 120, " ".join(words(stranger))


ANSWER = """The *product* 3*11*17 is $561 = 3 \\cdot 11 \\cdot 17$, and $\\raise{5em}{x}$ stays.

```python
def prime(n: int) -> bool:
    # no even numbers
    return n > 2 and all(n % k for k in range(2, n))
```

| host | answer |
|---|---:|
| anna | 561 |

$$\\sum_{k=1}^{n} k = \\frac{n(n+1)}{2}$$
"""


def test_an_answer_as_people_expect_it(eyes: Eyes, lab: Lab) -> None:
    """Code with colours and a copy button, formulas by the front end's own typesetter, JSON that
    folds; and the exact text beside it."""
    data = '{"verdict": "composite", "factors": [3, 11, 17], "exact": {"n": 561, "half": 280.50}}'
    calls = [
        notebooks.call("Show it.", ANSWER),
        notebooks.call("As JSON.", data),
        notebooks.call("At length.", "\n\n".join(f"Paragraph {n} of many." for n in range(80))),
    ]
    page = read(eyes.page, lab, put(lab, notebooks.notebook(calls), "answers.ipynb"))
    first, second, third = (page.locator(RECEIPT).nth(index) for index in range(3))
    first.locator("mjx-container").nth(1).wait_for()
    assert first.locator("mjx-container").count() == 2
    shown = first.locator(".opg-answer").inner_text()
    assert "3*11*17" in shown
    assert "\\raise{5em}{x}" in shown
    assert first.locator("pre code span").count() > 3
    pictures(eyes, first, "answer")
    first.get_by_role("button", name="As signed").click()
    exact = str(first.locator(".opg-answer").evaluate("node => node.textContent"))
    assert exact == ANSWER
    second.locator(".opg-json summary").first.wait_for()
    assert "280.50" in second.inner_text()
    pictures(eyes, second, "json")
    assert third.locator(".opg-answer").bounding_box()["height"] < 500
    pictures(eyes, third, "long")
    third.get_by_role("button", name="Show all").click()
    assert third.locator(".opg-answer").bounding_box()["height"] > 1_000
    assert eyes.outside == []


def test_after_a_rename_the_card_names_the_file_that_is_there(eyes: Eyes, lab: Lab) -> None:
    calls = [notebooks.call("Is 561 prime?", "No: 561 = 3 · 11 · 17.")]
    page = read(eyes.page, lab, put(lab, notebooks.notebook(calls), "before.ipynb"))
    page.locator(f"{CARD} summary").first.click()
    page.locator(".opg-command", has_text="opg verify before.ipynb").wait_for()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.context.rename('after.ipynb')")
    page.locator(".opg-command", has_text="opg verify after.ipynb").wait_for()


def test_in_an_output_widget_a_call_shows_its_end(eyes: Eyes, lab: Lab) -> None:
    """And a duplicated cell is the same answer again, not a failure."""
    widget = (
        "import ipywidgets\nout = ipywidgets.Output()\ndisplay(out)\n"
        "with out:\n    get_ipython().run_cell_magic('opg', 'w', 'Name a prime.')"
    )
    write(lab, "widget.ipynb", OPG, widget, "%%opg twice\nName another prime.")
    eyes.open(lab, "widget.ipynb")
    for index in range(3):
        run(eyes, index)
    eyes.page.locator(CARD).nth(1).wait_for()
    inside = cell(eyes, 1)
    expect(inside.locator(CARD)).to_contain_text("All 7 checks pass", use_inner_text=True)
    assert "begun " not in inside.locator(".jp-Cell-outputWrapper").inner_text()
    eyes.page.evaluate(
        """() => {
            const { content } = window.jupyterapp.shell.currentWidget;
            content.activeCellIndex = 2;
        }"""
    )
    eyes.command("notebook:duplicate-below")
    again = eyes.page.locator(".opg-facts", has_text="the same answer again")
    again.nth(1).wait_for()
    assert eyes.page.locator(".opg-tone-bad").count() == 0


@pytest.fixture(scope="module", autouse=True)
def folder() -> Path:
    UI.mkdir(parents=True, exist_ok=True)
    return UI
