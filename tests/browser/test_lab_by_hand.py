"""What a person does with the extension: keyboard, pins, registry, stopping; and what is seen
without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect
from support import lab_notebooks as notebooks
from support import signing
from support.lab_page import Eyes, Lab, asking, cell, finished, judged, put, read, run, write

pytestmark = [
    pytest.mark.browser,
    pytest.mark.simnet,
    pytest.mark.kernel,
    pytest.mark.xdist_group("browser"),
]

CARD = ".opg-receipt .opg-card"
OUTPUTS = "window.jupyterapp.shell.currentWidget.content.widgets[{}].model.outputs"
ACTIVE = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"


@pytest.fixture(scope="module")
def answers() -> nbformat.NotebookNode:
    return notebooks.notebook(
        [
            notebooks.call("What is sealed?", "Memory is sealed by the processor."),
            notebooks.call("Is 561 prime?", "No: 561 = 3 · 11 · 17."),
            notebooks.call("Is 563 prime?", "Yes, it is."),
        ]
    )


# ------------------------------------------------------------------------------------- the keyboard


def test_shortcuts(eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode) -> None:
    page = read(eyes.page, lab, put(lab, notebooks.tampered(answers, 3), "keys.ipynb"))
    page.evaluate(
        "() => { const { content } = window.jupyterapp.shell.currentWidget; content.activate(); }"
    )
    panel = page.locator(".opg-Panel")
    assert not panel.is_visible()
    page.keyboard.press("Alt+Shift+R")
    panel.wait_for()

    assert page.evaluate(ACTIVE) == 0
    page.keyboard.press("Alt+Shift+F")
    page.wait_for_function(f"() => ({ACTIVE})() === 3")

    page.evaluate(
        "() => { const { content } = window.jupyterapp.shell.currentWidget; content.activate(); }"
    )
    page.keyboard.press("Alt+Shift+Q")
    page.wait_for_function(f"() => ({ACTIVE})() === 4")
    asking(page)
    page.keyboard.type("Why not?")
    source = (
        "() => window.jupyterapp.shell.currentWidget.content.activeCell"
        ".model.sharedModel.getSource()"
    )
    assert page.evaluate(source) == "%%opg \nWhy not?"
    assert eyes.outside == []


def test_every_command_is_in_menu_and_palette(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode
) -> None:
    """And each has words of its own; those that need something are off without it."""
    page = read(eyes.page, lab, put(lab, answers, "commands.ipynb"))
    ours = set(
        page.evaluate(
            "() => window.jupyterapp.commands.listCommands().filter(id => "
            "id.startsWith('opg-magic:'))"
        )
    )
    assert len(ours) >= 12
    labels = page.evaluate(
        "ids => ids.map(id => window.jupyterapp.commands.label(id))", sorted(ours)
    )
    assert all(labels)
    assert len(set(labels)) == len(labels)
    page.locator(".lm-MenuBar-itemLabel", has_text="Verified AI").click()
    menu = page.locator("#opg-magic-menu .lm-Menu-item[data-command]")
    menu.first.wait_for()
    assert set(menu.evaluate_all("items => items.map(item => item.dataset.command)")) == ours
    eyes.screenshot("menu-light.png")
    off = set(
        page.locator("#opg-magic-menu .lm-mod-disabled[data-command]").evaluate_all(
            "items => items.map(item => item.dataset.command)"
        )
    )
    assert off == {"opg-magic:next-failed", "opg-magic:stop"}
    page.keyboard.press("Escape")


def test_panel_by_keyboard_and_by_name(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode
) -> None:
    """Each control has a role and a name, and Tab and Enter are enough to filter, sort and reach a
    cell."""
    page = read(eyes.page, lab, put(lab, notebooks.tampered(answers, 3), "by_name.ipynb"))
    eyes.command("opg-magic:show-panel")
    listed = page.get_by_role("list", name="Receipts of this notebook").get_by_role("button")
    listed.first.wait_for()
    expect(listed).to_have_count(3)
    expect(listed.first).to_contain_text("Not what the host signed")

    search = page.get_by_role("searchbox", name="Search receipts")
    search.focus()
    page.keyboard.type("561")
    page.wait_for_function("() => document.querySelectorAll('.opg-entry').length === 1")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Tab")
    page.keyboard.type("failed")
    page.wait_for_function("() => document.querySelectorAll('.opg-entry').length === 1")
    assert (
        "What is sealed" not in listed.first.text_content()
        or "Not what the host signed" in listed.first.text_content()
    )
    page.get_by_role("combobox", name="Show").select_option("all")
    page.get_by_role("combobox", name="Sort by").select_option("cost")
    expect(listed).to_have_count(3)

    entry = listed.filter(has_text="561")
    entry.focus()
    ring = entry.evaluate("e => getComputedStyle(e).outlineStyle + getComputedStyle(e).boxShadow")
    assert ring != "nonenone", "one cannot see what has the focus"
    page.keyboard.press("Enter")
    page.wait_for_function(f"() => ({ACTIVE})() === 2")
    for role, name in (
        ("button", "Check again"),
        ("button", "Ask the registry"),
        ("button", "Export JSONL"),
    ):
        expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)
    card = page.get_by_role("region", name="All 7 required checks pass")
    card.or_(page.get_by_role("region", name="Partially verified")).nth(1).wait_for(
        state="attached"
    )


# ----------------------------------------------------------------------------------------- the pins


def test_pin_the_code(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode, knows_root: Path
) -> None:
    """What the reader pins is kept in their own settings and counts in every notebook; a form that
    is none does not."""
    name = put(lab, answers, "pin.ipynb")
    page = read(eyes.page, lab, name)
    card = page.locator(CARD).first
    expect(card).to_contain_text("proven here", use_inner_text=True)
    eyes.begin("opg-magic:pin-code")
    dialog = page.get_by_role("dialog")
    offered = dialog.get_by_role("group", name="Attested in this notebook's answers")
    offered.wait_for()
    expect(offered).to_contain_text(signing.PCR_HASH)
    expect(offered).to_contain_text("3 answers", use_inner_text=True)
    accept = dialog.get_by_role("button", name="Accept this code")
    other = dialog.get_by_role("textbox", name="Another PCR hash")
    other.fill("0x5c")
    dialog.get_by_role("alert").get_by_text("64 hex digits").wait_for()
    assert accept.is_disabled()
    eyes.screenshot("pin-light.png")
    other.fill("")
    offered.get_by_role("checkbox").check()
    accept.click()
    card.get_by_text("All 7 required checks pass").wait_for()
    assert signing.PCR_HASH in knows_root.read_text()
    assert card.get_by_text("proven here").count() == 0

    page = read(eyes.page, lab, name)
    page.locator(CARD).first.get_by_text("All 7 required checks pass").wait_for()
    eyes.begin("opg-magic:pin-code")
    kept = (
        page.get_by_role("dialog").get_by_role("group", name="Accepted now").get_by_role("checkbox")
    )
    kept.wait_for()
    assert kept.is_checked()
    expect(page.get_by_role("dialog").get_by_role("group")).to_have_count(1)
    page.keyboard.press("Escape")

    # Another build is pinned: this one is not accepted any more, and says why.
    set_pins = (
        """pins => window.jupyterapp.serviceManager.settings.save('opg-magic:plugin', pins)"""
    )
    other = {"simulatedRoots": [signing.authority().root_sha256], "pinnedPcrs": ["0x" + "5c" * 32]}
    page.evaluate(set_pins, json.dumps(other))
    page = read(eyes.page, lab, name)
    judged(page, "3 failed")
    assert page.locator(CARD).get_by_text("All 7 required checks pass").count() == 0


# ------------------------------------------------------------------------------------- the registry


def test_the_registry_of_a_running_network(eyes: Eyes, lab: Lab) -> None:
    """Asked through the reader's server of a network that runs; and what is said once it does not
    run any more."""
    write(
        lab,
        "living.ipynb",
        "%load_ext opg_magic",
        "%%opg one\nName a prime.",
        "%%opg two\nName another prime.",
    )
    eyes.open(lab, "living.ipynb")
    for index in (0, 1):
        run(eyes, index)
    finished(eyes, 1, 2)
    page = eyes.page
    card = page.locator(CARD).first
    card.get_by_text("asked live by your kernel").wait_for()
    eyes.command("opg-magic:ask-registry")
    card.locator("b.opg-headline", has_text="All 7 checks pass").wait_for()
    judged(page, "registry asked: 1")
    eyes.screenshot("registry-asked-light.png")

    run(eyes, 2)
    finished(eyes, 2, 3)
    judged(page, "2 simulated answers")
    lab.opg("simnet", "down")
    eyes.command("opg-magic:ask-registry")
    second = page.locator(CARD).nth(1)
    second.locator("summary").first.click()
    second.get_by_text("The registry could not be asked").wait_for()
    expect(second).to_contain_text("does not run here", use_inner_text=True)
    # Its own kernel asked when it ran, and that stands.
    own = second.locator("tbody[data-group^='Asked live by your kernel at ']")
    own.locator("tr[data-claim=registry]").wait_for()
    assert eyes.outside == []


# ----------------------------------------------------------------------------------------- stopping


@pytest.fixture
def slow_host(lab: Lab) -> Iterator[str]:
    """A host that takes half a second for each token."""
    lab.opg("simnet", "up")
    lab.opg("simnet", "cheat", "bruno", "slow")
    yield "bruno"
    lab.opg("simnet", "cheat", "bruno", "off")


LONG = (
    "Say the alphabet slowly and then say it again and again and once more from its end to its "
    "beginning please. " * 2
)


def test_stop_by_keyboard_leaves_a_true_card(eyes: Eyes, lab: Lab, slow_host: str) -> None:
    write(
        lab,
        "stopped.ipynb",
        "%load_ext opg_magic",
        f"%%opg never --host {slow_host}\n{LONG}",
        "1 + 1",
    )
    eyes.open(lab, "stopped.ipynb")
    run(eyes, 0)
    finished(eyes, 0, 1)
    run(eyes, 1)
    eyes.page.locator("button.opg-stop").wait_for()
    # Some of the answer is there, in the one output that will be the card.
    held = f"JSON.stringify({OUTPUTS.format(1)}.get(0).data)"
    eyes.page.wait_for_function(
        f"() => {OUTPUTS.format(1)}.length === 1 && {held}.includes('You asked')"
    )
    eyes.screenshot("streaming-light.png")
    eyes.page.keyboard.press("Alt+Shift+S")
    finished(eyes, 1, 2)
    eyes.page.locator("button.opg-stop").wait_for(state="detached")
    card = eyes.page.locator(CARD)
    card.wait_for()
    beside = "This cell also shows output that no receipt covers"  # the error: judged last
    for told in ("Not verified", "stopped before its answer was complete", beside):
        expect(card).to_contain_text(told, use_inner_text=True)
    card.locator("summary", has_text="Show what had come until then").click()
    expect(card).to_contain_text("You asked", use_inner_text=True)
    assert eyes.page.locator(".opg-badge").evaluate("e => e.scrollWidth <= e.clientWidth"), (
        "a part of it is cut off"
    )
    eyes.screenshot("stopped-light.png")
    run(eyes, 2)
    cell(eyes, 2).locator(".jp-OutputArea-executeResult", has_text="2").wait_for()
