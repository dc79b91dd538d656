"""``--schema`` and ``-f`` in a cell: what is sent, shown and kept."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.fake_session import FakeSession, Screen, good_answer

from opg_magic import shapes
from opg_magic.errors import ArgumentError, ShapeMismatch
from opg_magic.models import Answer, plain_text
from opg_magic.notebook import completion
from opg_magic.notebook.commands import COMMANDS

RECEIPT = "application/vnd.opg.receipt.v1+json"
FILMS = [{"title": "M", "year": 1931}, {"title": "<b>\u202e$x$</b>\n", "year": 1941}]


def run(shell: InteractiveShell, cell: str) -> Any:
    return shell.run_cell(cell, store_history=True)


def displays(screen: Screen) -> list[dict[str, Any]]:
    """What stands below the cells so far, from above."""
    found: dict[Any, dict[str, Any]] = {}
    for one in screen.all:
        found[one.id or id(one)] = one.data
    screen.all.clear()
    return list(found.values())


def saying(session: FakeSession, data: Any) -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    session.act = good_answer(text)
    return text


def test_a_schema_of_the_line_is_sent_and_the_variable_has_data(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    text = saying(session, FILMS[0])
    assert run(shell, '%%opg film --schema "title, year int"\nOne film.').error_in_exec is None
    ((prompt, _),) = session.calls
    assert prompt.extra["response_format"] == shapes.resolve("title, year int").response_format
    assert shell.user_ns["film"].data == FILMS[0]
    # What is shown is what was signed: a reader finds nothing beside it.
    (shown,) = displays(screen)
    assert plain_text.shows(shown["text/plain"], text)
    assert RECEIPT in shown


def test_a_schema_that_lacks_its_quotes_is_told_so(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in ("--schema title, year", "film --schema title, year int"):
        assert run(shell, f"%%opg {line}\nOne film.").error_in_exec is not None
        assert "quote" in capsys.readouterr().err
    assert session.calls == []


def test_a_type_of_the_notebook_makes_objects(
    shell: InteractiveShell, session: FakeSession
) -> None:
    run(shell, "from pydantic import BaseModel\nclass Film(BaseModel):\n  title: str\n  year: int")
    saying(session, {"items": FILMS})
    assert run(shell, "%%opg films --schema list_of\nFilms.").error_in_exec is not None
    run(shell, "list_of = list[Film]")
    assert run(shell, "%%opg films --schema list_of\nFilms.").error_in_exec is None
    assert [film.year for film in shell.user_ns["films"].data] == [1931, 1941]
    assert offered("%%opg --schema Fi") == ["Film"]


def offered(text: str) -> list[str] | None:
    found = completion.candidates(text, len(text), COMMANDS)
    return None if found is None else found[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%%opg -f ", ["text", "markdown", "json", "code", "df"]),
        ("%%opg --format=d", ["--format=df"]),
        ("%%opg -f df --form", []),
        ("%%opg --sche", ["--schema"]),
        ("%opg code ", ["last"]),
    ],
)
def test_the_values_are_offered(text: str, expected: list[str]) -> None:
    assert offered(text) == expected


def test_a_table_is_shown_inert_beside_the_card(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    saying(session, {"items": FILMS})
    cell = '%%opg films -f df --schema "title, year int"\nFilms.'
    assert run(shell, cell).error_in_exec is None
    table, card = displays(screen)
    assert RECEIPT not in table and RECEIPT in card
    assert "<b>" not in table["text/html"] and "$x$" not in table["text/html"]
    assert "\u202e" not in json.dumps(table, ensure_ascii=False)
    first, second, third = table["text/plain"].splitlines()
    assert (first.split(), second.split()) == (["title", "year"], ["M", "1931"])
    assert third.split() == ["<b>⟦U+202E⟧$x$</b>⏎", "1941"]
    data = shell.user_ns["films"].data
    assert isinstance(data, pd.DataFrame)
    assert data.to_dict("records") == FILMS


def test_the_exact_text_and_a_long_table(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    saying(session, "*a* `b`")
    run(shell, "%%opg -f text\nSay it.")
    text, card = displays(screen)
    assert text["text/plain"] == "*a* `b`" and "<em>" not in text["text/html"]
    assert RECEIPT in card
    saying(session, [{"n": n} for n in range(1000)])
    run(shell, '%%opg -f df --schema "n int"\nCount.')
    table = displays(screen)[-2]
    assert "1,000 rows; the first 60 are shown" in table["text/html"]
    assert len(table["text/html"]) < 20_000


@pytest.mark.parametrize("data", [[], [{}], [{}, {"a\n": None}]])
def test_a_table_of_little_is_shown_too(
    shell: InteractiveShell, session: FakeSession, screen: Screen, data: Any
) -> None:
    saying(session, {"items": data})
    shell.user_ns["anything"] = {"type": "object"}
    assert run(shell, "%%opg rows -f df --schema anything\nCount.").error_in_exec is None
    assert len(shell.user_ns["rows"].data) == len(data)
    table, card = displays(screen)
    assert "<table" in table["text/html"] and RECEIPT in card


def test_quiet_shows_the_card_alone_and_the_data_comes_all_the_same(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    saying(session, [{"n": 1}])
    run(shell, '%%opg rows --quiet -f df --schema "n int"\nCount.')
    (card,) = displays(screen)
    assert RECEIPT in card
    assert shell.user_ns["rows"].data["n"].tolist() == [1]


def test_an_answer_that_does_not_fit_is_shown_and_the_cell_fails(
    shell: InteractiveShell,
    session: FakeSession,
    screen: Screen,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shell.user_ns["film"] = "before"
    text = saying(session, {"title": "M", "year": "long ago"})
    result = run(shell, '%%opg film --schema "title, year int"\nOne film.')
    problem = result.error_in_exec
    assert isinstance(problem, ShapeMismatch)
    assert isinstance(problem.answer, Answer) and problem.answer.text == text
    (shown,) = displays(screen)
    assert plain_text.shows(shown["text/plain"], text) and RECEIPT in shown
    assert shell.user_ns["film"] == "before"
    said = "".join(problem._render_traceback_())
    assert "year: a string, not an integer." in said
    assert f"%opg show {problem.receipt_id}" in said and "Charge: " in said


def test_json_that_lost_its_quotes_on_the_line_is_told_so(
    shell: InteractiveShell, session: FakeSession
) -> None:
    result = run(shell, '%%opg --schema {"type":"object"}\nHi.')
    assert "between single quotes" in str(result.error_in_exec)
    result = run(shell, """%%opg --schema '{"type":"object"'\nHi.""")
    assert isinstance(result.error_in_exec, ArgumentError)
    assert "between single quotes" not in str(result.error_in_exec)
    assert session.calls == []


@pytest.mark.parametrize(
    "line",
    [
        "--schema Nowhere",
        '--schema "a,,b"',
        "-f df",
        "--schema gone.json",
        "-f code --schema 'a str'",
    ],
)
def test_a_bad_schema_is_refused_before_the_call(
    shell: InteractiveShell, session: FakeSession, screen: Screen, line: str
) -> None:
    result = run(shell, f"%%opg {line}\nHi.")
    assert isinstance(result.error_in_exec, ArgumentError)
    assert session.calls == [] and displays(screen) == []


def test_a_dry_run_counts_the_schema_and_pays_nothing(
    shell: InteractiveShell, session: FakeSession
) -> None:
    seen: list[Any] = []
    quote = session.quote
    session.quote = lambda prompt, options=None: (seen.append(prompt), quote(prompt, options))[1]  # type: ignore[method-assign]
    run(shell, '%%opg --dry-run --schema "a, b"\nHi.')
    assert session.calls == []
    assert "response_format" in seen[0].extra


# ------------------------------------------------------------------------------------------- code


def test_code_goes_into_the_next_cell_and_is_not_run(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    saying(session, "So:\n\n```python\nran = True  # \u202e\n```\n\nDone.")
    run(shell, "%%opg answer -f code\nSay it in code.")
    answer = shell.user_ns["answer"]
    assert answer.data == "ran = True  # \u202e"
    session.show = lambda which: answer  # type: ignore[attr-defined]
    shell.run_line_magic("opg", "code")
    assert shell.rl_next_input == "ran = True  # ⟦U+202E⟧"
    assert "It was not run" in capsys.readouterr().out
    assert "ran" not in shell.user_ns
