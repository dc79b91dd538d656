"""``make demo``: the example notebooks on the simulated network, headless; results in build/demo/.

Nothing of the user's is read or written: data, settings and keys of this run live in
build/demo/home.  Beside a run that has build/demo, another one takes build/demo-2, and so on."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

import weights
from run_notebook import NotebookWentWrong, environment, run

from opg_magic.settings.environment import start_from

ROOT = Path(__file__).resolve().parent.parent
SMALL = f"a real model that answers ({weights.fetch.SMOLLM2.title}: small, and often wrong)."
NOTEBOOKS = ("quickstart.ipynb", "catch_a_lying_host.ipynb", "label_a_column.ipynb")


def say(line: str) -> None:
    print(line, flush=True)


def own_folder(first: Path) -> tuple[Path, TextIO]:
    """The folder of this run alone, and what keeps it: ``first``, or the same with a number while
    another run has it.

    The system lets go of the lock when the process ends, however it ends.
    """
    first.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        lock = folder.with_name(f".{folder.name}.lock").open("w", encoding="utf-8")
        if locked(lock):
            return folder, lock
        lock.close()
    raise AssertionError("numbers do not end")


def locked(lock: TextIO) -> bool:
    """Lock the file, unless another process has; where the system has no such locks there is one
    run at a time."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def main() -> int:
    first = ROOT / "build" / "demo"
    out, lock = own_folder(first)
    with lock:
        if out != first:
            say(
                f"Another demonstration runs in {first.relative_to(ROOT)}/; this one has "
                f"{out.relative_to(ROOT)}/."
            )
        return demonstrate(out)


def demonstrate(out: Path) -> int:
    home = out / "home"
    env = environment(home, out / "scratch") | {"OPG_SIMNET_MODEL": weights.model()}
    os.environ.clear()
    os.environ.update(env)
    start_from(env)
    if home.exists():
        # Left by a run before: its network, if it was cut short, and its receipts.
        opg("simnet", "down", check=False)
        shutil.rmtree(home)
    out.mkdir(parents=True, exist_ok=True)
    weights.into(home)
    for table in (ROOT / "examples").glob("*.csv"):
        shutil.copy(table, out)
    began = time.monotonic()
    say(
        "The demonstration runs on a simulated network of this machine: three hosts, two chains, "
        + ("a script that answers." if weights.model() == "scripted" else SMALL)
    )
    try:
        for name in NOTEBOOKS:
            say("")
            run(ROOT / "examples" / name, out / name, cwd=out, env=env, say=say)
            to_html(out / name)
        say("")
        show_receipts(out)
    except NotebookWentWrong as error:
        say(
            f"\nNot as it should be. {error}\nThe notebook as it ran is in "
            f"{out.relative_to(ROOT)}/."
        )
        return 1
    except KeyboardInterrupt:
        say(
            f"\nInterrupted: the simulated network is stopped. What there is so far: "
            f"{out.relative_to(ROOT)}/"
        )
        return 130
    finally:
        opg("simnet", "down", check=False)
    say(f"\nDone in {time.monotonic() - began:.0f} s. In {out.relative_to(ROOT)}/:")
    for path in sorted(path for path in out.iterdir() if path.is_file()):
        say(f"  {path.name}")
    say("By hand: make lab")
    return 0


def opg(*arguments: str, check: bool = True) -> None:
    """The command ``opg`` of this very environment."""
    subprocess.run(
        [sys.executable, "-m", "opg_magic.shell.main", *arguments],
        check=check,
        stdout=subprocess.DEVNULL,
    )


def to_html(path: Path) -> None:
    """A page beside the notebook that needs no network to be read."""
    import nbformat
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="lab", embed_images=True, mathjax_url="", require_js_url="", jquery_url=""
    )
    body, _ = exporter.from_notebook_node(nbformat.read(path, as_version=4))
    path.with_suffix(".html").write_text(body, encoding="utf-8")


def show_receipts(out: Path) -> None:
    """What this run's receipts come to by notebook, and each call without a good answer; all of
    them as a file."""
    import opg_magic
    from opg_magic.display import columns
    from opg_magic.shell.receipts import listed

    opg("receipts", "export", str(out / "receipts.csv"))
    frame = opg_magic.receipts()
    good = frame["verdict"].isin(["SIMULATED", "VERIFIED"])
    say(f"{len(frame)} receipts (costs by the hosts' figures, in sim-OPG):")
    sums = [("notebook", "receipts", "passed", "failed or not sent", "cost")]
    for name, rows in frame.groupby("notebook", observed=True):
        passed = int(good[rows.index].sum())
        figures = (len(rows), passed, len(rows) - passed, f"{rows['cost_opg'].sum():.4f}")
        sums.append((str(name), *map(str, figures)))
    say(columns.table(sums, None, right=(1, 2, 3, 4)))
    if not good.all():
        say("\nThe calls without a good answer: hosts were told to lie, or to fail.")
        say(listed(frame[~good], columns.line_width()))
    home = (out / "home").relative_to(ROOT)
    say(f"\nAll of them: OPG_HOME={home} .venv/bin/opg receipts list, or receipts.csv")


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
