"""``%%opg NAME --over df``: the cell's prompt for each row of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opg_magic.cells import magic_line
from opg_magic.cells.magic_line import Line, LineError
from opg_magic.errors import ArgumentError, CallFailed, CallInterrupted

if TYPE_CHECKING:
    from opg_magic.call.session import Session
    from opg_magic.notebook.commands.command import Kernel
    from opg_magic.shapes import Shape
    from opg_magic.table.mapping import Job
    from opg_magic.table.tally import Tally

#: What has no meaning for a table, or none yet.
_NOT_WITH_OVER = (
    *("vars", "file", "template", "bg", "quorum", "no_stream"),
    *("chat", "tools", "tools_confirm", "max_rounds"),
)
#: The answers' column where ``--output`` names none and the result has no name either.
_OUTPUT = "answer"


def run_over(
    kernel: Kernel, session: Session, line: Line, template: str, source: str, shape: Shape | None
) -> None:
    """Ask the cell's prompt for each row, and put the table with its new columns into the cell's
    variable.

    A stop, and whatever else ends the table early, fails the cell after that."""
    from opg_magic.table.frames import is_dask
    from opg_magic.table.mapping import Table, ask_made, plan_table
    from opg_magic.table.shown import Shown

    job = _job(kernel, session, line, template, source, shape)
    if is_dask(job.data):
        _over_dask(kernel, session, line, job)
        return
    if line.get("dry_run"):
        print(plan_table(job, session))
        return
    table = Table(job, session)
    shown = Shown()
    try:
        found = ask_made(table, job, session, None if line.get("quiet") else shown)
    finally:
        shown.end(table.tally, table.receipts)
    _give(kernel, line, found, table.tally)


def _over_dask(kernel: Kernel, session: Session, line: Line, job: Job) -> None:
    """A table of Dask's is asked now, so that its receipts stand in this cell.  The variable holds
    it lazily, and computing it asks nothing more."""
    from opg_magic.table.dask_frames import ask_dask, lazily
    from opg_magic.table.shown import Shown

    if line.get("dry_run"):
        print(lazily(job, session, dry_run=True))
        return
    found, tally = ask_dask(job, session, Shown, live=not line.get("quiet"))
    _give(kernel, line, found, tally)


def _give(kernel: Kernel, line: Line, found: Any, tally: Tally | None) -> None:
    if line.name is not None:
        kernel.shell.push({line.name: found})
    kernel.result(found)
    if tally is None or tally.ended is None:
        return
    where = f"{line.name} holds what came" if line.name is not None else "_ holds what came"
    again = "Run the cell again: it pays only for the rows that have no answer."
    if tally.ended == "stopped":
        raise CallInterrupted(f"stopped; {where}. {again}")
    raise CallFailed(f"The table ended early: {tally.ended}", hint=f"{where}. {again}")


def _job(
    kernel: Kernel,
    session: Session,
    line: Line,
    template: str,
    source: str,
    shape: Shape | None,
) -> Job:
    """The table that is asked.  Raises LineError and ArgumentError; nothing was sent."""
    from opg_magic.call.naming import model_for
    from opg_magic.call.state import CallOptions
    from opg_magic.models import Prompt
    from opg_magic.table.mapping import Job

    for key in _NOT_WITH_OVER:
        if key in line.given:  # --quorum 0 as well
            raise LineError(f"--{key.replace('_', '-')} does not go with --over")
    options = magic_line.of_part(line, "call")
    max_cost = options.pop("max_cost", None)
    prompt = magic_line.of_part(line, "prompt")
    prompt["model"] = model_for(line.get("model"), session.settings, line.get("network"))
    asked = {} if shape is None else shape.asked()
    return Job(
        _data(kernel, line.get("over")),
        template,
        Prompt(text=template, source=source, extra=asked, **prompt),
        CallOptions(**options),
        shape=shape,
        output=line.get("output", _OUTPUT),
        max_cost=max_cost,
        hosts=1 if line.get("hosts") is None else line.get("hosts"),
    )


def _data(kernel: Kernel, name: str) -> Any:
    namespace = kernel.shell.user_ns
    if name not in namespace:
        raise ArgumentError(
            f"--over {name[:80]}: there is no such variable. Nothing was sent."
            + magic_line.did_you_mean(name, namespace)
        )
    return namespace[name]
