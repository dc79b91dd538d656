"""A running JupyterLab and a page on it, as the browser tests handle them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from playwright.sync_api import TimeoutError

UI = Path(__file__).resolve().parents[2] / "build" / "ui"
#: How long a page is waited for, in milliseconds: far from what anything takes on a slow machine.
WAIT_MS = 60_000


#: For each text in a card: its colour against the first opaque background behind it.
CONTRASTS = """card => {
    const read = css => (css.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
        const part = byte => {
            const v = byte / 255;
            return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        };
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const behind = node => {
        for (let at = node; at; at = at.parentElement) {
            const colour = read(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    return [...card.querySelectorAll('summary, summary *')]
        .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
        .map(e => {
            const [a, b] = [light(read(getComputedStyle(e).color)), light(behind(e))];
            const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            return [contrast, e.textContent.trim().slice(0, 40)];
        });
}"""


@dataclass
class Lab:
    """A running server: its folder of notebooks, its address, and the environment that its kernels
    have."""

    root: Path
    url: str
    token: str
    env: dict[str, str]

    def notebook_url(self, name: str) -> str:
        return f"{self.url}/lab/tree/{quote(name)}?reset&token={self.token}"

    def opg(self, *arguments: str) -> str:
        """The command line of the server's user; what it prints."""
        command = [sys.executable, "-m", "opg_magic.shell.main", *arguments]
        done = subprocess.run(
            command, env=self.env, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout


@dataclass
class Eyes:
    """A page of the browser, and every address that it asked for."""

    page: Any
    outside: list[str] = field(default_factory=list)

    def open(self, lab: Lab, name: str) -> None:
        """Open a notebook and wait until its kernel is ready: a Shift+Enter before that is lost."""
        self.page.goto(lab.notebook_url(name))
        self.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
        self.page.evaluate(
            """async () => {
                const app = window.jupyterapp;
                await app.restored;
                const panel = app.shell.currentWidget;
                await panel.context.ready;
                await panel.sessionContext.ready;
                await panel.sessionContext.session.kernel.info;
            }"""
        )

    def command(self, name: str, **arguments: Any) -> None:
        self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args)", [name, arguments]
        )

    def begin(self, name: str) -> None:
        """A command that ends only when its dialog does."""
        self.page.evaluate("name => void window.jupyterapp.commands.execute(name)", name)

    def theme(self, name: str) -> None:
        self.command("apputils:change-theme", theme=name)
        light = "true" if name == "JupyterLab Light" else "false"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")

    def screenshot(self, name: str) -> Path:
        UI.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(
            400
        )  # for fonts and the theme's own transition; nothing is asserted on it
        path = UI / name
        self.page.screenshot(path=str(path), animations="disabled")
        return path


def put(lab: Lab, made: nbformat.NotebookNode, name: str, *, kernel: bool = False) -> str:
    """Lay a notebook into the server's folder, unsigned, as a stranger's; without a kernel unless
    told."""
    if not kernel:
        made = nbformat.from_dict(json.loads(json.dumps(made)))
        made.metadata.pop("kernelspec", None)
    nbformat.write(made, lab.root / name)
    return name


def read(page: Any, lab: Lab, name: str) -> Any:
    """Open a notebook and decline every kernel; wait until all its receipts are judged."""
    page.goto(lab.notebook_url(name))
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context")
    page.evaluate(
        """async () => {
            const app = window.jupyterapp;
            await app.restored;
            await app.shell.currentWidget.context.ready;
        }"""
    )
    if "kernelspec" not in nbformat.read(lab.root / name, as_version=4).metadata:
        page.locator(".jp-Dialog button", has_text="No Kernel").click()
    judged(page)
    return page


def judged(page: Any, *words: str) -> str:
    """The whole line of the notebook's mark, once nothing is left to check and it says these
    words."""
    says = """words => {
        const title = document.querySelector('.opg-mark')?.title ?? '';
        return words.every(word => title.includes(word));
    }"""
    try:
        page.wait_for_function(says, arg=["as signed", *words])
    except TimeoutError as late:
        said = page.evaluate("() => document.querySelector('.opg-mark')?.title ?? null")
        raise AssertionError(f"the mark says {said!r}, not {words!r}") from late
    title: str = page.locator(".opg-mark").get_attribute("title")
    return title


def write(lab: Lab, name: str, *sources: str) -> None:
    """A notebook with these code cells."""
    notebook = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(notebook, lab.root / name)


def cell(eyes: Eyes, index: int) -> Any:
    return eyes.page.locator(".jp-Notebook .jp-Cell").nth(index)


def caret(eyes: Eyes, index: int, line: int, column: int) -> None:
    """Edit a cell, the cursor at that place."""
    eyes.page.evaluate(
        """([index, line, column]) => {
            const { content } = window.jupyterapp.shell.currentWidget;
            content.activeCellIndex = index;
            content.mode = 'edit';
            content.activeCell.editor.setCursorPosition({ line, column });
            content.activeCell.editor.focus();
        }""",
        [index, line, column],
    )


def run(eyes: Eyes, index: int) -> None:
    caret(eyes, index, 0, 0)
    eyes.page.keyboard.press("Control+Enter")


def asking(page: Any) -> None:
    """Wait until the cursor is in a question of one's own."""
    page.wait_for_function(
        """() => {
            const cell = window.jupyterapp.shell.currentWidget.content.activeCell;
            return cell.model.sharedModel.getSource() === '%%opg \\n' && cell.editor?.hasFocus();
        }"""
    )


def finished(eyes: Eyes, index: int, number: int) -> None:
    """Wait until a cell's prompt bears that number."""
    cell(eyes, index).locator(".jp-InputPrompt", has_text=f"[{number}]").wait_for(timeout=90_000)
