"""What stands on the page around the answers: the mark in the toolbar, the band of ``%%opg``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import lab_notebooks as notebooks
from support.lab_page import Eyes, Lab, cell, put, read, write

pytestmark = [
    pytest.mark.browser,
    pytest.mark.simnet,
    pytest.mark.kernel,
    pytest.mark.xdist_group("browser"),
]

EXTENSION = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "opg-magic" / "static"
if not EXTENSION.is_dir():
    pytest.skip("the JupyterLab extension is not built", allow_module_level=True)

#: The lowest contrast of a text on the band, of colours as the browser paints them: each
#: background over the one behind it.
BAND = """() => {
    const canvas = document.createElement('canvas');
    const paint = canvas.getContext('2d', { willReadFrequently: true });
    const light = () => {
        const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map(byte => {
            const v = byte / 255;
            return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const fill = colour => { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); };
    const spans = [...document.querySelectorAll('.opg-magicLine span')];
    return spans.filter(one => one.textContent.trim()).map(one => {
        const behind = [];
        for (let at = one; at; at = at.parentElement) {
            behind.unshift(getComputedStyle(at).backgroundColor);
        }
        fill('white');
        behind.forEach(fill);
        const back = light();
        fill(getComputedStyle(one).color);
        const front = light();
        return [(Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05), one.textContent];
    });
}"""

#: Points along the mark where a click reaches something else.
MISSED = """() => {
    const mark = document.querySelector('.opg-mark');
    const { left, right, top, bottom } = mark.getBoundingClientRect();
    const missed = [];
    for (let x = left + 1; x < right; x += 4) {
        const hit = document.elementFromPoint(x, (top + bottom) / 2);
        if (hit !== mark) missed.push([x - left, hit?.className]);
    }
    return missed;
}"""
OVER = """() => {
    const slot = document.querySelector('.opg-Mark');
    const end = document.querySelector('.opg-mark').getBoundingClientRect().right;
    const next = [...slot.parentElement.children]
        .filter(one => slot.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING)
        .filter(one => !one.classList.contains('jp-Toolbar-spacer') && one.offsetWidth > 0)
        .map(one => one.getBoundingClientRect().left);
    return end - Math.min(...next);
}"""


def test_the_mark_takes_a_click_on_its_whole_length_and_covers_nothing(
    eyes: Eyes, lab: Lab
) -> None:
    calls = [notebooks.call(f"Question {number}?", "Yes.") for number in range(3)]
    page = read(eyes.page, lab, put(lab, notebooks.notebook(calls), "mark.ipynb"))
    for width in (1400, 1000, 760):
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_timeout(900)  # the toolbar arranges itself at most twice a second
        mark = page.locator(".jp-Toolbar > .opg-Mark > .opg-mark")
        if mark.count() == 0:
            continue  # put away with the toolbar's other items
        assert page.evaluate(MISSED) == [], width
        assert page.evaluate(OVER) <= 0, width
    page.set_viewport_size({"width": 1400, "height": 700})
    page.wait_for_timeout(900)
    box = page.locator(".opg-mark").bounding_box()
    assert box["width"] > 200
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    page.locator(".opg-entry").first.wait_for()
    for theme, word in (("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")):
        eyes.theme(theme)
        eyes.screenshot(f"mark-{word}.png")


def test_the_line_of_flags_can_be_read_in_both_themes(eyes: Eyes, lab: Lab) -> None:
    line = '%%opg a --model openai/gpt-5 --max-cost 0.1 --temperature {t} --system "be brief"'
    write(lab, "band.ipynb", f"{line}\nWhy?", f"{line}\nAnd why not?")
    eyes.open(lab, "band.ipynb")
    cell(eyes, 1).locator(".opg-magicLine span").nth(6).wait_for()
    for theme, word in (("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")):
        eyes.theme(theme)
        eyes.screenshot(f"band-{word}.png")
        found = eyes.page.evaluate(BAND)
        assert {"%%opg", "--model", "0.1", "{t}"} <= {text for _, text in found}
        assert [(value, text) for value, text in found if value < 4.5] == [], theme
