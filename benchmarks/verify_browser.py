"""A thousand receipts checked in Chromium, and the longest task by which a key stroke could be kept
waiting.

The receipts are really signed, by four hosts, and share one attestation document a host, as those
of a day do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from figures import Figure, figure

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = ROOT / "build" / "bench" / "verifier.js"
COUNT = 1000

#: A key stroke waits for the task that runs: the browser itself reports each one that takes 50 ms
#: or more.
CHECK = """
async ([receipts, trust]) => {
  const tasks = [];
  const observer = new PerformanceObserver(list => tasks.push(...list.getEntries()));
  // What it takes to bring the receipts into the page is no part of it.
  await new Promise(resolve => setTimeout(resolve, 100));
  observer.observe({ type: 'longtask' });
  const began = performance.now();
  const checked = await opg.verifyMany(receipts, trust);
  const took = performance.now() - began;
  await new Promise(resolve => setTimeout(resolve, 100));
  observer.disconnect();
  return {
    took,
    longest: Math.max(
      0, ...tasks.filter(task => task.startTime >= began).map(task => task.duration)
    ),
    labels: [...new Set(checked.map(one => one.error ?? one.verdict.label))],
    secure: Boolean(globalThis.crypto?.subtle),
  };
}
"""


def measure(rounds: int = 5) -> list[Figure]:
    """Seconds for :data:`COUNT` receipts, and the longest task in milliseconds; with WebCrypto, and
    on plain HTTP."""
    from playwright.sync_api import sync_playwright

    subprocess.run([sys.executable, str(ROOT / "scripts" / "labextension.py")], check=True)
    subprocess.run(
        ["node", str(ROOT / "benchmarks" / "bundle_verifier.mjs"), str(BUNDLE)], check=True
    )
    receipts, trust = _receipts(COUNT)
    figures = []
    with sync_playwright() as playwright:
        import shutil

        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        for origin, how in (
            ("http://localhost:1", "WebCrypto"),
            ("http://plain.test", "plain HTTP"),
        ):
            samples = []
            for _ in range(rounds):
                # A page of its own each time: nothing is remembered from the round before.
                page = browser.new_page()
                page.route(
                    "**/*",
                    lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"),
                )
                page.goto(origin)
                page.add_script_tag(path=str(BUNDLE))
                samples.append(page.evaluate(CHECK, [receipts, trust]))
                page.close()
            assert {label for sample in samples for label in sample["labels"]} == {
                "SIMULATED · PARTIAL"
            }, samples[0]
            assert all(sample["secure"] is (how == "WebCrypto") for sample in samples)
            figures.append(
                figure(
                    f"{COUNT} receipts in Chromium, {how}", [s["took"] / 1000 for s in samples], "s"
                )
            )
            figures.append(
                figure(
                    f"longest task meanwhile (0: under 50 ms), {how}",
                    [s["longest"] for s in samples],
                    "ms",
                )
            )
        browser.close()
    return figures


def _receipts(count: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Receipts of calls that differ in prompt and answer, and a reader who knows their simulated
    root."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support import signing
    from support.signed_receipts import signed

    from opg_magic.models import Evidence

    entries = {
        name: signing.host(signing.signer(name)) for name in ("anna", "boris", "carla", "dora")
    }
    documents = {name: signing.attestation(entry) for name, entry in entries.items()}
    receipts = []
    for number in range(count):
        name = list(entries)[number % len(entries)]
        by, entry = signing.signer(name), entries[name]
        body = {
            **signing.CHAT,
            "messages": [{"role": "user", "content": f"Question {number}? " + "Why? " * 40}],
        }
        raw = signing.stream(by, body, pieces=(f"Answer {number}. ", "Because. " * 100))
        evidence = signing.evidence(raw, body, by=by, host=entry, attestation=documents[name])

        def of(_: Evidence, evidence: Evidence = evidence) -> Evidence:
            return evidence

        receipts.append(signed(change=of, trust=signing.live()).document)
    return receipts, {"simulatedRoots": [signing.authority().root_sha256]}


if __name__ == "__main__":
    for found in measure():
        print(
            json.dumps(
                {
                    "name": found.name,
                    "value": round(found.value, 3),
                    "unit": found.unit,
                    "spread": found.spread,
                }
            )
        )
