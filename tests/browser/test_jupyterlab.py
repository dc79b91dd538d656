"""What a person sees in JupyterLab: in a saved notebook, trusted or not, light and dark, and while
a cell runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect
from support.lab_page import CONTRASTS, UI, Eyes, Lab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.simnet,
    pytest.mark.kernel,
    pytest.mark.xdist_group("browser"),
]

CARD = ".jp-OutputArea-output details"


def shown(eyes: Eyes) -> Any:
    """The cards on the page."""
    return eyes.page.locator(CARD)


def put(lab: Lab, notebook: Path, name: str, *, trusted: bool) -> None:
    """Lay a notebook into the server's folder; a trusted one is signed as one's own runs are."""
    target = lab.root / name
    shutil.copyfile(notebook, target)
    if trusted:
        from nbformat.sign import NotebookNotary

        notary = NotebookNotary(data_dir=lab.env["JUPYTER_DATA_DIR"])
        Path(lab.env["JUPYTER_DATA_DIR"]).mkdir(parents=True, exist_ok=True)
        notary.sign(nbformat.read(target, as_version=4))
        notary.store.close()


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_executed_quickstart_shows_its_cards(
    eyes: Eyes, lab: Lab, executed_quickstart: Path, trusted: bool
) -> None:
    name = "quickstart.ipynb" if trusted else "from_a_stranger.ipynb"
    put(lab, executed_quickstart, name, trusted=trusted)
    eyes.open(lab, name)
    eyes.command("application:toggle-left-area")
    card = shown(eyes).first
    card.scroll_into_view_if_needed()
    expect(card.locator("summary")).to_contain_text("simulated network")
    summary = card.locator("summary").inner_text()
    assert "VERIFIED" not in summary.upper().replace("UNVERIFIED", "")
    card.locator("summary").click()
    expect(card).to_contain_text("Not known", use_inner_text=True)
    opened = card.inner_text()
    for claim in (
        "request",
        "response",
        "signature",
        "freshness",
        "attestation",
        "registry",
        "channel",
    ):
        assert claim in opened
    for theme, word in (("JupyterLab Light", "light"), ("JupyterLab Dark", "dark")):
        eyes.theme(theme)
        image = eyes.screenshot(f"quickstart-{'trusted' if trusted else 'untrusted'}-{word}.png")
        assert image.stat().st_size > 20_000
        if trusted:
            # The cell alone, for the README (scripts/shrink_png.py).
            cell = card.locator(
                "xpath=ancestor::div[contains(concat(' ', @class, ' '), ' jp-Cell ')][1]"
            )
            cell.screenshot(path=str(UI / f"card-{word}.png"))
    assert eyes.outside == []


def test_card_has_room_and_contrast_in_both_themes(
    eyes: Eyes, lab: Lab, executed_quickstart: Path
) -> None:
    """The summary's words are readable (WCAG AA, 4.5 : 1) and nothing is cut off at the side."""
    put(lab, executed_quickstart, "contrast.ipynb", trusted=True)
    eyes.open(lab, "contrast.ipynb")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        eyes.theme(theme)
        card = shown(eyes).first
        card.scroll_into_view_if_needed()
        assert card.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
        for ratio, words in card.evaluate(CONTRASTS):
            assert ratio >= 4.5, f"{theme}: {words!r} has contrast {ratio:.2f}"


def test_card_comes_while_one_looks(eyes: Eyes, lab: Lab) -> None:
    """Shift+Enter on a live kernel: the card appears by itself and is in the file after saving."""
    notebook = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    notebook.cells = [
        nbformat.v4.new_code_cell("%load_ext opg_magic"),
        nbformat.v4.new_code_cell(
            "%%opg live\nWhat does a trusted execution environment protect against?"
        ),
        nbformat.v4.new_code_cell("len(live.text)"),
    ]
    nbformat.write(notebook, lab.root / "live.ipynb")
    eyes.open(lab, "live.ipynb")
    eyes.command("application:toggle-left-area")
    eyes.page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
    for _ in notebook.cells:
        eyes.page.keyboard.press("Shift+Enter")
    card = shown(eyes).first
    card.wait_for(timeout=90_000)
    card.locator("summary", has_text="simulated network").wait_for()
    eyes.page.locator(".jp-OutputArea-executeResult").last.wait_for()
    eyes.screenshot("live-light.png")
    eyes.command("docmanager:save")
    eyes.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    saved = nbformat.read(lab.root / "live.ipynb", as_version=4)
    (bundle,) = [
        output for output in saved.cells[1].outputs if output.output_type == "display_data"
    ]
    for mime in ("text/plain", "text/markdown", "text/html", "application/vnd.opg.receipt.v1+json"):
        assert mime in bundle.data
    assert int(saved.cells[2].outputs[0].data["text/plain"]) > 20
    assert eyes.outside == []
