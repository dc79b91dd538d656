"""``opg map``: a prompt for each row of a table in a file; the engine is that of
:func:`opg_magic.map`."""

from __future__ import annotations

import argparse
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

_AGAIN = (
    "Run the command again: it pays only for the rows that have no answer. A call that was under "
    "way may be charged too."
)


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
        "--hosts", type=int, default=1, metavar="N", help="use N hosts, which share the rows"
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
    from opg_magic.table.mapping import Table, plan_table

    table: Table | None = None
    try:
        _check_out(options)
        read = files.read(options.file)
        session, job = _job(options, read)
        if options.dry_run:
            print(inert(str(plan_table(job, session))))
            return 0
        table = Table(job, session)
        _try_out(options, read, job.added)
        _ask(options, table, job, session)
        found = table.result()
        added = {name: [*map(_or_none, found[name].tolist())] for name in job.added}
        return _put(options, read, table, added)
    except ArgumentError as problem:
        problem.hint = _for_a_shell(problem.hint)
        raise
    except CallInterrupted:  # it is a KeyboardInterrupt that has its words
        raise
    except KeyboardInterrupt:
        if table is None or table.tally is None:
            raise CallInterrupted("stopped before anything was sent") from None
        raise CallInterrupted(f"stopped. The ledger keeps what came. {_AGAIN}") from None


def _for_a_shell(hint: str | None) -> str | None:
    if hint is not None and "overwrite=True" in hint:
        return "Give another --output, or --overwrite."
    # A hint with a DataFrame's methods is no help here.
    return None if hint is not None and "df" in hint else hint


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _job(options: argparse.Namespace, read: TableFile) -> Any:
    from opg_magic import api, shapes

    given = given_of(options, _OPTIONS)
    if "schema" in given:
        given["schema"] = shapes.resolve_words(given["schema"])
    own = {name: getattr(options, name) for name in _OWN}
    return api.prepare_table(read.frame, options.prompt, **own, **given)


def _ask(options: argparse.Namespace, table: Table, job: Any, session: Any) -> None:
    from opg_magic.table.mapping import ask_made
    from opg_magic.table.shown import Shown

    shown = Shown()
    try:
        ask_made(table, job, session, None if options.quiet else shown)
    finally:
        if not options.quiet:
            shown.end(table.tally)


# ---------------------------------------------------------------------------------- where it goes


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.stem}.partial{out.suffix}")


def _check_out(options: argparse.Namespace) -> None:
    """Refuse a place that the table cannot go to."""
    from opg_magic.table import files

    out = options.out
    if out is None:
        if files.format_of(options.file) == "parquet" and not options.dry_run:
            raise ConfigError("Parquet is not printed. Nothing was sent.", hint="Give --out FILE.")
        return
    files.format_of(out)
    if out.is_dir():
        raise ConfigError(f"{out} is a folder. Nothing was sent.")
    if _is_same(_partial(out), options.file):
        raise ConfigError(
            f"A stop would write over {options.file}. Nothing was sent.",
            hint="Give --out another name.",
        )
    if out.exists() and not options.overwrite:
        itself = _is_same(out, options.file)
        raise ConfigError(
            f"{out} {'is the table itself' if itself else 'exists'}. Nothing was sent.",
            hint="Give another --out, or --overwrite"
            + (" to add the columns to it." if itself else "."),
        )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _try_out(options: argparse.Namespace, read: TableFile, names: Sequence[str]) -> None:
    """Refuse, before anything is sent, what could not be written afterwards."""
    from opg_magic.table.plan import USUAL_TOKENS

    if options.out is None:
        return
    tokens = min(options.max_tokens or USUAL_TOKENS, USUAL_TOKENS)
    try:
        read.refuse_unwritable(_partial(options.out).resolve(), names, 4 * tokens)
    except OSError as problem:
        raise ConfigError(
            f"{options.out} cannot be written: {problem.strerror or problem}. Nothing was sent."
        ) from None


def _put(
    options: argparse.Namespace, read: TableFile, table: Table, added: Mapping[str, Sequence[Any]]
) -> int:
    """Write the table; what came of one that ended early goes into a file of its own."""
    tally, out = table.tally, options.out
    ended = None if tally is None else tally.ended
    where = "The ledger keeps what came"
    try:
        if out is not None:
            partial = _partial(out)
            # A link stays one: its target is replaced.
            read.write((out if ended is None else partial).resolve(), added)
            if ended is None:
                partial.unlink(missing_ok=True)
            where = f"{partial} holds what came"
        elif ended is None:
            _print(options, read, added)
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise LedgerError(
            f"{out or 'Standard output'} cannot be written: {problem.strerror or problem}. Every "
            "answer is in the ledger.",
            hint="Make room, and run the command again: it pays for none of them again.",
        ) from None
    if ended == "stopped":
        raise CallInterrupted(f"stopped. {where}. {_AGAIN}")
    if ended is not None:
        raise LedgerError(
            f"The table ended early: {inert(ended)}",
            hint=f"{where}. {_AGAIN}",
        )
    return _told(options, table, len(read.frame))


def _print(
    options: argparse.Namespace, read: TableFile, added: Mapping[str, Sequence[Any]]
) -> None:
    from opg_magic.table import files

    text = read.text(files.format_of(options.file), added)
    if sys.stdout.isatty():
        sys.stdout.write(inert(text))
    else:
        # A file or a pipe gets the bytes that --out would, whatever the locale is.
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()


def _told(options: argparse.Namespace, table: Table, rows: int) -> int:
    """Say how many rows have no answer.  Returns 1 if one asked something and has none."""
    if not options.quiet:
        said = [f"{rows:,} {'row' if rows == 1 else 'rows'} to {options.out or 'standard output'}"]
        if table.silent:
            ask = "asks" if table.silent == 1 else "ask"
            said.append(f"{table.silent:,} {ask} nothing: a cell is empty")
        if table.failures:
            said.append(f"{table.failures:,} without an answer: see {options.output}_error")
        print(f"{'; '.join(said)}.", file=sys.stderr)
    return 1 if table.failures else 0
