"""Executing one notebook headless, cell by cell, with lines that a person can follow.

A cell tagged ``raises-exception`` is meant to fail, and a tag ``expect-NAME`` beside it says with
which exception. Both are held to: a cell that should have failed and did not is as much an error as
the other way round."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from opg_magic.models.plain_text import RULE

WIDTH = 110
RECEIPT_MIME = "application/vnd.opg.receipt.v1+json"


#: What a kernel runs first: here a ``!command`` that fails fails its cell, each line of it.
STARTUP = """
def _checked(shell):
    run = shell.system

    def system(command):
        run(command)
        code = shell.user_ns["_exit_code"]
        if code:
            raise RuntimeError(f"!{command.split()[0]} ended with {code}")

    shell.system = system


_checked(get_ipython())
del _checked
"""


class NotebookWentWrong(Exception):
    """The notebook did not do what its cells say."""


def environment(home: Path, scratch: Path) -> dict[str, str]:
    """The environment of a kernel that touches nothing of the user's: its own data, no key, no
    Jupyter settings.  A command that fails in a cell fails the cell."""
    startup = scratch / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "00-commands.py").write_text(STARTUP, encoding="utf-8")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPG_", "JUPYTER", "IPYTHON"))
    }
    return kept | {
        "OPG_HOME": str(home),
        # `!opg` in a cell means the command beside this Python.
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        ),
        "IPYTHONDIR": str(scratch / "ipython"),
        "JUPYTER_CONFIG_DIR": str(scratch / "jupyter-config"),
        "JUPYTER_DATA_DIR": str(scratch / "jupyter-data"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "jupyter-runtime"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def run(
    source: Path, target: Path, *, cwd: Path, env: dict[str, str], say: Callable[[str], None]
) -> None:
    """Execute ``source`` in a fresh kernel, write it with its outputs to ``target``, and check what
    failed.

    ``target`` is written whatever happens, so that one can look at it.  Raises NotebookWentWrong;
    KeyboardInterrupt once the kernel has ended."""
    notebook = nbformat.read(source, as_version=4)
    code_cells = [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.source.strip()
    ]
    numbers = {index: number for number, index in enumerate(code_cells, start=1)}
    began: dict[int, float] = {}
    say(f"{source.name}: {len(code_cells)} cells")

    def started(cell: Any, cell_index: int) -> None:
        began[cell_index] = time.monotonic()
        if cell_index in numbers:
            say(
                f"  [{numbers[cell_index]:2}/{len(code_cells)}] "
                f"{shortened(headline(cell.source), WIDTH - 10)}"
            )

    def done(cell: Any, cell_index: int, **_: Any) -> None:
        if cell_index in numbers:
            took = time.monotonic() - began[cell_index]
            say(f"          {shortened(outcome(cell), WIDTH - 18)}  ({took:.1f} s)")

    interrupted = False

    def heed_interrupts(**_: Any) -> None:
        # nbclient's own handler only ends the kernel, which then looks as if it had died by itself.
        task = asyncio.current_task()

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            # Asked to end by itself, the kernel would first print where it was.
            client.shutdown_kernel = "immediate"
            if task is not None:
                task.cancel()

        with contextlib.suppress(RuntimeError):  # not in a thread, and not on Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)

    # record_timing stays off: a saved notebook says when a call was made in its receipts, and
    # nowhere else.
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=300,
        resources={"metadata": {"path": str(cwd)}},
        record_timing=False,
        extra_arguments=["--log-level=40"],
        on_notebook_start=heed_interrupts,
        on_cell_execute=started,
        on_cell_executed=done,
    )
    failure: str | None = None
    try:
        # The name that a notebook server would give to its kernel: receipts keep it.
        client.execute(env={**env, "JPY_SESSION_NAME": source.name})
    except CellExecutionError as error:
        failure = f"a cell failed that should not have: {error.ename}: {error.evalue}"
    except (asyncio.CancelledError, RuntimeError) as error:
        if interrupted:
            raise KeyboardInterrupt from None
        failure = f"its kernel stopped: {error}"
    finally:
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
    problems = [failure] if failure else unexpected(notebook)
    if problems:
        raise NotebookWentWrong(f"{source.name}: " + "; ".join(problems))


def unexpected(notebook: Any) -> list[str]:
    """In which cells the failures differ from what the tags announce."""
    problems = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        expected = next(
            (tag.removeprefix("expect-") for tag in tags if tag.startswith("expect-")), None
        )
        raised = next(
            (output.ename for output in cell.get("outputs", []) if output.output_type == "error"),
            None,
        )
        should_fail = "raises-exception" in tags
        if should_fail and raised is None:
            problems.append(f"cell {index} should have failed and did not: {headline(cell.source)}")
        elif raised is not None and not should_fail:
            problems.append(f"cell {index} failed ({raised}): {headline(cell.source)}")
        elif expected is not None and raised != expected:
            problems.append(
                f"cell {index} failed with {raised}, not with {expected}: {headline(cell.source)}"
            )
    return problems


def headline(source: str) -> str:
    """The line that says best what a cell does: its magic, else its first line that is no
    comment."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    magics = [line for line in lines if line.startswith("%")]
    plain = [line for line in lines if not line.startswith("#")]
    first = (magics or plain or lines or [""])[0]
    if first.startswith("%%opg") and len(lines) > 1:
        return f"{first} | {lines[1]}"
    return first


def outcome(cell: Any) -> str:
    """One line on what came of a cell."""
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if errors:
        return f"✗ {errors[0].ename}: {first_line(errors[0].evalue)}"
    shown = [
        output
        for output in cell.outputs
        if output.output_type in ("display_data", "execute_result")
    ]
    receipts = [output for output in shown if RECEIPT_MIME in output.data]
    if receipts:
        plain = receipts[-1].data.get("text/plain", "")
        _, rule, card = plain.rpartition(RULE)
        return first_line(card.partition("\n")[2]) if rule else first_line(plain)
    if shown:
        rows = shown[-1].data.get("text/html", "").partition("<tbody>")[2].count("<tr")
        return (
            f"a table of {rows} rows" if rows else first_line(shown[-1].data.get("text/plain", ""))
        )
    streams = [output.text for output in cell.outputs if output.output_type == "stream"]
    return first_line("".join(streams)) or "done"


def first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
