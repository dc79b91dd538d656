"""Everything that CI runs, two lanes side by side: what needs a browser, and what does not.

``make test`` calls this, ``make check`` with ``--check``, and ``make floors`` with ``--quick``.
Each lane's whole output is kept in ``build/test/``; its lines are shown as they come, with the
lane's name.  The last line counts the tests of both halves; the slowest twenty stand above it.

``PYTEST_ARGS`` (``make test PYTEST_ARGS="-k ledger"``) goes to both halves; one in which nothing
matches is no failure."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import time
import xml.etree.ElementTree as ElementTree  # our own pytest wrote what is read
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "test"
BIN = Path(sys.executable).parent
#: pytest's own: no test was collected.
NOTHING_MATCHED = 5
SLOWEST = 20
QUICK = "not (browser or simnet or kernel or sdk or slow)"

Lane = tuple[list[str], Path]


def pytest(half: str, marker: str, workers: str) -> Lane:
    """One half of the Python tests.  The browser's driver keeps an event loop running, beside which
    no other test can have one: so the halves are processes of their own."""
    chosen = shlex.split(os.environ.get("PYTEST_ARGS", ""))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        marker,
        "-n",
        workers,
        "--dist",
        "loadgroup",
    ]
    return [
        *command,
        f"--junitxml={LOGS / half}.xml",
        "-o",
        "junit_duration_report=total",
        *chosen,
    ], ROOT


def behind(step: Lane) -> Lane:
    """The same, at a lower priority than what runs beside it."""
    command, folder = step
    nice = shutil.which("nice")
    return ([nice, "-n", "5", *command] if nice else command), folder


async def lane(name: str, *steps: Lane) -> int:
    """Run the steps one after the other until one fails; the exit code of the last."""
    code = 0
    with (LOGS / f"{name}.log").open("w", encoding="utf-8") as log:
        for command, folder in steps:
            path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env={**os.environ, "PATH": path},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=2**20,
            )
            assert process.stdout is not None
            try:
                async for line in process.stdout:
                    text = line.decode("utf-8", "replace").rstrip()
                    print(text, file=log, flush=True)
                    print(f"{name:>9} | {text}", flush=True)
                code = await process.wait()
            except BaseException:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
                raise
            if code not in (0, NOTHING_MATCHED):
                print(
                    f"{name:>9} | failed with {code}; the whole output: "
                    f"{LOGS.relative_to(ROOT)}/{name}.log",
                    flush=True,
                )
                return code
    return code


async def stage(**lanes: list[Lane]) -> dict[str, int]:
    """Run lanes side by side; the exit code of each."""
    codes = await asyncio.gather(*(lane(name, *steps) for name, steps in lanes.items()))
    return dict(zip(lanes, codes, strict=True))


def results() -> tuple[Counter[str], list[tuple[float, str]]]:
    """How many tests came to what, in both halves, and how long each took, the slowest first."""
    counts: Counter[str] = Counter()
    times = []
    for half in ("pages", "others"):
        file = LOGS / f"{half}.xml"
        if not file.exists():
            continue
        for case in ElementTree.parse(file).iter("testcase"):  # noqa: S314
            kinds = {part.tag for part in case}
            counts[
                "failed"
                if kinds & {"failure", "error"}
                else "skipped"
                if "skipped" in kinds
                else "passed"
            ] += 1
            times.append(
                (float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}")
            )
    return counts, sorted(times, reverse=True)


def lint() -> list[Lane]:
    python = [sys.executable, "-m"]
    return [
        ([*python, *words], ROOT)
        for words in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"])
    ]


def check() -> dict[str, int]:
    """What an edit is checked by: style, types, and the tests that build, start and fetch
    nothing."""
    return asyncio.run(stage(lint=lint(), others=[pytest("others", QUICK, "2")]))


def quick() -> dict[str, int]:
    """The quick tests alone, by whichever Python runs this."""
    return asyncio.run(stage(others=[pytest("others", QUICK, "2")]))


def everything() -> dict[str, int]:
    """What CI runs."""
    jlpm = [str(BIN / "jlpm")]
    extension = ROOT / "labextension"
    codes = asyncio.run(
        stage(lint=lint(), extension=[([sys.executable, "scripts/labextension.py"], ROOT)])
    )
    if not any(codes.values()):
        # The browser's half is one long line of waits and bursts; the other half fills the gaps.
        workers = os.environ.get("PYTEST_WORKERS", "2")
        packages = (
            [] if (extension / "node_modules").is_dir() else [([*jlpm, "install"], extension)]
        )
        codes = asyncio.run(
            stage(
                pages=[*packages, ([*jlpm, "test"], extension), pytest("pages", "browser", "0")],
                others=[behind(pytest("others", "not browser", workers))],
            )
        )
    return codes


def main() -> int:
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    begun = time.monotonic()
    chosen = {"--check": check, "--quick": quick}
    codes = chosen.get(sys.argv[1] if sys.argv[1:] else "", everything)()
    counts, times = results()
    if times:
        print(f"\nThe slowest {SLOWEST}, in seconds:")
        for seconds, name in times[:SLOWEST]:
            print(f"{seconds:8.1f}  {name}")
    print(
        f"\n{(time.monotonic() - begun) / 60:.1f} minutes; whole outputs: {LOGS.relative_to(ROOT)}/"
    )
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    if not counts and not any(code not in (0, NOTHING_MATCHED) for code in codes.values()):
        print("No test matches.", file=sys.stderr)
        return NOTHING_MATCHED
    return max((1 for code in codes.values() if code not in (0, NOTHING_MATCHED)), default=0)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
