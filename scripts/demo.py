"""``make demo``: both example notebooks on the simulated network, headless; results in build/demo/.

Nothing of the user's is read or written: data, settings and keys of this run live in build/demo/home.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from run_notebook import NotebookWentWrong, environment, run

from opg_magic.environment import start_from

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "demo"
HOME = OUT / "home"
NOTEBOOKS = ("quickstart.ipynb", "catch_a_lying_host.ipynb")


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    env = environment(HOME, OUT / "scratch")
    os.environ.clear()
    os.environ.update(env)
    start_from(env)
    if HOME.exists():
        # Left by a run before: its network, if it was cut short, and its receipts.
        opg("simnet", "down", check=False)
        shutil.rmtree(HOME)
    OUT.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    say("The demonstration runs on a simulated network of this machine: three hosts, two chains, scripted answers.")
    try:
        for name in NOTEBOOKS:
            say("")
            run(ROOT / "examples" / name, OUT / name, cwd=OUT, env=env, say=say)
            to_html(OUT / name)
        say("")
        show_receipts()
    except NotebookWentWrong as error:
        say(f"\nNot as it should be. {error}\nThe notebook as it ran is in {OUT.relative_to(ROOT)}/.")
        return 1
    finally:
        opg("simnet", "down", check=False)
    say(f"\nDone in {time.monotonic() - began:.0f} s. In {OUT.relative_to(ROOT)}/:")
    for path in sorted(path for path in OUT.iterdir() if path.is_file()):
        say(f"  {path.name}")
    say("By hand: make lab")
    return 0


def opg(*arguments: str, check: bool = True) -> None:
    """The command ``opg`` of this very environment."""
    subprocess.run([sys.executable, "-m", "opg_magic.cli", *arguments], check=check, stdout=subprocess.DEVNULL)


def to_html(path: Path) -> None:
    """A page beside the notebook that needs no network to be read."""
    import nbformat
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="lab", embed_images=True, mathjax_url="", require_js_url="", jquery_url="")
    body, _ = exporter.from_notebook_node(nbformat.read(path, as_version=4))
    path.with_suffix(".html").write_text(body, encoding="utf-8")


def show_receipts() -> None:
    """The table of every receipt of this run, and the same as a file."""
    import pandas

    import opg_magic

    opg("receipts", "export", str(OUT / "receipts.csv"))
    frame = opg_magic.receipts()
    frame["time"] = frame["time"].dt.strftime("%H:%M:%S")
    columns = ["time", "id", "notebook", "model", "prompt", "host", "verdict", "charge", "cost_opg"]
    say(f"{len(frame)} receipts (times in UTC; costs by the hosts' figures):")
    with pandas.option_context(
        "display.width", 200, "display.max_columns", None, "display.max_rows", None, "display.max_colwidth", 40
    ):
        say(frame[columns].to_string(index=False, na_rep=""))


if __name__ == "__main__":
    raise SystemExit(main())
