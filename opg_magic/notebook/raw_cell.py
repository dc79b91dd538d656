"""The cell from which a call comes, as it was typed: IPython changes its text before a magic sees
it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Any

from opg_magic.cells import grammar
from opg_magic.cells.magic_line import LineError

#: More magics above one cell than anyone stacks.
_MOST = 8


def body_and_source(shell: Any, line: str, body: str) -> tuple[str, str]:
    """The prompt's text as typed, and the source of the cell that it stands in.

    IPython dedents cells and takes ``>>>`` and ``In [1]:`` off; the prompt goes raw.  A running
    cell counts only if IPython's own transformer makes of it exactly what was passed here: a call
    from a task, a thread or a button has another text, and that is its prompt.  :class:`LineError`
    if the cell is a call for IPython and none for a reader."""
    # The outermost: %%capture runs what IPython made of the cell as a cell of its own.
    for raw in reversed(list(_running())):
        found = _below(shell, raw, line, body)
        if found is not None:
            typed, wrappers = found
            _check_readable(raw, line, wrappers)
            return typed, raw
    return body, f"%%opg {line}\n{body}"


def _running() -> Iterator[str]:
    """Cells that run just now in this thread and led here, the innermost first."""
    from IPython.core.interactiveshell import InteractiveShell

    runs = InteractiveShell.run_cell_async.__code__
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is runs:
            raw = frame.f_locals.get("raw_cell")
            if isinstance(raw, str):
                yield raw
        frame = frame.f_back  # type: ignore[assignment]


def _below(shell: Any, raw: str, line: str, body: str) -> tuple[str, list[str]] | None:
    """What stands below the ``%%opg`` line of ``raw``, and the magics above it; None if it is not
    this call."""
    cooked = raw
    wrappers: list[str] = []
    for _ in range(_MOST):
        call = _call(shell, cooked)
        first, raw = _first_line(raw)
        if call is None or f"%%{call[0]}" not in first:
            return None
        if call == ("opg", line, body):
            return raw, wrappers
        # Another magic, whose body is transformed once more when it runs it.
        wrappers.append(call[0])
        cooked = call[2]
    return None


def _call(shell: Any, cell: str) -> tuple[str, str, str] | None:
    """(magic, line, body) if IPython makes a cell magic's call of this cell."""
    try:
        (statement,) = ast.parse(shell.input_transformer_manager.transform_cell(cell)).body
    except (SyntaxError, ValueError):
        return None
    match statement:
        case ast.Expr(
            ast.Call(
                func=ast.Attribute(attr="run_cell_magic"),
                args=[ast.Constant(str(name)), ast.Constant(str(line)), ast.Constant(str(body))],
            )
        ):
            return name, line, body
    return None


def _first_line(raw: str) -> tuple[str, str]:
    """The first line that is not empty, and all below it, by IPython's own line ends."""
    lines = raw.splitlines(keepends=True)
    while lines and lines[0].isspace():
        lines.pop(0)
    return (lines[0], "".join(lines[1:])) if lines else ("", "")


def _check_readable(raw: str, line: str, wrappers: list[str]) -> None:
    head = grammar.head(raw)
    if head is not None and head.line == line.strip(" \t"):
        return
    if set(wrappers) <= set(grammar.WRAPPERS):
        first = next((text for text in grammar.newlines(raw).split("\n") if "%%opg" in text), "")
        raise LineError(
            f"the line {first[:80]!a} is not exactly %%opg, so nobody could tell later what this "
            "cell asked. Begin the cell with %%opg and a space. Nothing was sent"
        )


__all__ = ["body_and_source"]
