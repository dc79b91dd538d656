"""A notebook checks itself in the browser of whoever opens it: no kernel, no trust in its author,
nothing sent out."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import nbformat
import pytest
from playwright.sync_api import expect
from support import lab_notebooks as notebooks
from support.lab_page import Eyes, Lab, judged, put, read

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.xdist_group("browser")]

CARD = ".opg-receipt .opg-card"


@pytest.fixture(scope="module")
def answers() -> nbformat.NotebookNode:
    """Four answers that were really signed."""
    return notebooks.notebook(
        [
            notebooks.call("What does a TEE protect against?", notebooks.MARKDOWN),
            notebooks.call(
                "Is 561 prime?", "No: 561 = 3 · 11 · 17, the smallest Carmichael number."
            ),
            notebooks.call("What is sealed?", "Memory is sealed by the processor."),
            notebooks.call("Was this edited?", "The cell above was edited after this answer."),
        ]
    )


def test_strangers_notebook_without_kernel(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode
) -> None:
    """Untrusted, no kernel: every answer is judged, and what rests on the author's word is said
    so."""
    page = read(eyes.page, lab, put(lab, answers, "from_afar.ipynb"))
    mark = judged(page, "4 simulated answers · 4 as signed · registry not asked")
    assert "failed" not in mark
    assert (
        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session") is None
    )
    card = page.locator(CARD).first
    for told in ("simulated network", "registry and channel: the author's word"):
        expect(card.locator("summary").first).to_contain_text(told, use_inner_text=True)
    card.locator("summary").first.click()
    card.locator("tr[data-claim=signature]").wait_for()
    groups = {
        row.get_attribute("data-claim"): row.locator("xpath=..").get_attribute("data-group")
        for row in card.locator("tr[data-claim]").all()
    }
    assert groups["signature"] == "Proven from this receipt"
    assert groups["registry"] == "Author's word"
    assert groups["attestation"] == "Missing"
    expect(card).to_contain_text("opg verify from_afar.ipynb --receipt", use_inner_text=True)
    assert eyes.outside == []


def test_answers_markdown_is_inert(eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode) -> None:
    page = read(eyes.page, lab, put(lab, answers, "markdown.ipynb"))
    answer = page.locator(".opg-receipt .opg-answer").first
    assert answer.locator("strong").inner_text() == "sealed"
    expect(answer.locator("li")).to_have_count(2)
    expect(answer.locator("td")).to_have_count(2)
    assert answer.locator("pre code").inner_text().strip() == 'print("a < b & c")'
    assert answer.locator("b, img, script").count() == 0
    text = answer.inner_text()
    assert "<b>not bold</b>" in text
    assert "[image not loaded: track https://tracker.example/x.png]" in text
    assert answer.locator("a").get_attribute("rel") == "noopener noreferrer nofollow ugc"
    assert eyes.outside == []


def test_one_altered_character_turns_its_mark_red(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode, trusting: None
) -> None:
    changed = notebooks.tampered(answers, 3)
    changed.cells[4].source = changed.cells[4].source.replace("Was this", "Has this been")
    page = read(eyes.page, lab, put(lab, changed, "tampered.ipynb"))
    judged(page, "4 simulated answers · 3 as signed, 1 failed · 1 cell edited since")
    failed = page.locator(".opg-receipt[data-opg-tone=bad]")
    expect(failed).to_have_count(1)
    assert "seaIed" not in failed.inner_text()
    expect(failed).to_contain_text("✗ Not what the host signed", use_inner_text=True)
    assert failed.locator("tr[data-status=failed]").get_attribute("data-claim") == "response"
    assert page.locator(".opg-badge.opg-tone-bad").inner_text().startswith("✗ failed")
    expect(page.locator(".opg-edited")).to_contain_text(
        "is not the one that this answer was given to", use_inner_text=True
    )
    eyes.command("application:toggle-left-area")
    eyes.command("opg-magic:show-panel")
    entries = page.locator(".opg-entry")
    entries.nth(1).wait_for()  # to be seen: the panel slides open
    # What differs from the saved card comes first, then the edited cell.
    expect(entries.nth(0)).to_contain_text("cell 4")
    expect(entries.nth(0)).to_contain_text("The saved card says verified")
    expect(entries.nth(1)).to_contain_text("cell 5")
    for theme, word in (("JupyterLab Light", "light"), ("JupyterLab Dark", "dark")):
        eyes.theme(theme)
        assert eyes.screenshot(f"lab-tampered-{word}.png").stat().st_size > 20_000
    # The text can be had, by an act of one's own.
    failed.locator(".opg-withheld > summary").click()
    expect(failed).to_contain_text("did not pass", use_inner_text=True)
    expect(failed).to_contain_text("seaIed", use_inner_text=True)
    assert eyes.outside == []


def test_reader_who_pinned_the_code(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode, trusting: None
) -> None:
    page = read(eyes.page, lab, put(lab, answers, "pinned.ipynb"))
    page.locator(".opg-headline", has_text="✓ All 7 required checks pass").first.wait_for()
    assert page.locator(".opg-tag").count() == page.locator(".opg-headline").count()
    for theme, word in (("JupyterLab Light", "light"), ("JupyterLab Dark", "dark")):
        eyes.theme(theme)
        card = page.locator(CARD).first
        if not card.evaluate("e => e.open"):
            card.locator("summary").first.click()
        assert eyes.screenshot(f"lab-simulated-{word}.png").stat().st_size > 20_000
        assert card.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def test_cell_that_is_edited_says_so_at_once(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode
) -> None:
    page = read(eyes.page, lab, put(lab, answers, "editing.ipynb"))
    assert page.locator(".opg-edited").count() == 0
    page.locator(".jp-CodeCell .cm-line", has_text="Is 561 prime?").click()
    page.keyboard.press("End")
    page.keyboard.type(" And 563?")
    page.locator(".opg-edited").wait_for()
    judged(page, "1 cell edited since")
    for _ in " And 563?":
        page.keyboard.press("Backspace")
    page.locator(".opg-edited").wait_for(state="detached")


def test_reload_with_a_new_kernel_keeps_every_card(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode
) -> None:
    name = put(lab, answers, "again.ipynb", kernel=True)
    for _ in range(2):
        eyes.open(lab, name)
        judged(eyes.page, "4 simulated answers · 4 as signed")
        eyes.page.locator(CARD).nth(3).wait_for(state="attached")
        eyes.page.evaluate(
            "async () => { await "
            "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
        )
        expect(eyes.page.locator(CARD)).to_have_count(4)


def test_second_window_sees_the_same(eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode) -> None:
    name = put(lab, answers, "twice.ipynb")
    first = judged(read(eyes.page, lab, name), "4 simulated answers · 4 as signed")
    other = eyes.page.context.new_page()
    assert judged(read(other, lab, name), first) == first
    for page in (other, eyes.page):
        page.bring_to_front()
        page.locator(CARD).nth(3).wait_for(state="attached")
        expect(page.locator(CARD)).to_have_count(4)


def test_one_signature_under_two_prompts(eyes: Eyes, lab: Lab) -> None:
    """Two receipts in one notebook that bear one signature know of each other (attack 14)."""
    from opg_magic.receipt.document import new_id

    source, receipt = notebooks.call("What is sealed?", "Memory.")
    again = notebooks.redigested_copy(receipt, id=new_id())
    made = notebooks.notebook([(source, receipt), (source, again)])
    page = read(eyes.page, lab, put(lab, made, "replayed.ipynb"))
    judged(page, "0 as signed, 2 failed")
    page.wait_for_function(
        "() => document.querySelectorAll('tr[data-claim=freshness][data-status=failed]').length "
        "=== 2"
    )


# The browser has no idle time before the test lets it.
NO_IDLE_TIME = """
(() => {
  const real = window.requestIdleCallback.bind(window);
  let held = [];
  window.requestIdleCallback = (callback, options) =>
    held === null ? real(callback, options) : held.push(callback);
  window.giveIdleTime = () => {
    const waiting = held;
    held = null;
    for (const callback of waiting) real(callback);
  };
})();
"""


def comes_into_view(page: Any, number: int) -> None:
    page.locator(".opg-answer", has_text=f"Answer number {number},").wait_for(timeout=90_000)
    page.wait_for_function(
        """n => {
            const mine = answer => answer.textContent.includes(`number ${n},`);
            const found = [...document.querySelectorAll('.opg-answer')]
                .find(mine).getBoundingClientRect();
            return found.top < innerHeight && found.bottom > 0;
        }""",
        arg=number,
    )


def test_two_hundred_answers(eyes: Eyes, lab: Lab) -> None:
    """All are counted, the last is reached from the panel, and scrolling back finds the first as it
    was left."""
    page = eyes.page
    page.add_init_script(NO_IDLE_TIME)
    made = notebooks.notebook(
        [
            notebooks.call(f"Question {n}?", f"Answer number {n}, in a few words.")
            for n in range(200)
        ]
    )
    read(page, lab, put(lab, made, "many.ipynb"))
    judged(page, "200 simulated answers · 200 as signed")
    first = page.locator(CARD).first
    first.locator("summary").first.click()
    eyes.command("opg-magic:show-panel")
    entries = page.locator(".opg-entry")
    entries.first.wait_for()
    assert entries.count() < 100, "the list is drawn as far as one scrolls"

    # A hand on the wheel reaches the last row.
    entries.first.hover()
    row = page.locator(".opg-entry", has_text="Question 199?")
    for _ in range(100):
        page.mouse.wheel(0, 1200)
        page.wait_for_timeout(20)  # a frame, in which the rows in view are drawn
        if row.count() and row.bounding_box()["y"] < page.viewport_size["height"] - 40:
            break
    expect(row).to_be_in_viewport()

    def entry(number: int) -> Any:
        page.get_by_label("Search receipts").fill(f"Question {number}?")
        expect(entries).to_have_count(1)
        return entries

    last = page.locator(".opg-answer", has_text="Answer number 199,")
    assert last.count() == 0, "JupyterLab has not come to it yet"
    entry(199).click()
    page.wait_for_timeout(11_000)  # JupyterLab itself gives up after 10 s.
    assert last.count() == 0
    page.evaluate("() => giveIdleTime()")
    comes_into_view(page, 199)
    for number in (100, 0):
        entry(number).click()
        comes_into_view(page, number)
    assert first.evaluate("e => e.open")
    page.get_by_label("Search receipts").fill("Question 17?")
    expect(entries).to_have_count(1)


def test_export_from_the_browser(eyes: Eyes, lab: Lab, tmp_path: Path) -> None:
    """What the browser writes, ``opg verify`` reads; and no cell of the table is a formula."""
    import csv

    from support.signed_receipts import verify

    made = notebooks.notebook([notebooks.call("=1+1", "two"), notebooks.call("Plain?", "Yes.")])
    page = read(eyes.page, lab, put(lab, made, "export.ipynb"))
    eyes.command("opg-magic:show-panel")
    files = {}
    for kind in ("JSONL", "CSV"):
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"Export {kind}").click()
        files[kind] = tmp_path / saved.value.suggested_filename
        saved.value.save_as(files[kind])
    report = verify(files["JSONL"])
    assert [one.verdict.status.value for one in report.checked] == ["PARTIAL", "PARTIAL"]
    rows = list(csv.DictReader(files["CSV"].open(newline="", encoding="utf-8")))
    assert [row["prompt"] for row in rows] == ["'=1+1", "Plain?"]
    assert rows[0]["verdict_here"] == "SIMULATED · PARTIAL"


def test_notebook_7(eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode) -> None:
    """The same cards, mark and badges in Notebook 7; nothing it lacks breaks anything."""
    pytest.importorskip("notebook")
    problems: list[str] = []
    eyes.page.on("pageerror", lambda problem: problems.append(f"{problem} {problem.stack}"))
    name = put(lab, notebooks.tampered(answers, 3), "seven.ipynb")
    page = eyes.page
    page.goto(f"{lab.url}/notebooks/{name}?token={lab.token}")
    page.locator(".jp-Dialog button", has_text="No Kernel").click()
    judged(page, "3 as signed, 1 failed")
    expect(page.locator(CARD)).to_have_count(4)
    expect(page.locator(".opg-badge.opg-tone-bad")).to_have_count(1)
    eyes.screenshot("notebook7-light.png")
    page.locator(".opg-mark").click()
    page.locator(".opg-entry").first.wait_for()
    expect(page.locator(".opg-entry")).to_have_count(4)
    eyes.screenshot("notebook7-panel-light.png")
    # Notebook 7 has errors of its own (7.6.5: one about a schema, with any notebook).
    assert [problem for problem in problems if "opg" in problem] == []
    assert eyes.outside == []


@pytest.mark.parametrize("agrees", [True, False], ids=["says-so-too", "denies"])
def test_registry_asked_by_the_reader(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode, trusting: None, agrees: bool
) -> None:
    """Asked is the reader's own server, by host id and block alone; its answer is compared, not the
    author's word."""
    page = eyes.page
    asked: list[dict[str, str]] = []
    documents = [notebooks.document(answers, cell) for cell in range(1, 5)]

    def answer(route: Any) -> None:
        query = dict(parse_qsl(urlsplit(route.request.url).query))
        asked.append(query)
        found = next(d for d in documents if d["host"]["tee_id"] == query["tee_id"])
        part = {**found["registry"], "entry": found["host"]}
        if not agrees:
            part |= {"active": False, "inactive_reason": "disabled"}
        route.fulfill(json={"registry": part, "simulated": True, "run_id": query.get("run_id")})

    page.route("**/opg-magic/registry?*", answer)
    read(page, lab, put(lab, answers, f"asked-{agrees}.ipynb"))
    assert asked == []
    eyes.command("opg-magic:show-panel")
    page.locator(".opg-Panel").get_by_role("button", name="Ask the registry").click()
    page.wait_for_function(
        "() => document.querySelector('.opg-mark').title.includes('registry asked: 4')"
    )
    assert {tuple(sorted(query)) for query in asked} == {("block", "chain_id", "run_id", "tee_id")}
    row = page.locator("tr[data-claim=registry]").first
    if agrees:
        judged(page, "4 as signed · registry asked: 4")
        page.locator(CARD).first.locator("summary").first.click()
        expect(row).to_have_attribute("data-basis", "asked")
    else:
        judged(page, "4 failed")
        row.wait_for()
        expect(row).to_have_attribute("data-basis", "asked")
        expect(row).to_have_attribute("data-status", "failed")
        assert page.locator(".opg-receipt > .opg-answer").count() == 0
    assert eyes.outside == []
