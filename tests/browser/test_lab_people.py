"""What a person meets beside the plain way: a page loaded anew, a second window, liars, little
room, no extension."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect
from support import lab_notebooks as notebooks
from support import signing
from support.lab_page import (
    CONTRASTS,
    UI,
    WAIT_MS,
    Eyes,
    Lab,
    asking,
    cell,
    finished,
    judged,
    put,
    read,
    run,
    write,
)
from support.lying_rpc import Edit, listener, lying_rpc

from opg_magic.network.profiles import OPENGRADIENT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.simnet,
    pytest.mark.kernel,
    pytest.mark.xdist_group("browser"),
]

CARD = ".opg-receipt .opg-card"
STOP = "button.opg-stop"
THEMES = (("JupyterLab Light", "light"), ("JupyterLab Dark", "dark"))
QUESTION = "Tell me a long story about the sea, please, in so many words that it takes its time."


#: Where colour says nothing that a word beside it does not say.
SIGN = re.compile(r"[✓✗○◌–]")


def readable(card: Any, theme: str) -> None:
    """All words of an opened card meet WCAG AA (4.5 : 1)."""
    for ratio, words in card.evaluate(CONTRASTS.replace("'summary, summary *'", "'*'")):
        assert ratio >= (3 if SIGN.fullmatch(words) else 4.5), (
            f"{theme}: {words!r} has contrast {ratio:.2f}"
        )


@pytest.fixture(scope="module")
def answers() -> nbformat.NotebookNode:
    return notebooks.notebook(
        [
            notebooks.call("What is sealed?", "Memory is sealed by the processor."),
            notebooks.call("Is 561 prime?", "No: 561 = 3 · 11 · 17."),
            notebooks.call("Is 563 prime?", "Yes, it is."),
        ]
    )


# ---------------------------------------------------------- a page that is loaded while a call runs


@pytest.fixture
def slow(lab: Lab) -> Iterator[str]:
    """A host that takes half a second for each token."""
    lab.opg("simnet", "up")
    lab.opg("simnet", "cheat", "bruno", "slow")
    yield "bruno"
    lab.opg("simnet", "cheat", "bruno", "off")


def streaming(eyes: Eyes, index: int) -> None:
    """Wait until some of a cell's answer has come."""
    cell(eyes, index).locator(".jp-OutputArea-output", has_text="You asked").wait_for()


def begun(eyes: Eyes, lab: Lab, name: str, host: str) -> None:
    """A notebook whose second cell streams."""
    write(lab, name, "%load_ext opg_magic", f"%%opg slow --host {host}\n{QUESTION}", "1 + 1")
    eyes.open(lab, name)
    run(eyes, 0)
    finished(eyes, 0, 1)
    run(eyes, 1)
    streaming(eyes, 1)


def again(eyes: Eyes, address: str) -> None:
    """Load the page anew, and wait for the notebook; its kernel is busy and says nothing."""
    eyes.page.goto(address)
    eyes.page.wait_for_function(
        "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"
    )


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "left-to-end"])
@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_call_goes_on_when_the_page_is_loaded_anew(
    eyes: Eyes, lab: Lab, slow: str, app: str, stopped: bool
) -> None:
    name = f"anew-{app}-{stopped}.ipynb"
    begun(eyes, lab, name, slow)
    eyes.page.evaluate("window.jupyterapp.shell.currentWidget.context.save()")
    again(
        eyes,
        lab.notebook_url(name) if app == "lab" else f"{lab.url}/notebooks/{name}?token={lab.token}",
    )
    stop = cell(eyes, 1).locator(STOP)
    stop.wait_for()
    assert "this page did not begin" in str(stop.get_attribute("title"))
    then = re.search(r"answering, (\d+) tokens", cell(eyes, 1).inner_text())
    eyes.page.wait_for_function(
        """then => {
            const shown = document.querySelector('.jp-Notebook').textContent;
            const now = shown.match(/answering, (\\d+) tokens/);
            return now !== null && Number(now[1]) > then;
        }""",
        arg=int(then[1]) if then else 0,
    )
    eyes.screenshot(f"loaded-anew-{app}.png")
    assert eyes.page.evaluate("window.jupyterapp.commands.isEnabled('opg-magic:stop')")
    if stopped:
        stop.click()
    else:
        lab.opg("simnet", "cheat", slow, "off")  # the rest comes at once
    card = cell(eyes, 1).locator(CARD)
    card.wait_for(timeout=90_000)
    stop.wait_for(state="detached")
    said, not_said = "stopped before its answer was complete", "All 7 checks pass"
    if not stopped:
        said, not_said = not_said, said
    told = card.locator("summary").first
    expect(told).to_contain_text(said, use_inner_text=True)
    assert not_said not in told.inner_text().replace("\xa0", " ")
    if app == "lab":
        # What the bar says of running calls follows.
        eyes.page.wait_for_function(
            "() => !document.querySelector('.opg-statusItem').textContent.includes('running')"
        )
    # One output, settled: the file holds nothing of a call that runs.
    eyes.page.evaluate("window.jupyterapp.shell.currentWidget.context.save()")
    (output,) = nbformat.read(lab.root / name, as_version=4).cells[1].outputs
    assert "application/vnd.opg.receipt.v1+json" in output.data
    assert output.metadata == {}


def test_a_call_of_which_the_file_knows_nothing_is_stopped_from_the_toolbar(
    eyes: Eyes, lab: Lab, slow: str
) -> None:
    begun(eyes, lab, "unsaved.ipynb", slow)
    eyes.page.on("dialog", lambda dialog: dialog.accept())
    again(eyes, lab.notebook_url("unsaved.ipynb"))
    stop = eyes.page.locator(f".jp-NotebookPanel-toolbar {STOP}")
    stop.wait_for()
    expect(stop).to_contain_text("Stop AI call", use_inner_text=True)
    assert cell(eyes, 1).locator(".jp-OutputArea-output").count() == 0
    eyes.screenshot("loaded-anew-unsaved.png")
    eyes.page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
    eyes.page.keyboard.press("Alt+Shift+S")
    stop.wait_for(state="detached")
    # No card is put into a cell by a guess; where to find it is told, and it is there.
    said = eyes.page.locator(".jp-toast-message", has_text="has ended").or_(
        eyes.page.get_by_text("The AI call that ran when this page was loaded has ended.")
    )
    said.first.wait_for()
    found = re.search(r"%opg show (\w{10})", said.first.inner_text())
    assert found is not None, said.first.inner_text()
    assert cell(eyes, 1).locator(".jp-OutputArea-output").count() == 0
    eyes.page.evaluate(
        """line => {
            const { content } = window.jupyterapp.shell.currentWidget;
            content.widgets[2].model.sharedModel.setSource(line);
        }""",
        f"%opg show {found[1]}",
    )
    run(eyes, 2)
    cell(eyes, 2).locator(CARD).get_by_text(
        "stopped before its answer was complete"
    ).first.wait_for()


def test_a_second_window_can_stop_the_call_of_the_first(eyes: Eyes, lab: Lab, slow: str) -> None:
    begun(eyes, lab, "two.ipynb", slow)
    eyes.page.evaluate("window.jupyterapp.shell.currentWidget.context.save()")
    other = Eyes(eyes.page.context.new_page())
    again(other, lab.notebook_url("two.ipynb"))
    cell(other, 1).locator(STOP).click()
    for one in (other, eyes):
        one.page.bring_to_front()
        cell(one, 1).locator(CARD).get_by_text(
            "stopped before its answer was complete"
        ).first.wait_for()
        cell(one, 1).locator(STOP).wait_for(state="detached")


# ------------------------------------------------------------------------------------- the registry


def answered(eyes: Eyes, lab: Lab, name: str) -> Any:
    """A notebook with one answer of the running network; its card."""
    lab.opg("simnet", "up")
    write(lab, name, "%load_ext opg_magic", "%%opg one\nName a prime.")
    eyes.open(lab, name)
    for index in (0, 1):
        run(eyes, index)
    finished(eyes, 1, 2)
    card = eyes.page.locator(CARD).first
    card.get_by_text("asked live by your kernel").first.wait_for()
    return card


@contextmanager
def rpcs(lab: Lab, *addresses: str) -> Iterator[None]:
    """The reader's own simulated network has other RPCs, for as long as this lasts."""
    file = Path(lab.env["OPG_HOME"]) / "simnet" / "state.json"
    honest = file.read_text()
    first, *more = addresses
    file.write_text(
        json.dumps({**json.loads(honest), "registry_rpc": first, "more_registry_rpcs": more})
    )
    try:
        yield
    finally:
        file.write_text(honest)


def denies(method: str, params: list[Any], honest: dict[str, Any]) -> dict[str, Any]:
    """Has never heard of any host."""
    from opg_magic.network.abi import function

    selector = "0x" + function("registry", "getTEE").encode(b"\0" * 32)[:4].hex()
    if method == "eth_call" and str(params[0].get("data") or params[0].get("input")).startswith(
        selector
    ):
        return {
            "jsonrpc": "2.0",
            "id": honest["id"],
            "error": {"code": 3, "message": "execution reverted"},
        }
    return honest


def another_chain(method: str, params: list[Any], honest: dict[str, Any]) -> dict[str, Any]:
    """The same blocks by number, under other hashes."""
    if method == "eth_getBlockByNumber" and honest.get("result"):
        return {**honest, "result": {**honest["result"], "hash": "0x" + "5c" * 32}}
    return honest


@pytest.mark.parametrize(
    ("edit", "beside_an_honest_one", "headline", "row"),
    [
        (denies, False, "Failed", "not listed"),
        (denies, True, "Failed", "disagree"),
        (another_chain, False, "All 7 checks pass", "listed and active"),
    ],
    ids=["denies", "disagrees", "other-chain"],
)
def test_an_rpc_that_lies(
    eyes: Eyes, lab: Lab, edit: Edit, beside_an_honest_one: bool, headline: str, row: str
) -> None:
    """What the reader's own RPCs say is compared, and what does not fit is told for what it is."""
    name = f"liar-{edit.__name__}-{beside_an_honest_one}.ipynb"
    card = answered(eyes, lab, name)
    honest = json.loads((Path(lab.env["OPG_HOME"]) / "simnet" / "state.json").read_text())[
        "registry_rpc"
    ]
    with (
        lying_rpc(honest, edit) as liar,
        rpcs(lab, *([honest] if beside_an_honest_one else []), liar),
    ):
        eyes.command("opg-magic:show-panel")
        eyes.page.locator(".opg-Panel").get_by_role("button", name="Ask the registry").click()
        eyes.page.locator(".opg-Panel").get_by_role("button", name="Ask the registry").and_(
            eyes.page.locator(":enabled")
        ).wait_for()
        card.locator("b.opg-headline", has_text=headline).wait_for()
        if not card.evaluate("e => e.open"):
            card.locator("summary").first.click()
        claim = card.locator("tr[data-claim=registry]")
        claim.get_by_text(row).first.wait_for()
        if edit is another_chain:
            expect(card).to_contain_text("does not serve the simulated chain", use_inner_text=True)
            judged(eyes.page, "registry asked: 1")  # by the kernel that made the call
        else:
            expect(claim).to_have_attribute("data-basis", "asked")
            expect(claim).to_have_attribute("data-status", "failed")
            judged(eyes.page, "1 failed · registry asked: 1")
            eyes.screenshot("registry-denied-light.png")
    # Asked again, of honest ones: a lie is not remembered.
    eyes.page.locator(".opg-Panel").get_by_role("button", name="Ask the registry").click()
    card.locator("b.opg-headline", has_text="All 7 checks pass").wait_for()


def test_nobody_that_a_notebook_names_is_asked(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode, tmp_path: Path
) -> None:
    """Neither by the page nor by the reader's server, which says in words that its own RPC does not
    answer."""
    settings = Path(lab.env["OPG_HOME"]) / "config.toml"
    assert not settings.exists()
    with listener() as (trap, contacted):
        source, receipt = notebooks.call("Who is asked?", "Nobody.", network=OPENGRADIENT)
        host = {**receipt.document["host"], "endpoint": f"https://{trap}"}
        registry = {**receipt.document["registry"], "rpcs": [trap]}
        named = notebooks.redigested_copy(receipt, host=host, registry=registry)
        page = read(eyes.page, lab, put(lab, notebooks.notebook([(source, named)]), "trap.ipynb"))
        card = page.locator(CARD).first
        try:
            for text, said in (
                ("", "name no RPC of the registry's chain. "),
                ('registry_rpcs = ["http://127.0.0.1:1/a-key"]\n', "registry unreachable"),
            ):
                settings.write_text(text)
                eyes.command("opg-magic:ask-registry")
                if not card.evaluate("e => e.open"):
                    card.locator("summary").first.click()
                card.get_by_text("The registry could not be asked: ").get_by_text(said).wait_for()
                registry = card.locator("tr[data-claim=registry]")
                expect(registry).to_have_attribute("data-basis", "recorded")
                assert "a-key" not in card.inner_text()
                judged(page, "registry not asked")
        finally:
            settings.unlink()
        assert contacted == []
    assert eyes.outside == []


# ----------------------------------------------------------------------------- status, ledger, list


def test_the_status_bar_counts_running_calls_and_opens_the_panel(
    eyes: Eyes, lab: Lab, slow: str
) -> None:
    begun(eyes, lab, "bar.ipynb", slow)
    item = eyes.page.get_by_role("button", name="Opens the receipts")
    item.get_by_text("1 running").wait_for()
    expect(item).to_have_text(
        re.compile(r"^opg: simulated network · [\d.]+ of [\d.]+ sim-OPG today · 1 running$")
    )
    assert "no real money" in str(item.get_attribute("title"))
    assert item.evaluate("e => getComputedStyle(e).borderTopStyle") == "dashed"
    panel = eyes.page.locator(".opg-Panel")
    assert not panel.is_visible()
    item.focus()
    eyes.page.keyboard.press("Enter")
    panel.wait_for()
    cell(eyes, 1).locator(STOP).click()
    finished(eyes, 1, 2)
    eyes.page.wait_for_function(
        "() => !document.querySelector('.opg-statusItem').textContent.includes('running')"
    )


def test_what_is_exported_is_accepted_by_the_command_line(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode, tmp_path: Path
) -> None:
    """A good one and a forged one, by keyboard alone; ``opg verify`` finds in the file what the
    browser found."""
    page = read(eyes.page, lab, put(lab, notebooks.tampered(answers, 2), "carry.ipynb"))
    eyes.command("opg-magic:show-panel")
    files = {}
    for kind in ("JSONL", "CSV"):
        button = page.get_by_role("button", name=f"Export {kind}")
        button.focus()
        with page.expect_download() as saved:
            page.keyboard.press("Enter")
        files[kind] = tmp_path / saved.value.suggested_filename
        saved.value.save_as(files[kind])
    assert files["JSONL"].name == "carry-receipts.jsonl"
    documents = [json.loads(line) for line in files["JSONL"].read_text("utf-8").splitlines()]
    assert [one["prompt"]["text"] for one in documents] == [
        "What is sealed?",
        "Is 561 prime?",
        "Is 563 prime?",
    ]
    command = [
        sys.executable,
        "-m",
        "opg_magic.shell.main",
        "verify",
        str(files["JSONL"]),
        "--json",
    ]
    done = subprocess.run(command, env=lab.env, capture_output=True, text=True, timeout=60)
    report = json.loads(done.stdout)
    assert done.returncode != 0
    here = list(csv.DictReader(files["CSV"].open(newline="", encoding="utf-8")))
    there = [one["verdict"] for one in report["receipts"]]
    assert [row["failed"] for row in here] == ["no", "yes", "no"]
    assert [row["verdict_here"].rpartition(" ")[2] for row in here] == [
        word.rpartition(" ")[2] for word in there
    ]


def test_the_list_by_keyboard(eyes: Eyes, lab: Lab) -> None:
    """Tab reaches all of it, arrows sort and filter, Enter goes to the cell, and one sees where one
    is."""
    calls = [
        notebooks.call(prompt, text)
        for prompt, text in (("Cheap?", "Yes."), ("Forged?", "No, sealed."))
    ]
    page = read(
        eyes.page, lab, put(lab, notebooks.tampered(notebooks.notebook(calls), 2), "list.ipynb")
    )
    eyes.command("opg-magic:show-panel")
    panel = page.get_by_role("tabpanel", name="Notebook")
    judged(page, "1 failed")
    expect(panel.locator(".opg-entry").first).to_contain_text("Forged?")
    expect(panel.locator(".opg-entry")).to_have_count(2)
    panel.get_by_role("searchbox").focus()
    names = []
    for _ in range(9):
        names.append(
            page.evaluate(
                "() => document.activeElement.getAttribute('aria-label') || "
                "document.activeElement.textContent"
            )
        )
        # Everything that can be reached shows that it has the focus.
        assert page.evaluate(
            """() => {
                const style = getComputedStyle(document.activeElement);
                const { outlineStyle, boxShadow, borderColor } = style;
                const before = borderColor;
                const node = document.activeElement;
                node.blur();
                const changed = getComputedStyle(node).borderColor !== before;
                node.focus();
                return outlineStyle !== 'none' || boxShadow !== 'none' || changed;
            }"""
        ), names[-1]
        page.keyboard.press("Tab")
    assert names[0] == "Search receipts"
    assert "Forged?" in names[3]
    assert "Cheap?" in names[4]
    assert names[5:] == ["Check again", "Ask the registry", "Export JSONL", "Export CSV"]
    show = panel.get_by_role("combobox", name="Show")
    show.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.querySelectorAll('.opg-entry').length === 1")
    assert show.input_value() == "failed"
    page.keyboard.press("ArrowDown")
    panel.get_by_text("None of 2 receipts fits.").wait_for()
    page.keyboard.press("Home")
    sort = panel.get_by_role("combobox", name="Sort by")
    sort.focus()
    page.keyboard.press("ArrowDown")
    assert sort.input_value() == "verdict"
    entry = panel.get_by_role("button", name="Forged?")
    entry.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex === 2"
    )


def test_many_receipts_are_judged_without_taking_the_page(eyes: Eyes, lab: Lab) -> None:
    """While 300 are judged again, whatever else waits (keys, clicks, drawing) has its turn between
    any two of them."""
    made = notebooks.notebook(
        [notebooks.call(f"Question {n}?", f"Answer number {n}.") for n in range(300)]
    )
    page = read(eyes.page, lab, put(lab, made, "three_hundred.ipynb"))
    # On a clock by which each slice of time is over at once, so that a fast machine and a slow one
    # do the same.
    turns = page.evaluate(
        """async () => {
            const now = performance.now.bind(performance);
            const Channel = MessageChannel;
            let jumped = 0;
            let turns = 0;
            performance.now = () => now() + (jumped += 1000);
            globalThis.MessageChannel = function () {
                turns++;
                return new Channel();
            };
            await window.jupyterapp.commands.execute('opg-magic:check-notebook');
            globalThis.MessageChannel = Channel;
            delete performance.now;
            return turns;
        }"""
    )
    assert turns >= 300, "the event loop was not let go round"
    judged(page, "300 simulated answers · 300 as signed")


def test_names_and_roles(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode, trusting: None
) -> None:
    """What a screen reader is told by mark, badge and card; and the card opens by keyboard."""
    page = read(eyes.page, lab, put(lab, notebooks.tampered(answers, 1), "names.ipynb"))
    mark = page.get_by_role(
        "button", name="AI answers in this notebook, as this browser found them"
    )
    expect(mark).to_have_attribute("aria-label", re.compile("1 failed"))
    expect(page.get_by_role("note", name="Not what the host signed")).to_have_count(1)
    expect(page.get_by_role("note", name="All 7 required checks pass")).to_have_count(2)
    failed = page.get_by_role("region", name="Not what the host signed")
    expect(failed).to_have_count(1)
    table = failed.get_by_role("table", name="What was checked")
    expect(table.get_by_role("row", name="response failed")).to_have_count(1)
    good = page.get_by_role("region", name="All 7 required checks pass").first
    summary = good.locator("summary").first
    # Who comes by keyboard is shown where they are; a click before shows nothing.
    page.keyboard.press("Tab")
    summary.focus()
    assert summary.evaluate("e => getComputedStyle(e).outlineStyle") != "none"
    page.keyboard.press("Enter")
    good.get_by_role("table").wait_for()
    copy = good.get_by_role("button", name="Copy the command")
    copy.focus()
    page.keyboard.press("Enter")
    good.get_by_text("Copied", exact=True).wait_for()
    # No mark without a word, and no link to an explorer that the reader did not name.
    assert all(len(badge.split()) >= 2 for badge in page.locator(".opg-badge").all_inner_texts())
    good.locator("summary", has_text="Evidence").click()
    good.get_by_text("block hash", exact=False).first.wait_for()
    assert good.locator(".opg-link").count() == 0


def test_explorers_are_those_of_the_settings(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode
) -> None:
    settings = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / "opg-magic" / "plugin.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"explorers": {"10740": "https://explorer.example"}}))
    try:
        page = read(eyes.page, lab, put(lab, answers, "explorer.ipynb"))
        card = page.locator(CARD).first
        card.locator("summary").first.click()
        card.locator("summary", has_text="Evidence").click()
        link = card.locator("a.opg-link").first
        link.wait_for()
        assert str(link.get_attribute("href")).startswith("https://explorer.example/")
        assert "noopener" in str(link.get_attribute("rel"))
    finally:
        settings.unlink()
    assert eyes.outside == []


def test_little_room(eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode) -> None:
    """Nothing of ours is cut off, or lies over a cell's text, in a narrow window."""
    made = notebooks.tampered(answers, 1)
    page = read(eyes.page, lab, put(lab, made, "narrow.ipynb"))
    eyes.command("application:toggle-left-area")
    eyes.command("opg-magic:show-panel")
    page.locator(".opg-entry").nth(2).wait_for()
    for width in (1180, 720):
        page.set_viewport_size({"width": width, "height": 1000})
        for theme, word in THEMES:
            eyes.theme(theme)
            eyes.screenshot(f"room-{width}-{word}.png")
            for part in (".opg-receipt", ".opg-card", ".opg-entry", ".opg-totals", ".opg-listing"):
                for node in page.locator(part).all():
                    assert node.evaluate("e => e.scrollWidth <= e.clientWidth + 1"), (width, part)
            for badge in page.locator(".opg-badge").all():
                assert badge.evaluate(
                    """badge => {
                        if (badge.scrollWidth > badge.clientWidth) return false;
                        const one = badge.getBoundingClientRect();
                        const area = badge.closest('.jp-InputArea');
                        const editor = area.querySelector('.jp-InputArea-editor');
                        const other = editor.getBoundingClientRect();
                        return one.right <= other.left + 1 || one.bottom <= other.top + 1;
                    }"""
                ), (width, word)
            readable(page.locator(CARD).first, theme)


def test_settings_have_a_form(eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode) -> None:
    """The command opens it; what is chosen there is in force at once."""
    page = read(eyes.page, lab, put(lab, answers, "form.ipynb"))
    settings = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / "opg-magic" / "plugin.jupyterlab-settings"
    eyes.command("opg-magic:settings")
    box = page.get_by_role("checkbox", name="Badges beside cells")
    box.wait_for()
    page.get_by_text("no address found in one is ever contacted").first.wait_for()
    try:
        box.uncheck()
        page.wait_for_function("() => document.querySelectorAll('.opg-badge').length === 0")
    finally:
        settings.unlink(missing_ok=True)


# --------------------------------------------------------------------------------------- Notebook 7


def test_notebook_7_by_hand(
    eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode, trusting: None
) -> None:
    """Shortcuts, menu and pins where there is neither a side bar of icons nor a status bar."""
    name = put(lab, notebooks.tampered(answers, 3), "seven_by_hand.ipynb")
    page = eyes.page
    page.goto(f"{lab.url}/notebooks/{name}?token={lab.token}")
    page.locator(".jp-Dialog button", has_text="No Kernel").click()
    judged(page, "1 failed")
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.keyboard.press("Alt+Shift+R")
    page.locator(".opg-entry").nth(2).wait_for()
    page.keyboard.press("Alt+Shift+F")
    page.wait_for_function(f"() => ({active})() === 3")
    page.locator(".lm-MenuBar-itemLabel", has_text="Verified AI").click()
    menu = page.locator("#opg-magic-menu .lm-Menu-item[data-command]")
    menu.first.wait_for()
    eyes.screenshot("notebook7-menu-light.png")
    page.locator("#opg-magic-menu .lm-Menu-item", has_text="Code That You Accept").click()
    kept = (
        page.get_by_role("dialog").get_by_role("group", name="Accepted now").get_by_role("checkbox")
    )
    kept.wait_for()
    assert kept.is_checked()
    page.keyboard.press("Escape")
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.keyboard.press("Alt+Shift+Q")
    asking(page)
    page.keyboard.type("Why?")
    source = (
        "() => window.jupyterapp.shell.currentWidget.content.activeCell"
        ".model.sharedModel.getSource()"
    )
    page.wait_for_function(f"() => ({source})() === '%%opg \\nWhy?'")
    assert eyes.outside == []


# ---------------------------------------------------------------------------- without the extension


#: A saved card, as it stands where nobody judges it: one line that opens.
SAVED_CARD = ".jp-OutputArea-output details[style*='border:1px solid']"


def facts(line: Any) -> tuple[str, ...]:
    """What a card's first line tells: whether simulated, cost and host."""
    expect(line).to_contain_text("sim-OPG", use_inner_text=True)
    text = line.inner_text().replace("\xa0", " ")
    found = [
        re.search(form, text)
        for form in (r"simulated network", r"[\d.]+ sim-OPG", r"host [0-9a-f]{4}…[0-9a-f]{4}")
    ]
    assert all(found), text
    return tuple(match[0] for match in found if match is not None)


@pytest.fixture(scope="module")
def with_us(browser: Any, lab: Lab, answers: nbformat.NotebookNode) -> tuple[str, ...]:
    """What the first card tells with the extension."""
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    page = read(context.new_page(), lab, put(lab, answers, "with_us.ipynb"))
    told = facts(page.locator(CARD).first.locator("summary").first)
    context.close()
    return told


def test_jupyterlab_without_the_extension(
    eyes_without_us: Eyes,
    lab_without_us: Lab,
    answers: nbformat.NotebookNode,
    with_us: tuple[str, ...],
) -> None:
    """The saved card stands there as it was: the same facts, the kernel's verdict as such, readable
    in both themes."""
    eyes, page = eyes_without_us, eyes_without_us.page
    name = put(lab_without_us, notebooks.tampered(answers, 3), "without.ipynb")
    page.goto(lab_without_us.notebook_url(name))
    page.locator(".jp-Dialog button", has_text="No Kernel").click()
    cards = page.locator(SAVED_CARD)
    cards.nth(2).wait_for(state="attached")
    assert page.evaluate("() => window.jupyterapp.hasPlugin('opg-magic:receipts')") is False
    assert page.locator(".opg-receipt, .opg-mark, .opg-badge").count() == 0
    first = cards.first
    assert facts(first) == with_us
    first.locator("summary").click()
    expect(first).to_contain_text("author's kernel, 2026-05-04 12:00 UTC", use_inner_text=True)
    expect(first).to_contain_text("opg verify", use_inner_text=True)
    # Nobody checks there: what was forged looks like what the author's kernel saved, and no card
    # says otherwise.
    for card in cards.all():
        assert "this browser" not in card.inner_text().lower()
    for theme, word in THEMES:
        eyes.theme(theme)
        eyes.screenshot(f"without-{word}.png")
        readable(first, theme)
        assert first.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    assert eyes.outside == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_made_of_the_notebook(
    eyes: Eyes,
    lab: Lab,
    answers: nbformat.NotebookNode,
    with_us: tuple[str, ...],
    tmp_path: Path,
    theme: str,
) -> None:
    """nbconvert's HTML, opened without any server and without scripts: the same facts, readable."""
    source = notebooks.write(answers, tmp_path / "page.ipynb")
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "html",
        f"--HTMLExporter.theme={theme}",
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, env=lab.env, timeout=120)
    made = (tmp_path / "page.html").read_text("utf-8")
    start = r'<div class="jp-RenderedHTMLCommon[^"]*jp-OutputArea-output'
    outputs = re.findall(start + r".*?opg verify.*?</div></details></div>", made, re.DOTALL)
    assert len(outputs) == 3
    assert not any(
        re.search(r"<script|\son\w+=|javascript:|https?://", output) for output in outputs
    )
    context = eyes.page.context.browser.new_context(
        java_script_enabled=False, viewport={"width": 900, "height": 900}
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(f"file://{tmp_path / 'page.html'}")
    card = page.locator(SAVED_CARD).first
    assert facts(card) == with_us
    card.locator("summary").click()
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text(
        "Memory is sealed by the processor.", use_inner_text=True
    )
    expect(card).to_contain_text("opg verify", use_inner_text=True)
    UI.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(UI / f"page-{theme}.png"))
    readable(card, theme)
    context.close()


def test_pins_are_those_of_the_reader(eyes: Eyes, lab: Lab, answers: nbformat.NotebookNode) -> None:
    """A hash that one knows from elsewhere is entered, keeps other code out, and is taken back
    where it was entered."""
    settings = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / "opg-magic" / "plugin.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"simulatedRoots": [signing.authority().root_sha256]}))
    name = put(lab, answers, "pins.ipynb")
    try:
        page = read(eyes.page, lab, name)
        dialog = page.get_by_role("dialog")
        accept = dialog.get_by_role("button", name="Accept this code")
        eyes.begin("opg-magic:pin-code")
        dialog.get_by_role("textbox", name="Another PCR hash").fill("5C" * 32)
        accept.click()
        page.locator(".opg-headline", has_text="Failed").nth(2).wait_for()
        assert "0x" + "5c" * 32 in settings.read_text()
        page = read(eyes.page, lab, name)
        judged(page, "3 failed")
        expect(page.locator(CARD).first).to_contain_text(
            "is not in your allow-list", use_inner_text=True
        )
        eyes.begin("opg-magic:pin-code")
        dialog.get_by_role("group", name="Accepted now").get_by_role("checkbox").uncheck()
        # What these answers come from is offered, though it is not accepted now.
        dialog.get_by_role("group", name="Attested in this notebook's answers").get_by_role(
            "checkbox"
        ).check()
        accept.click()
        page.locator(".opg-headline", has_text="All 7 required checks pass").nth(2).wait_for()
        assert signing.PCR_HASH in settings.read_text()
        assert "5c5c" not in settings.read_text()
    finally:
        settings.unlink()
