"""Tables in files (CSV, JSON Lines, Parquet): read whole before anything is asked, written with the
answers beside their rows.

A CSV file holds texts and nothing else: each cell is sent and written back as it stands there.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from opg_magic.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

#: By a file's ending.
FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
#: Characters of one CSV cell.  A cell that is too long to be sent is refused later, by its row.
_MOST_CELL = 100_000_000
#: A byte order mark, by which Excel knows UTF-8.
_MARK = "\ufeff"
#: Bytes of an answer's verdict and receipt ID.
_BESIDE = 100


def format_of(path: Path) -> str:
    """The format that a file's ending names.  Raises ConfigError for another one, and for Parquet
    where PyArrow is missing."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ConfigError(
            f"{path.name}: tables are read and written as {', '.join(FORMATS)}. Nothing was sent."
        )
    if found == "parquet":
        _pyarrow()
    return found


@dataclass(frozen=True, slots=True)
class TableFile:
    """What a file holds.  ``frame`` has the cells as they are, its rows numbered from 1.

    ``arrow`` is a Parquet file's own table, whose types are kept; ``lines`` are a JSON Lines file's
    own, whose numbers and escapes are.  ``start`` (a byte order mark, or nothing) and ``newline``
    are a CSV file's."""

    frame: pd.DataFrame
    arrow: Any = None
    lines: Sequence[str] | None = None
    start: str = ""
    newline: str = "\n"

    def text(self, format: str, added: Mapping[str, Sequence[Any]]) -> str:
        """The rows with their new columns, as CSV or JSON Lines.  Old columns of the same names
        give way."""
        return "".join(_WRITERS[format](self, added))

    def write(self, path: Path, added: Mapping[str, Sequence[Any]]) -> None:
        """The same into a file, in the format of its ending: there whole, or not at all.  A file
        of that name is replaced.  Raises OSError."""
        beside = _beside(path)
        try:
            self._fill(beside, added)
            beside.replace(path)
        finally:
            with suppress(OSError):
                beside.unlink()

    def _fill(self, path: Path, added: Mapping[str, Sequence[Any]]) -> None:
        format = format_of(path)
        if format == "parquet":
            _write_parquet(path, self.kept(added), self.arrow, added)
        else:
            with path.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.writelines(_WRITERS[format](self, added))
        with path.open("rb+") as written:
            os.fsync(written.fileno())

    def refuse_unwritable(self, path: Path, names: Sequence[str], answer: int) -> None:
        """Raise OSError if the table cannot be written there, with these columns and answers of
        about so many bytes.  Tries it beside that place, with no answers, and removes that."""
        beside = _beside(path)
        try:
            self._fill(beside, dict.fromkeys(names, [None] * len(self.frame)))
            if shutil.disk_usage(path.parent).free < len(self.frame) * (answer + _BESIDE):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            # That name may be one that cannot even be looked for.
            with suppress(OSError):
                beside.unlink()

    def kept(self, added: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
        """The columns that do not give way."""
        return self.frame.drop(columns=[name for name in self.frame.columns if name in added])


def _beside(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(4)}.{path.name}")


def read(path: Path) -> TableFile:
    """Read a table.  Raises ConfigError, which names the line, for a file that is none."""
    format = format_of(path)
    try:
        if format == "parquet":
            return _read_parquet(path)
        text = path.read_bytes().decode("utf-8")
    except OSError as problem:
        raise ConfigError(
            f"{path} cannot be read: {problem.strerror or problem}. Nothing was sent."
        ) from None
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise ConfigError(
            f"{path.name}, line {line}: this is not UTF-8 text. Nothing was sent.",
            hint=f"Save it as UTF-8, as in: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > new.csv",
        ) from None
    start = _MARK if text.startswith(_MARK) else ""
    text = text.removeprefix(_MARK)
    if not text.strip():
        raise ConfigError(f"{path.name} is empty. Nothing was sent.")
    if format == "jsonl":
        return _read_jsonl(path.name, text)
    newline = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    return TableFile(_read_csv(path.name, text), start=start, newline=newline)


def _frame(rows: list[Any], columns: list[str] | None = None) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=columns, dtype=object, index=range(1, len(rows) + 1))


# ------------------------------------------------------------------------------------------ reading


def _read_csv(name: str, text: str) -> pd.DataFrame:
    csv.field_size_limit(_MOST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    header: list[str] = []
    try:
        for row in reader:
            if not header:
                header = row
            elif len(row) == len(header):
                rows.append(row)
            elif row:  # a blank line is no row
                raise ConfigError(
                    f"{name}, row {len(rows) + 1} (it ends in line {reader.line_num}): "
                    f"{len(row)} cells, and the first line names {len(header)} columns. "
                    "Nothing was sent.",
                    hint="Quote cells that contain commas or line breaks.",
                )
    except csv.Error as problem:
        raise ConfigError(f"{name}, line {reader.line_num}: {problem}. Nothing was sent.") from None
    twice = next((one for one in header if header.count(one) > 1), None)
    if twice is not None:
        raise ConfigError(f"{name} names the column {twice!r} twice. Nothing was sent.")
    return _frame(rows, header)


def _read_jsonl(name: str, text: str) -> TableFile:
    rows, lines = [], []
    # Not splitlines(): a JSON text may hold U+2028 as it is.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_number, parse_float=_finite)
        except RecursionError:
            raise ConfigError(
                f"{name}, line {number} is nested too deeply. Nothing was sent."
            ) from None
        except ValueError as problem:
            raise ConfigError(
                f"{name}, line {number} is not JSON: {problem}. Nothing was sent."
            ) from None
        if not isinstance(row, dict):
            raise ConfigError(
                f"{name}, line {number} is not an object, as in "
                '{"review": "..."}. Nothing was sent.'
            )
        if "\\ud" in line.lower() and any(_is_no_text(key) for key in row):
            raise ConfigError(
                f"{name}, line {number} has a key with a lone surrogate, which is not text. "
                "Nothing was sent."
            )
        rows.append(row)
        lines.append(line.strip(" \t\r"))
    return TableFile(_frame(rows), lines=lines)


def _is_no_text(key: str) -> bool:
    return key.encode("utf-8", "replace").decode() != key


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _finite(word: str) -> float:
    value = float(word)
    return value if math.isfinite(value) else _no_number(word)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            "Parquet needs the package PyArrow. Nothing was sent.",
            hint="pip install pyarrow (the extra parquet brings it), or use .csv or .jsonl.",
        ) from None
    return pyarrow


def _read_parquet(path: Path) -> TableFile:
    import pandas as pd

    pyarrow = _pyarrow()
    try:
        table = pyarrow.parquet.read_table(path)
        # Column by column as Python has it: pandas would make a float of a number beside a null.
        cells = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, KeyError, ValueError, OverflowError) as problem:
        # The last two: a time that Python has no value for.
        raise ConfigError(
            f"{path.name} cannot be read as Parquet: {problem}. Nothing was sent."
        ) from None
    index = range(1, table.num_rows + 1)
    columns = {name: pd.Series(one, dtype=object, index=index) for name, one in cells.items()}
    return TableFile(pd.DataFrame(columns, index=index), table)


# ------------------------------------------------------------------------------------------ writing


def _csv_lines(file: TableFile, added: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Old cells stand as they were.  An answer comes from elsewhere: where a spreadsheet could take
    it for a formula, an apostrophe is put before it, as in exports of receipts."""
    from opg_magic.ledger.formats.csv import guarded

    frame, out = file.kept(added), io.StringIO()
    # With another line end, Python 3.11 puts no quotes around a cell that holds a carriage return.
    writer = csv.writer(out, lineterminator="\r\n")
    yield file.start
    writer.writerow([*frame.columns, *added])
    for old, new in zip(_rows(frame), zip(*added.values(), strict=True), strict=True):
        yield out.getvalue()[:-2] + file.newline
        out.seek(0)
        out.truncate()
        texts = [guarded(one) if isinstance(one, str) else _as_text(one) for one in new]
        writer.writerow([*map(_as_text, old), *texts])
    yield out.getvalue()[:-2] + file.newline


def _jsonl_lines(file: TableFile, added: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    frame = file.kept(added)
    gives_way = len(frame.columns) < len(file.frame.columns)
    for number, (old, new) in enumerate(
        zip(_rows(frame), zip(*added.values(), strict=True), strict=True)
    ):
        more = json.dumps(dict(zip(added, new, strict=True)), ensure_ascii=False, default=_plain)
        if file.lines is not None and not gives_way:
            before = file.lines[number][:-1].rstrip()
            yield f"{before}{'' if before == '{' else ', '}{more[1:]}\n"
            continue
        # A key that this row did not have stays away; null stays null.
        row = {k: v for k, v in zip(frame.columns, old, strict=True) if not _is_absent(v)}
        start = json.dumps(row, ensure_ascii=False, default=_plain)[:-1]
        yield f"{start}{', ' if row else ''}{more[1:]}\n"


_Writer = Callable[[TableFile, Mapping[str, Sequence[Any]]], Iterator[str]]
_WRITERS: Mapping[str, _Writer] = {"csv": _csv_lines, "jsonl": _jsonl_lines}


def _write_parquet(
    path: Path, frame: pd.DataFrame, arrow: Any, added: Mapping[str, Sequence[Any]]
) -> None:
    pyarrow = _pyarrow()
    if arrow is None:
        arrow = pyarrow.table({name: _array(pyarrow, frame[name].tolist()) for name in frame})
    else:
        arrow = arrow.drop_columns([one for one in arrow.column_names if one in added])
    for name, values in added.items():
        arrow = arrow.append_column(name, _array(pyarrow, list(values)))
    pyarrow.parquet.write_table(arrow, path)


def _array(pyarrow: Any, values: list[Any]) -> Any:
    """A column of one type; of JSON texts where the values have none in common."""
    values = [None if _is_absent(one) else one for one in values]
    try:
        made = pyarrow.array(values)
        if made.to_pylist() == values:
            return made if not pyarrow.types.is_null(made.type) else made.cast(pyarrow.string())
    except (pyarrow.ArrowException, OverflowError):
        pass
    texts = [None if one is None else json.dumps(one, default=_plain) for one in values]
    return pyarrow.array(texts, pyarrow.string())


def _rows(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    if not len(frame.columns):
        return iter([()] * len(frame))
    return zip(*(frame[name].tolist() for name in frame.columns), strict=True)


def _is_absent(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _as_text(value: Any) -> str:
    if value is None or _is_absent(value):
        return ""
    if isinstance(value, (dict, list, bool)):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str) else str(_plain(value))


def _plain(value: Any) -> Any:
    """What JSON has no word for: a time, an exact number, bytes, a type's object."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value.hex() if isinstance(value, bytes) else str(value)
