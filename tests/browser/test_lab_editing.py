"""Writing and running ``%%opg`` cells in JupyterLab: highlighting, completion, stop button, status,
ledger."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect
from support.lab_page import Eyes, Lab, asking, caret, cell, run, write

pytestmark = [
    pytest.mark.browser,
    pytest.mark.simnet,
    pytest.mark.kernel,
    pytest.mark.xdist_group("browser"),
]

#: Where JupyterLab finds it (scripts/labextension.py puts it there).
EXTENSION = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "opg-magic" / "static"
if not EXTENSION.is_dir():
    pytest.skip("the JupyterLab extension is not built", allow_module_level=True)

PROMPT = "Isn't this \"plain\" text? import os; for x in y: don't"
TYPE = "index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.mimeType"


def choices(eyes: Eyes) -> list[str]:
    """What the completer offers, once it does."""
    eyes.page.locator(".jp-Completer .jp-Completer-match").first.wait_for()
    return [
        text.strip()
        for text in eyes.page.locator(".jp-Completer .jp-Completer-match").all_inner_texts()
    ]


def test_a_question_is_a_line_of_flags_above_a_text(eyes: Eyes, lab: Lab) -> None:
    write(
        lab,
        "highlight.ipynb",
        f"%%opg a --model openai/gpt-5 --quiet\n{PROMPT}",
        "import os  # Python stays Python",
    )
    eyes.open(lab, "highlight.ipynb")
    eyes.command("application:toggle-left-area")
    magic = cell(eyes, 0).locator(".cm-line.opg-magicLine")
    expect(magic).to_have_count(1)
    assert magic.inner_text().startswith("%%opg a --model")
    magic.locator("span").nth(4).wait_for()
    prompt = cell(eyes, 0).locator(".cm-line").nth(1)
    # Python would colour "import", "for" and the strings.
    expect(prompt.locator("span")).to_have_count(0)
    expect(cell(eyes, 0).locator(".cm-content")).to_have_class(re.compile("cm-lineWrapping"))
    cell(eyes, 1).locator(".cm-line span").first.wait_for()
    eyes.page.wait_for_function(f"({TYPE})(1) === 'text/x-ipython'")
    for theme, word in (("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")):
        eyes.theme(theme)
        eyes.screenshot(f"editing-{word}.png")
    # The type is the editor's alone.
    eyes.page.evaluate("window.jupyterapp.shell.currentWidget.context.save()")
    assert "x-opg" not in (lab.root / "highlight.ipynb").read_text()
    assert eyes.outside == []


def test_the_language_follows_what_is_typed(eyes: Eyes, lab: Lab) -> None:
    write(lab, "typing.ipynb", "import os", "x = 1")
    eyes.open(lab, "typing.ipynb")
    caret(eyes, 0, 0, 0)
    eyes.page.keyboard.type("%%opg\n")
    eyes.page.wait_for_function(f"({TYPE})(0) === 'text/x-opg'")
    cell(eyes, 0).locator(".cm-line.opg-magicLine").wait_for()
    # A quote in a text is no bracket to be closed.
    caret(eyes, 0, 1, 0)
    eyes.page.keyboard.type("don't ")
    expect(cell(eyes, 0).locator(".cm-line").nth(1)).to_have_text("don't import os")
    caret(eyes, 0, 0, 1)
    eyes.page.keyboard.press("Backspace")
    eyes.page.wait_for_function(f"({TYPE})(0) === 'text/x-ipython'")
    cell(eyes, 0).locator(".cm-line.opg-magicLine").wait_for(state="detached")
    # A kernel that starts anew tells its language again, for all cells.
    caret(eyes, 0, 0, 0)
    eyes.page.keyboard.type("%")
    eyes.page.wait_for_function(f"({TYPE})(0) === 'text/x-opg'")
    eyes.page.evaluate(
        "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    eyes.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.info")
    cell(eyes, 0).locator(".cm-line.opg-magicLine").wait_for()
    eyes.page.wait_for_function(f"({TYPE})(0) === 'text/x-opg' && ({TYPE})(1) === 'text/x-ipython'")


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "no_kernel"])
def test_flags_and_models_complete(eyes: Eyes, lab: Lab, kernel: bool) -> None:
    name = f"complete-{kernel}.ipynb"
    write(
        lab,
        name,
        "%load_ext opg_magic",
        "%%opg --m\nWhy?",
        "%%opg --model google/gemini-2.5-f\nWhy?",
        "%%opg\n--m",
    )
    eyes.open(lab, name)
    if kernel:
        run(eyes, 0)
        cell(eyes, 0).locator(".jp-InputPrompt", has_text="[1]").wait_for()
    else:
        eyes.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        eyes.page.wait_for_function(
            "() => !window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel"
        )
    caret(eyes, 1, 0, 9)
    eyes.page.keyboard.press("Tab")
    offered = choices(eyes)
    for flag in ("--model", "--max-tokens", "--max-cost"):
        assert sum(choice.startswith(flag) for choice in offered) == 1, offered
    eyes.screenshot(f"completion-{'kernel' if kernel else 'list'}.png")
    eyes.page.keyboard.press("Escape")
    caret(eyes, 2, 0, 33)
    eyes.page.keyboard.press("Tab")
    offered = choices(eyes)
    assert {choice.split()[0] for choice in offered} == {
        "google/gemini-2.5-flash",
        "google/gemini-2.5-flash-lite",
        "google/gemini-2.5-flash-image",
    }
    eyes.page.keyboard.press("Enter")
    expect(cell(eyes, 2).locator(".cm-line").first).to_contain_text(
        "google/gemini-2.5-flash", use_inner_text=True
    )
    assert eyes.outside == []


def test_the_stop_button_interrupts_and_goes(eyes: Eyes, lab: Lab) -> None:
    slow = "Say the alphabet, slowly, and then all of it again. " * 3
    write(
        lab,
        "stop.ipynb",
        "%load_ext opg_magic",
        "%%opg warm --quiet\nhi",
        # The scripted model answers at once: something else has to keep the cell running.
        "import opg_magic.call.session as s, threading\n"
        "was = s.Session.ask\n"
        "s.Session.ask = lambda *a, **k: (threading.Event().wait(60), was(*a, **k))[1]",
        f"%%opg never\n{slow}",
        "1 + 1",
    )
    eyes.open(lab, "stop.ipynb")
    stop = eyes.page.locator("button.opg-stop")
    for index in (0, 1, 2):
        run(eyes, index)
    cell(eyes, 2).locator(".jp-InputPrompt", has_text="[3]").wait_for(timeout=90_000)
    assert stop.count() == 0
    run(eyes, 3)
    stop.wait_for()
    expect(cell(eyes, 3).locator("button.opg-stop")).to_have_count(1)
    assert stop.get_attribute("aria-label")
    eyes.screenshot("stop-light.png")
    stop.click()
    cell(eyes, 3).locator(".jp-InputPrompt", has_text="[4]").wait_for()
    stop.wait_for(state="detached")
    expect(cell(eyes, 3)).to_contain_text("KeyboardInterrupt", use_inner_text=True)
    run(eyes, 4)
    cell(eyes, 4).locator(".jp-OutputArea-executeResult", has_text="2").wait_for()


def test_a_running_call_grows_and_the_true_card_remains(eyes: Eyes, lab: Lab) -> None:
    write(lab, "grows.ipynb", "%load_ext opg_magic", "%%opg one\nName three colours.")
    eyes.open(lab, "grows.ipynb")
    run(eyes, 0)
    run(eyes, 1)
    cell(eyes, 1).locator(".jp-InputPrompt", has_text="[2]").wait_for(timeout=90_000)
    outputs = "window.jupyterapp.shell.currentWidget.content.widgets[1].model.outputs"
    eyes.page.wait_for_function(
        f"() => {outputs}.length === 1 && 'application/vnd.opg.receipt.v1+json' in "
        f"{outputs}.get(0).data"
    )
    expect(eyes.page.locator("button.opg-stop")).to_have_count(0)


def test_status_bar_ledger_and_palette(eyes: Eyes, lab: Lab) -> None:
    write(lab, "status.ipynb", "%load_ext opg_magic", "%%opg one\nName a prime.")
    eyes.open(lab, "status.ipynb")
    run(eyes, 0)
    run(eyes, 1)
    cell(eyes, 1).locator(".jp-InputPrompt", has_text="[2]").wait_for(timeout=90_000)
    item = eyes.page.locator(".opg-statusItem")
    item.filter(has_text="sim-OPG today").wait_for()
    expect(item).to_contain_text("simulated network", use_inner_text=True)
    item.click()
    eyes.page.locator(".opg-Panel").wait_for()
    # The user's own simulated network is known here by their own server.
    eyes.page.locator(".opg-Panel", has_text="SIMULATED").wait_for()
    eyes.command("opg-magic:show-ledger")
    rows = eyes.page.locator(".opg-ledger-list > li")
    rows.first.wait_for()
    first = rows.filter(has_text="Name a prime.").first
    expect(first).to_contain_text("SIMULATED", use_inner_text=True)
    expect(first.locator(".opg-ledger-verdict")).to_have_text("SIMULATED")
    first.get_by_role("button", name="Check").click()
    first.locator(".opg-mod-checked").wait_for()
    # This browser asked no registry, and says no more than it knows.
    expect(first.locator(".opg-ledger-verdict")).to_have_text("SIMULATED")
    assert cell(eyes, 1).get_by_text("unknown simulated root").count() == 0
    eyes.screenshot("ledger-light.png")
    offered = eyes.page.evaluate(
        "() => window.jupyterapp.commands.listCommands().filter(id => id.startsWith('opg-magic:'))"
    )
    eyes.command("apputils:activate-command-palette")
    eyes.page.keyboard.type("Verified AI")
    eyes.page.locator(".lm-CommandPalette-item[data-command^='opg-magic:']").first.wait_for()
    shown = set(
        eyes.page.locator(".lm-CommandPalette-item[data-command^='opg-magic:']").evaluate_all(
            "items => items.map(item => item.dataset.command)"
        )
    )
    assert {
        "opg-magic:show-panel",
        "opg-magic:show-ledger",
        "opg-magic:export-jsonl",
        "opg-magic:export-csv",
        "opg-magic:pin-code",
        "opg-magic:settings",
        "opg-magic:new-notebook",
    } <= shown
    assert shown <= set(offered)
    eyes.page.keyboard.press("Escape")
    menu = eyes.page.locator(".lm-MenuBar-itemLabel", has_text="Verified AI")
    expect(menu).to_have_count(1)
    assert eyes.outside == []


def test_launcher_makes_a_notebook_that_asks(eyes: Eyes, lab: Lab) -> None:
    eyes.page.goto(f"{lab.url}/lab?reset&token={lab.token}")
    eyes.page.wait_for_function("() => window.jupyterapp?.restored")
    eyes.page.evaluate("window.jupyterapp.restored")
    eyes.page.locator(".jp-LauncherCard", has_text="Verified notebook").click()
    eyes.page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.sessionContext")
    eyes.page.locator(".cm-line.opg-magicLine").wait_for()
    path = eyes.page.evaluate("window.jupyterapp.shell.currentWidget.context.path")
    made = nbformat.read(lab.root / path, as_version=4)
    nbformat.validate(made)
    assert [c.source for c in made.cells][1] == "%load_ext opg_magic"
    assert made.cells[2].source.startswith("%%opg answer\n")
    eyes.screenshot("launcher-notebook.png")
    # Below the selected cell, a question of one's own.
    eyes.command("opg-magic:insert-question")
    asking(eyes.page)
    eyes.page.keyboard.type("Why?")
    source = eyes.page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource()"
    )
    assert source == "%%opg \nWhy?"
