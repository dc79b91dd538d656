"""What goes out is the cell as typed if the call comes from that cell, and what was passed in every
other case."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.fake_session import FakeSession

from opg_magic.cells import grammar

MAGIC = "get_ipython().run_cell_magic('opg', {!r}, {!r})"


def sent(session: FakeSession) -> list[str]:
    return [prompt.text for prompt, _ in session.calls]


@pytest.mark.parametrize(
    ("cell", "prompt"),
    [
        (
            "    %%opg a\n    - one\n      - two\n    Explain.",
            "    - one\n      - two\n    Explain.",
        ),
        (
            "\n%%opg a\n>>> 1 + 1\n2\nWhat does this session show?",
            ">>> 1 + 1\n2\nWhat does this session show?",
        ),
        ("%%opg a\r\nline one\r\nline two\r\n", "line one\r\nline two"),
        ("\r\n%%opg a\r\n>>> x\r\n", ">>> x"),
        ("%%opg a\n   \nafter a line of spaces", "   \nafter a line of spaces"),
        ("%%time\n%%opg a\n>>> x\n  \ny", ">>> x\n  \ny"),
        ("%%capture out\n%%opg a\n>>> x", ">>> x"),
        ("%%capture\n\n%%time\n%%opg a\n>>> x", ">>> x"),
        ("%%time\n  %%opg a\n  x\n    y", "  x\n    y"),
        ("%%timeit -n 1 -r 1\n%%opg a\n>>> x", ">>> x"),
        ("%%opg a # --dry-run\nx", "x"),
        ("%%opg a\nx\u0085y\u2028z", "x\u0085y\u2028z"),
    ],
)
def test_the_cell_goes_out_as_typed_and_a_reader_finds_it_so(
    shell: InteractiveShell, session: FakeSession, cell: str, prompt: str
) -> None:
    shell.run_cell(cell)
    assert sent(session) == [prompt]
    assert session.calls[0][0].source == cell
    head = grammar.head(cell)
    assert head is not None
    assert grammar.normal(head.body) == grammar.normal(prompt)


@pytest.mark.parametrize(
    "cell",
    [
        "In [1]: %%opg a\nhi",
        ">>> %%opg a\nhi",
        "\u0085\n%%opg a\nhi",
        "\u00a0\n%%opg a\nhi",
        "%%opg a\u0085\nhi",
        "%%opg a\u2028hi",
        "%%opg a\u00a0\nhi",
        "%%opg\u3000\nhi",
        "%%time\u000c\n%%opg a\nhi",
        "\ufeff%%opg a\nhi",
        "%%\u043epg a\nhi",
        "%%opg\ta\nhi",
        "%%opg -h\nhi",
    ],
)
def test_a_cell_that_no_reader_takes_for_a_call_is_not_paid(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str], cell: str
) -> None:
    result = shell.run_cell(cell)
    assert session.calls == []
    # The %%time of older IPythons shows the error of what it runs, and ends well.
    assert not result.success or "Nothing was sent" in capsys.readouterr().err


def test_the_refusal_shows_what_cannot_be_seen(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%%opg a\u00a0\nhi")
    said = capsys.readouterr()
    assert r"'%%opg a\xa0' is not exactly %%opg" in said.out + said.err
    assert "Nothing was sent" in said.out + said.err


@pytest.mark.parametrize(
    "last",
    [
        "%%opg --quiet\nQuestion B",
        "%%opg --quiet\n>>> Question A",
        "    %%opg --quiet\n    Question A",
    ],
)
def test_a_call_from_elsewhere_sends_what_was_passed(
    shell: InteractiveShell, session: FakeSession, last: str
) -> None:
    """A thread, a task and a button's callback run beside the cell that was executed last, or after
    it."""
    ask: Any = lambda: shell.run_cell_magic("opg", "--quiet", "Question A")  # noqa: E731
    shell.run_cell(last)
    session.calls.clear()
    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()

    async def task() -> None:
        ask()

    asyncio.run(task())
    assert sent(session) == ["Question A"] * 3
    assert {prompt.source for prompt, _ in session.calls} == {"%%opg --quiet\nQuestion A"}


def test_a_call_within_another_cell_sends_what_was_passed(
    shell: InteractiveShell, session: FakeSession
) -> None:
    inside = MAGIC.format("--quiet", "Question A")
    for cell in (inside, f"%%time\n{inside}", f"\n{inside}\nx = 1", f"def f():\n    {inside}\nf()"):
        assert shell.run_cell(cell).success
    assert sent(session) == ["Question A"] * 4


def test_a_thread_that_a_call_starts_beside_itself_sends_its_own_prompt(
    shell: InteractiveShell, session: FakeSession
) -> None:
    answer = session.act

    def act(prompt: Any, options: Any, observer: Any) -> Any:
        if prompt.text == ">>> outer":
            thread = threading.Thread(
                target=shell.run_cell_magic, args=("opg", "--quiet", "outer\n")
            )
            thread.start()
            thread.join()
        return answer(prompt, options, observer)

    session.act = act
    shell.run_cell("%%opg --quiet\n>>> outer")
    assert sent(session) == [">>> outer", "outer"]


def test_cells_of_another_notebook_that_is_run_go_out_as_typed(
    shell: InteractiveShell, session: FakeSession, tmp_path: Path
) -> None:
    cells = [
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": source,
        }
        for source in ("    %%opg a\n    >>> x", "%%opg b\n>>> y")
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}
    (tmp_path / "other.ipynb").write_text(json.dumps(notebook), "utf-8")
    (tmp_path / "other.ipy").write_text("\n%%opg c\n>>> z\n", "utf-8")
    shell.run_cell(f"%run {tmp_path / 'other.ipynb'}")
    shell.run_cell(f"%run {tmp_path / 'other.ipy'}")
    assert sent(session) == ["    >>> x", ">>> y", ">>> z"]


def test_under_a_magic_of_the_users_own_the_cell_still_goes_out_as_typed(
    shell: InteractiveShell, session: FakeSession
) -> None:
    shell.register_magic_function(lambda line, cell: shell.run_cell(cell), "cell", "again")
    assert shell.run_cell("%%again\n%%opg a\n>>> x").success
    assert sent(session) == [">>> x"]
