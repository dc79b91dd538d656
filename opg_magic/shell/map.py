"""``opg map``: a prompt for each row of a table in a file; the engine is that of
:func:`opg_magic.map`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.cells.magic_line import OPTIONS
from opg_magic.errors import ArgumentError, CallInterrupted, ConfigError, LedgerError
from opg_magic.models.plain_text import inert
from opg_magic.shell.ask import add_options, given_of

if TYPE_CHECKING:
    from opg_magic.table.files import TableFile
    from opg_magic.table.mapping import Table

#: The options of ``%%opg`` that mean the same for each row.
_OPTIONS = tuple(
    one
    for one in OPTIONS
    if one.key == "schema" or (one.part in ("prompt", "call") and one.key != "max_cost")
)
#: Arguments of :func:`opg_magic.map` that have a flag of their own here.
_OWN = ("output", "max_cost", "hosts", "concurrency", "fresh", "overwrite")


def add(commands: Any) -> None:
    """The command."""
    one = commands.add_parser("map", help="ask a prompt for each row of a table in a file")
    one.add_argument(
        "file", type=Path, metavar="FILE", help="read this table: .csv, .jsonl or .parquet"
    )
    one.add_argument("prompt", help="ask this of each row, with its cells: 'Classify: {{review}}'")
    one.add_argument(
        "--output",
        default="answer",
        metavar="COLUMN",
        help="give the column of the answers this name (default: answer)",
    )
    one.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the table to this new file; without it, to standard output",
    )
    one.add_argument(
        "--overwrite",
        action="store_true",
        help="write over --out, and over columns of the same names",
    )
    one.add_argument(
        "--max-cost", metavar="C", help="allow authorisations of at most C OPG for the whole table"
    )
    one.add_argument(
        "--hosts", type=int, default=1, metavar="N", help="use so many hosts, which share the rows"
    )
    one.add_argument(
        "--concurrency", type=int, default=16, metavar="N", help="make at most N calls at once"
    )
    one.add_argument("--fresh", action="store_true", help="ask again what the ledger holds already")
    one.add_argument(
        "--dry-run", action="store_true", help="print rows, prompts and cost; send nothing"
    )
    one.add_argument("--quiet", action="store_true", help="print no progress")
    add_options(one, _OPTIONS)
    one.set_defaults(handler=_map)


def _map(options: argparse.Namespace) -> int:
    from opg_magic.table import files
    from opg_magic.table.mapping import plan_table

    _check_out(options)
    read = files.read(options.file)
    try:
        session, job = _job(options, read)
        if options.dry_run:
            print(inert(str(plan_table(job, session))))
            return 0
        table = _asked(options, job, session)
    except ArgumentError as problem:
        # A hint with a DataFrame's methods is no help here.
        problem.hint = None if problem.hint and "df" in problem.hint else problem.hint
        raise
    except KeyboardInterrupt:
        raise CallInterrupted("stopped before anything was sent") from None
    found = table.result()
    added = {name: [*map(_or_none, found[name].tolist())] for name in job.added}
    return _put(options, read, table, added)


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _job(options: argparse.Namespace, read: TableFile) -> Any:
    from opg_magic import api, shapes

    given = given_of(options, _OPTIONS)
    if "schema" in given:
        given["schema"] = shapes.resolve_words(given["schema"])
    own = {name: getattr(options, name) for name in _OWN}
    return api.prepare_table(read.frame, options.prompt, **own, **given)


def _asked(options: argparse.Namespace, job: Any, session: Any) -> Table:
    from opg_magic.table.mapping import Table, ask_made
    from opg_magic.table.shown import Shown

    table = Table(job, session)
    shown = Shown()
    try:
        ask_made(table, job, session, None if options.quiet else shown)
    finally:
        if not options.quiet:
            shown.end(table.tally)
    return table


# ---------------------------------------------------------------------------------- where it goes


def _check_out(options: argparse.Namespace) -> None:
    """Refuse, before anything is sent, what could not be written afterwards."""
    from opg_magic.table import files

    out = options.out
    if out is None:
        if files.format_of(options.file) == "parquet" and not options.dry_run:
            raise ConfigError("Parquet is not printed. Nothing was sent.", hint="Give --out FILE.")
        return
    files.format_of(out)
    if out.exists() and not options.overwrite:
        raise ConfigError(
            f"{out} exists. Nothing was sent.", hint="Give another --out, or --overwrite."
        )
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise ConfigError(f"No file can be written in {out.parent}. Nothing was sent.")


def _put(
    options: argparse.Namespace, read: TableFile, table: Table, added: Mapping[str, Sequence[Any]]
) -> int:
    """Write the table; what came of one that ended early goes into a file of its own."""
    from opg_magic.table import files

    tally, out = table.tally, options.out
    ended = None if tally is None else tally.ended
    where = "The ledger keeps what came"
    if out is not None:
        partial = out.with_name(f"{out.stem}.partial{out.suffix}")
        try:
            read.write(partial, added)
            if ended is None:
                partial.replace(out)
        except OSError as problem:
            raise LedgerError(
                f"{out} cannot be written: {problem.strerror or problem}. Every answer is in the "
                "ledger.",
                hint="Make room, and run the command again: it pays for none of them again.",
            ) from None
        where = f"{partial} holds what came"
    elif ended is None:
        text = read.text(files.format_of(options.file), added)
        sys.stdout.write(inert(text) if sys.stdout.isatty() else text)
    again = "Run the command again: it pays only for the rows that have no answer."
    if ended == "stopped":
        raise CallInterrupted(f"stopped; {where}. {again}")
    if ended is not None:
        raise LedgerError(f"The table ended early: {inert(ended)}", hint=f"{where}. {again}")
    return _told(options, added)


def _told(options: argparse.Namespace, added: Mapping[str, Sequence[Any]]) -> int:
    """Say how many rows have no answer.  Returns 1 if one was asked and has none."""
    _, why, _, _ = added.values()
    without = sum(one is not None for one in why)
    # A row with an empty cell asks nothing.
    failed = sum(one is not None and not one.endswith("in this row") for one in why)
    name = options.out or "standard output"
    if not options.quiet:
        said = f"{len(why):,} rows to {name}"
        if without:
            said += f"; {without:,} without an answer: see {options.output}_error"
        print(f"{said}.", file=sys.stderr)
    return 1 if failed else 0
