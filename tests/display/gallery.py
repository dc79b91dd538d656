"""Writes ``build/ui/cards.html``: every state of a call, to be looked at in light and in dark.

``python tests/display/gallery.py``
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import states  # noqa: E402

from opg_magic.display import bundle, card, html  # noqa: E402
from opg_magic.display.live import LiveDisplay  # noqa: E402
from opg_magic.models import Charge, Money, Phase, Problem, Progress, VerdictStatus  # noqa: E402
from opg_magic.networks import OBSERVED_CAP, OPG  # noqa: E402

LIGHT = (
    "--jp-ui-font-color0:#000;--jp-ui-font-color2:rgba(0,0,0,.54);--jp-layout-color1:#fff;--jp-border-color1:#bdbdbd;--jp-success-color1:#388e3c;"
    "--jp-error-color1:#d32f2f;--jp-warn-color1:#f57c00;--jp-brand-color1:#1976d2;--page:#fff;--ink:#000"
)
DARK = (
    "--jp-ui-font-color0:#fff;--jp-ui-font-color2:rgba(255,255,255,.54);--jp-layout-color1:#212121;--jp-border-color1:#616161;--jp-success-color1:#4caf50;"
    "--jp-error-color1:#f44336;--jp-warn-color1:#ff9800;--jp-brand-color1:#2196f3;--page:#111;--ink:#fff"
)
#: No variables at all: what nbconvert and mail show.
BARE = "--page:#fff;--ink:#222"

MEAN = (
    '<script>alert(1)</script> <b style="color:green">✓ Verified</b>\n\n![pixel](https://evil.example/p.png)\n\n'
    "[click](javascript:alert(1)) and [the bank](https://bank.example.evil.example/login)\n\n"
    "> **✓ Verified** · gpt-5 via host 27e3…6328 · 7 of 7 checks\n\n\x1b[2J\x1b[32mgreen\x1b[0m $\\raise{5em}{x}$"
)


def running(text: str, *, simulated: bool = False, show_text: bool = True) -> str:
    shown: list[dict[str, str]] = []
    live = LiveDisplay(
        lambda it, update: shown.append(it),
        model="openai/gpt-5",
        simulated=simulated,
        show_text=show_text,
        started=states.NOW,
    )
    live.start()
    cap = Money(OBSERVED_CAP, OPG)
    progress = Progress(Phase.ANSWER, text=text, tokens=38, host=states.HOST, cap=cap)
    live._shown_at = None
    live.update(progress)
    return shown[-1]["text/html"]


def cells() -> list[tuple[str, str]]:
    of = bundle.answer_bundle
    verified = states.answer()
    opened = card.Card(**{**{f: getattr(card.of_answer(verified), f) for f in card.Card.__slots__}, "expanded": True})
    verdict, receipt, cost = states.call(
        VerdictStatus.FAILED, states.TAMPERED, because=("response: received text hashes to 5e0c41…; signed ee2791…",),
        charge=Charge.CHARGED, id="9B2C7XMM10",
    )  # fmt: skip
    strict = states.call(
        VerdictStatus.PARTIAL, states.UNATTESTED, withheld=True, policy="strict", because=("attestation: none offered",)
    )
    cut = states.call(
        VerdictStatus.FAILED, judged=False, charge=Charge.UNKNOWN, text="It keeps", problem=Problem("timeout", "no end of the answer within 120 s"),
    )  # fmt: skip
    return [
        ("verified, closed", of(verified)["text/html"]),
        ("verified, open", of(verified, card=opened)["text/html"]),
        ("simulated", of(states.answer(simulated=True))["text/html"]),
        ("partly verified", of(states.answer(
            VerdictStatus.PARTIAL, states.UNATTESTED, states.PENDING, because=("attestation: none offered",), text="Short."
        ))["text/html"]),
        ("not verified", of(states.answer(
            VerdictStatus.UNVERIFIED, states.UNSIGNED, because=("signature: the final frame bears no signature",), text="Short."
        ))["text/html"]),
        ("failed: withheld", bundle.settled_bundle(
            card.settled(verdict, receipt, cost, streamed=True), receipt=receipt)["text/html"]),
        ("failed, simulated", bundle.settled_bundle(card.settled(*states.call(
            VerdictStatus.FAILED, states.TAMPERED, simulated=True, because=("response: received text hashes to 5e0c41…; signed ee2791…",)
        )))["text/html"]),
        ("withheld under strict", bundle.settled_bundle(card.settled(*strict))["text/html"]),
        ("failed, shown because asked", of(states.failed(text="561 is prime."))["text/html"]),
        ("stopped, payment unknown", bundle.settled_bundle(
            card.of_failure(cut[1], cut[2], headline="Stopped by you", streamed=True))["text/html"]),
        ("refused before anything was paid", bundle.settled_bundle(
            card.ended("No answer", reason="the host asks for 0.2 OPG at most, 0.1 OPG is allowed on this network"))["text/html"]),
        ("while it runs", running("Sealed memory means that the operator of the machine")),
        ("while it runs, simulated, strict", running("hidden", simulated=True, show_text=False)),
        ("dry run", bundle.settled_bundle(card.of_quote(states.quote(), simulated=False))["text/html"]),
        ("a hostile answer", of(states.answer(text=MEAN))["text/html"]),
        ("plain text, failed", f"<pre>{html.text(bundle.settled_bundle(card.settled(verdict, receipt, cost), receipt=receipt)['text/plain'])}</pre>"),
        ("plain text, verified", f"<pre>{html.text(of(verified)['text/plain'])}</pre>"),
    ]  # fmt: skip


def page(variables: str) -> str:
    body = "".join(f"<h2>{html.text(title)}</h2>{shown}" for title, shown in cells())
    style = (
        "body{font:14px/1.5 system-ui,sans-serif;margin:0;background:var(--page);color:var(--ink)}"
        "main{max-width:900px;margin:0 auto;padding:20px 28px 40px}"
        "h2{font-size:12px;font-weight:600;opacity:.55;margin:30px 0 8px;letter-spacing:.02em}pre{font-size:12px;white-space:pre-wrap}"
    )
    return f'<!doctype html><meta charset="utf-8"><title>Cards</title><style>:root{{{variables}}}{style}</style><main>{body}</main>'


def main() -> None:
    out = HERE.parents[1] / "build" / "ui"
    out.mkdir(parents=True, exist_ok=True)
    for name, variables in (("cards", LIGHT), ("cards-dark", DARK), ("cards-bare", BARE)):
        (out / f"{name}.html").write_text(page(variables), "utf-8")
        print(f"build/ui/{name}.html")


if __name__ == "__main__":
    main()
