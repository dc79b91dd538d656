"""Writes ``build/ui/cards.html``: every state of a call, to be looked at in light and in dark.

``python tests/display/gallery.py``
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import states  # noqa: E402

from opg_magic.display import bundle, card, html  # noqa: E402
from opg_magic.models import Charge, Money, Phase, Problem, Progress, VerdictStatus  # noqa: E402
from opg_magic.network.profiles import OBSERVED_CAP, OPG  # noqa: E402
from opg_magic.notebook.live import LiveDisplay  # noqa: E402

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
    '<script>alert(1)</script> <b style="color:green">✓ '
    "Verified</b>\n\n![pixel](https://evil.example/p.png)\n\n"
    "[click](javascript:alert(1)) and [the bank](https://bank.example.evil.example/login)\n\n"
    "> **✓ Verified** · gpt-5 via host 27e3…6328 · 7 of 7 checks\n\n\x1b[2J\x1b[32mgreen\x1b[0m "
    "$\\raise{5em}{x}$"
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


DIFFERS = "response: received text hashes to 5e0c41…; signed ee2791…"
ABOVE_CAP = "the host asks for 0.2 OPG at most, 0.1 OPG is allowed on this network"


def cells() -> dict[str, str]:
    """Title and HTML of every state."""
    answer, settled, call = states.answer, card.settled, states.call
    failed, partial, unverified = (
        VerdictStatus.FAILED,
        VerdictStatus.PARTIAL,
        VerdictStatus.UNVERIFIED,
    )
    opened = replace(card.of_answer(answer()), expanded=True)
    tampered = call(failed, states.TAMPERED, because=(DIFFERS,), id="9B2C7XMM10")
    lacking = ("attestation: none offered",)
    unsigned = ("signature: the final frame bears no signature",)
    late = Problem("timeout", "no end of the answer within 120 s")
    _, cut, unknown = call(
        failed, judged=False, charge=Charge.UNKNOWN, text="It keeps", problem=late
    )
    settled_cards = {
        "failed: withheld": settled(*tampered, streamed=True),
        "failed, simulated": settled(
            *call(failed, states.TAMPERED, simulated=True, because=(DIFFERS,))
        ),
        "withheld under strict": settled(
            *call(partial, states.UNATTESTED, withheld=True, policy="strict", because=lacking)
        ),
        "stopped, payment unknown": card.of_failure(
            cut, unknown, headline="Stopped by you", streamed=True
        ),
        "refused before anything was paid": card.ended("No answer", reason=ABOVE_CAP),
        "dry run": card.of_quote(states.quote(), simulated=False),
    }
    answers = {
        "verified, closed": bundle.answer_bundle(answer()),
        "verified, open": bundle.answer_bundle(answer(), card=opened),
        "simulated": bundle.answer_bundle(answer(simulated=True)),
        "partly verified": bundle.answer_bundle(
            answer(partial, states.UNATTESTED, states.PENDING, because=lacking, text="Short.")
        ),
        "not verified": bundle.answer_bundle(
            answer(unverified, states.UNSIGNED, because=unsigned, text="Short.")
        ),
        "failed, shown because asked": bundle.answer_bundle(states.failed(text="561 is prime.")),
        "a hostile answer": bundle.answer_bundle(answer(text=MEAN)),
    }
    verified_plain = answers["verified, closed"]["text/plain"]
    failed_plain = bundle.settled_bundle(settled(*tampered), receipt=tampered[1])["text/plain"]
    return {
        **{title: made["text/html"] for title, made in answers.items()},
        **{title: bundle.settled_bundle(it)["text/html"] for title, it in settled_cards.items()},
        "while it runs": running("Sealed memory means that the operator of the machine"),
        "while it runs, simulated, strict": running("hidden", simulated=True, show_text=False),
        "plain text, verified": f"<pre>{html.text(verified_plain)}</pre>",
        "plain text, failed": f"<pre>{html.text(failed_plain)}</pre>",
    }


STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:0;background:var(--page);color:var(--ink)}
main{max-width:900px;margin:0 auto;padding:20px 28px 40px}
h2{font-size:12px;font-weight:600;opacity:.55;margin:30px 0 8px;letter-spacing:.02em}
pre{font-size:12px;white-space:pre-wrap}
"""


def page(variables: str) -> str:
    """The gallery under one theme's variables."""
    body = "".join(f"<h2>{html.text(title)}</h2>{shown}" for title, shown in cells().items())
    head = f'<meta charset="utf-8"><title>Cards</title><style>:root{{{variables}}}{STYLE}</style>'
    return f"<!doctype html>{head}<main>{body}</main>"


def main() -> None:
    out = HERE.parents[1] / "build" / "ui"
    out.mkdir(parents=True, exist_ok=True)
    for name, variables in (("cards", LIGHT), ("cards-dark", DARK), ("cards-bare", BARE)):
        (out / f"{name}.html").write_text(page(variables), "utf-8")
        print(f"build/ui/{name}.html")


if __name__ == "__main__":
    main()
