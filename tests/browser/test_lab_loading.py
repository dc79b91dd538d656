"""What the extension loads and when, what it says when a part of it does not come, and how it does
on plain HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import expect
from support import lab_notebooks as notebooks
from support.lab_page import Eyes, Lab, put, read

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.xdist_group("browser")]

OURS = "/lab/extensions/opg-magic/static/"
#: What the start of a page may take, in bytes as they are served: Jupyter's server does not
#: compress.
AT_START = 150_000


@pytest.fixture(scope="module")
def attested() -> nbformat.NotebookNode:
    """An answer with its host's attestation document, which is what takes the most arithmetic."""
    return notebooks.notebook([notebooks.call("Is 561 prime?", "No: 561 = 3 · 11 · 17.")])


def test_a_request_outside_would_be_seen(eyes: Eyes, lab: Lab) -> None:
    """What every other test asserts of ``eyes.outside`` can fail."""
    eyes.page.goto(f"{lab.url}/lab?reset&token={lab.token}")
    assert eyes.outside == []
    lost = "async url => fetch(url, { mode: 'no-cors' }).then(() => false, () => true)"
    assert eyes.page.evaluate(lost, "https://elsewhere.example/x")
    eyes.page.evaluate(
        "() => new Promise(done => (new WebSocket('wss://elsewhere.example/y').onclose = () => "
        "done()))"
    )
    with eyes.page.expect_event("request"):
        eyes.page.evaluate(
            "() => void fetch('http://192.0.2.1/z', { mode: 'no-cors' }).catch(() => {})"
        )
    assert eyes.outside == [
        "https://elsewhere.example/x",
        "wss://elsewhere.example/y",
        "http://192.0.2.1/z",
    ]


def test_start_is_small_and_the_verifier_comes_with_the_first_receipt(
    eyes: Eyes, lab: Lab, attested: nbformat.NotebookNode
) -> None:
    loaded: dict[str, int] = {}

    def note(response: Any) -> None:
        address = urlsplit(response.url)
        if OURS in address.path:
            loaded[address.path.rsplit("/", 1)[1]] = len(response.body())

    eyes.page.on("response", note)
    eyes.page.goto(f"{lab.url}/lab?reset&token={lab.token}")
    eyes.page.wait_for_function("() => window.jupyterapp?.shell")
    eyes.page.evaluate("async () => { await window.jupyterapp.restored; }")
    eyes.page.wait_for_load_state("networkidle")
    at_start = dict(loaded)
    assert any(name.startswith("remoteEntry") for name in at_start)
    assert sum(at_start.values()) <= AT_START, at_start

    read(eyes.page, lab, put(lab, attested, "first.ipynb"))
    more = loaded.keys() - at_start.keys()
    assert more, "the verifier came with the page"
    assert eyes.outside == []


def test_a_verifier_that_does_not_come_leaves_nothing_judged(
    eyes: Eyes, lab: Lab, attested: nbformat.NotebookNode
) -> None:
    eyes.page.goto(f"{lab.url}/lab?reset&token={lab.token}")
    eyes.page.wait_for_function("() => window.jupyterapp?.shell")
    eyes.page.evaluate("async () => { await window.jupyterapp.restored; }")
    eyes.page.wait_for_load_state("networkidle")

    def cut(route: Any) -> None:
        route.abort()

    eyes.page.route(f"**{OURS}**", cut)
    name = put(lab, attested, "cut_off.ipynb")
    eyes.page.evaluate(
        """path => {
            const kernel = { shouldStart: false };
            void window.jupyterapp.commands.execute('docmanager:open', { path, kernel });
        }""",
        name,
    )
    card = eyes.page.locator(".opg-receipt .opg-card")
    card.get_by_text("Not checked").wait_for()
    expect(card).to_contain_text("could not be loaded", use_inner_text=True)
    assert "561 = 3" not in eyes.page.locator(".opg-receipt").inner_text(), (
        "an answer that nobody judged is on show"
    )
    eyes.page.wait_for_function(
        "() => document.querySelector('.opg-mark')?.title.includes('1 not checked')"
    )
    assert "0 as signed" in str(eyes.page.locator(".opg-mark").get_attribute("title"))

    eyes.page.unroute(f"**{OURS}**", cut)
    eyes.command("opg-magic:check-notebook")
    eyes.page.wait_for_function(
        "() => document.querySelector('.opg-mark')?.title.includes('1 as signed')"
    )
    card.get_by_text("Partially verified").wait_for()


def test_plain_http_comes_to_the_same(
    eyes: Eyes, lab: Lab, attested: nbformat.NotebookNode, trusting: None
) -> None:
    """Without WebCrypto the page computes everything in script; that part is loaded only there."""
    name = put(lab, attested, "plain.ipynb")
    claims = []
    loaded: list[set[str]] = []
    for url in (lab.url, lab.url.replace("127.0.0.1", "plain.test")):
        scripts: set[str] = set()
        loaded.append(scripts)

        def note(response: Any, scripts: set[str] = scripts) -> None:
            if OURS in response.url:
                scripts.add(urlsplit(response.url).path.rsplit("/", 1)[1])

        page = eyes.page.context.new_page()
        page.on("response", note)
        read(page, replace(lab, url=url), name)
        assert page.evaluate("() => Boolean(globalThis.crypto?.subtle)") is (url == lab.url)
        card = page.locator(".opg-receipt .opg-card").first
        # The reader's settings, which name the root, may come after the first judgement.
        headline = card.locator("b.opg-headline", has_text="All 7 required checks pass")
        headline.wait_for()
        if not card.evaluate("e => e.open"):
            headline.click()
        page.locator("tr[data-claim=attestation]", has_text="✓").wait_for()
        claims.append(
            {
                row.get_attribute("data-claim"): row.inner_text()
                for row in page.locator("tr[data-claim]").all()
            }
        )
        page.close()
    assert claims[0] == claims[1]
    assert claims[0]["attestation"].startswith("✓"), claims[0]["attestation"]
    assert loaded[0] < loaded[1]
    assert eyes.outside == []
