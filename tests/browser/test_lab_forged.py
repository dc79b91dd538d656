"""What a hostile notebook puts beside or over a card: none of it stands in the card's place or
looks like it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect
from support import lab_notebooks as notebooks
from support.lab_page import Eyes, Lab, judged, put, read

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.xdist_group("browser")]

SOURCES = Path(__file__).resolve().parents[2] / "labextension"

#: Give a cell one output, with this bundle and metadata, trusted or not.
CHANGE = """([index, data, metadata, trusted]) => {
    const { model } = window.jupyterapp.shell.currentWidget.content.widgets[index];
    model.trusted = trusted;
    model.outputs.fromJSON([{ output_type: 'display_data', data, metadata }]);
}"""

#: Two pieces of HTML as outputs of a cell, and again each as a Markdown cell; from both, the styles
#: of all elements.
STYLES = """async ([index, pieces]) => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const outputs = pieces.map(
        html => ({ output_type: 'display_data', data: { 'text/html': html }, metadata: {} })
    );
    notebook.widgets[index].model.outputs.fromJSON(outputs);
    for (const [at, html] of pieces.entries()) {
        notebook.widgets[index + 1 + at].model.sharedModel.setSource(html);
        notebook.widgets[index + 1 + at].rendered = true;
    }
    const places = () => [
        ...notebook.widgets[index].node.querySelectorAll('.jp-RenderedHTML'),
        ...[1, 2].map(at => notebook.widgets[index + at].node.querySelector('.jp-MarkdownOutput')),
    ];
    while (!places().every(one => one?.querySelector('summary'))) {
        await new Promise(requestAnimationFrame);
    }
    const styles = () => places().map(place => [...place.querySelectorAll('*')].map(one => {
        const style = getComputedStyle(one);
        return [...style].map(
            name => `${one.localName} has ${name}: ${style.getPropertyValue(name)}`
        );
    }));
    const differing = (one, other) => one.flatMap(
        (style, at) => style.filter((rule, n) => rule !== other[at][n])
    );
    // JupyterLab lays a cell out when it comes to it.
    let [before, now] = [[], styles()];
    while (now.some((place, at) => !before[at] || differing(place, before[at]).length)) {
        await new Promise(requestAnimationFrame);
        [before, now] = [now, styles()];
    }
    return [0, 2].map(at => [now[at].length, now[at + 1].length, differing(now[at], now[at + 1])]);
}"""


@pytest.fixture(scope="module")
def forged() -> nbformat.NotebookNode:
    made = notebooks.notebook([notebooks.call("Is 561 prime?", "No: 561 = 3 · 11 · 17.")])
    made.cells.append(nbformat.v4.new_code_cell("1"))
    made.cells += [nbformat.v4.new_markdown_cell("x"), nbformat.v4.new_markdown_cell("x")]
    # A cell whose answer nobody signed, one with a receipt and more, and one that is still to be
    # run.
    unsigned = nbformat.v4.new_output(
        "display_data", {"text/html": "<p>561 is prime</p>", "text/plain": "561 is prime"}
    )
    made.cells.append(
        nbformat.v4.new_code_cell("%%opg\nIs 561 prime?", execution_count=2, outputs=[unsigned])
    )
    more = notebooks.notebook([notebooks.call("Is 563 prime?", "Yes.")]).cells[1]
    more.outputs.append(copy.deepcopy(unsigned))
    made.cells += [more, nbformat.v4.new_code_cell("%%opg\nIs 565 prime?")]
    # The question above a signed answer was exchanged, in a cell that is no call to the letter.
    exchanged = notebooks.notebook([notebooks.call("Is 567 prime?", "No.")]).cells[1]
    exchanged.source = "%%opg answer --dry-run\nIs 569 prime?"
    made.cells.append(exchanged)
    return made


def _known_names() -> set[str]:
    """Every name of a class that the extension has before a page is loaded."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in SOURCES.glob("s*/*")
        if path.suffix in (".ts", ".tsx", ".css")
    ]
    return set(re.findall(r"\bopg-[\w-]*\w", "\n".join(texts)))


def test_a_card_cannot_be_replaced_and_its_looks_cannot_be_borrowed(
    eyes: Eyes, lab: Lab, forged: nbformat.NotebookNode
) -> None:
    page = read(eyes.page, lab, put(lab, forged, "forged.ipynb"))
    # What `opg verify` finds in these cells stands at each, in the mark, and in the list.
    cells = (
        "1 %%opg cell without receipt",
        "1 cell with unsigned output",
        "1 cell edited since",
        "1 %%opg cell not run",
    )
    judged(page, " · ".join(("3 simulated answers", "3 as signed", *cells)))
    badges = page.locator(".opg-badge")
    expect(badges).to_have_count(4)
    expect(badges.nth(1)).to_have_text("! no receipt")
    expect(badges.nth(2)).to_have_text("+ unsignedsimulated")
    assert all(badge.evaluate("e => e.scrollWidth <= e.clientWidth") for badge in badges.all())
    eyes.command("opg-magic:show-panel")
    entries = page.locator(".opg-entry")
    expect(entries).to_have_count(5)
    expect(entries.nth(0)).to_contain_text("No receipt")
    expect(entries.nth(1)).to_contain_text("output that no receipt covers")
    expect(entries.nth(4)).to_contain_text("Not run")
    entries.nth(4).click()
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex === 7"
    )
    # Where the cell says something else, the card says what was asked.
    expect(page.locator(".opg-asked")).to_have_text("Asked, as it was signed: Is 567 prime?")
    assert page.locator(".jp-Notebook .jp-Cell").nth(8).locator(".opg-asked").count() == 1

    cell = page.locator(".jp-Notebook .jp-Cell").nth(1)
    data = dict(forged.cells[1].outputs[0].data)

    # Beside the receipt stands every other type that this page can show; unknown types are shown by
    # none.
    types = page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.rendermime.mimeTypes"
    )
    assert {"application/json", "text/html", "image/svg+xml", "application/javascript"} <= set(
        types
    )
    siblings: dict[str, Any] = {
        kind: "FORGED: 561 is prime"
        for kind in types
        if not kind.startswith("application/vnd.opg.")
    }
    siblings |= {
        "application/json": {"answer": "FORGED"},
        "application/vnd.jupyter.widget-view+json": {"model_id": "FORGED"},
    }
    for trusted in (False, True):
        page.evaluate(CHANGE, [1, {**data, **siblings}, {}, trusted])
        expect(cell.locator(".jp-OutputArea-output .opg-card")).to_have_count(1)
        expect(cell.locator(".jp-OutputArea-output")).to_have_count(1)
        assert "FORGED" not in cell.locator(".jp-OutputArea-output").inner_text()

    # In a frame of its own nothing is checked, and it says so.
    page.evaluate(CHANGE, [1, data, {"isolated": True}, True])
    expect(cell.frame_locator("iframe").locator("body")).to_contain_text(
        "nothing is checked", use_inner_text=True
    )
    judged(page, "3 simulated answers · 2 as signed, 1 failed")
    page.evaluate(CHANGE, [1, data, {}, False])
    card = cell.locator(".opg-receipt")
    card.locator(".opg-card").evaluate("details => void (details.open = true)")
    card.locator("tr[data-claim=signature]").wait_for()

    # The card's own markup, with all class names that were known when it was built, against the
    # same without any.
    markup: str = card.evaluate("node => node.outerHTML")
    (drawn_anew,) = set(re.findall(r"\bopg[0-9a-f]{24}\b", markup))
    badge: str = cell.locator(".opg-badge").evaluate("node => node.outerHTML")
    names = " ".join(sorted(_known_names()))
    inner = f'<details class="{names}" open><summary class="{names}">x</summary></details>'
    every = f'<section class="{names}">{inner}</section>'
    borrowed = (markup + badge + every).replace(drawn_anew, "").replace("\n", " ")
    plain = re.sub(r"\bopg-[\w-]+", "", borrowed)
    assert borrowed != plain and len(names.split()) > 80
    html, markdown = page.evaluate(STYLES, [2, [borrowed, plain]])
    assert html[0] == html[1] > 20 and markdown[0] == markdown[1] > 20
    assert html[2] == []
    assert markdown[2] == []
    # The comparison would see a style that was borrowed.
    dressed, _ = page.evaluate(
        STYLES, [2, [markup, re.sub(r"\bopg-[\w-]+", "", markup).replace(drawn_anew, "")]]
    )
    assert any("border-left-style" in rule for rule in dressed[2]), dressed
