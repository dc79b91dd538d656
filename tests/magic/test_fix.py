"""``%opg fix``: the last error becomes the next cell, without secrets, and nothing is sent."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.fake_session import FakeSession

from opg_magic.audit.sources import read_source
from opg_magic.models.secret import Secret

KEY = "0x" + "ab" * 32


@pytest.fixture(autouse=True)
def no_error_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        monkeypatch.delattr(sys, name, raising=False)


def fixed(
    shell: InteractiveShell, code: str, capsys: pytest.CaptureFixture[str]
) -> tuple[str, str]:
    """The next cell after this code failed, and what was said of it."""
    shell.run_cell(code, store_history=True)
    capsys.readouterr()
    shell.run_line_magic("opg", "fix")
    return shell.rl_next_input or "", capsys.readouterr().out


def test_the_last_error_is_the_next_cell_and_nothing_is_sent(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, said = fixed(shell, "def half(n):\n    return n / 0\n\nhalf(561)", capsys)
    assert read_source(cell).kind == "call"
    assert cell.startswith("%%opg explanation\nExplain this Python error")
    assert "ZeroDivisionError: division by zero" in cell
    assert "return n / 0" in cell and "half(561)" in cell
    assert "Nothing was sent." in said and "ZeroDivisionError" in said
    assert session.calls == []


def test_what_the_cell_holds_is_what_is_sent(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, _ = fixed(shell, "undefined", capsys)
    shell.run_cell(cell, store_history=True)
    ((prompt, _options),) = session.calls
    assert prompt.text == cell.partition("\n")[2]
    assert "explanation" in shell.user_ns


def test_no_local_is_in_it_and_a_secret_that_the_message_quotes_is_left_out(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_API_KEY", "from-the-environment-1")
    shell.user_ns["wrapped"] = Secret("wrapped-value-1")
    shell.user_ns["raw_token"] = b"bytes-value-1"
    code = (
        "def sign_in(user, password):\n"
        "    secret_local = 'never shown 1'\n"
        "    plain = 'plain local 1'\n"
        "    raise ValueError(f'refused: {user}:{password} ' + seen)\n"
        "import os\n"
        "seen = ' '.join([wrapped.reveal(), raw_token.decode(), os.environ['ACME_API_KEY']])\n"
        "sign_in('anna', ''.join(['hun', 'ter22']))\n"
    )
    cell, said = fixed(shell, code, capsys)
    assert "refused: anna:[left out]" in cell
    for value in ("hunter22", "wrapped-value-1", "bytes-value-1", "from-the-environment-1"):
        assert value not in cell
    # Of the code nothing but what stands in it; of the locals nothing at all.
    assert cell.count("plain local 1") == code.count("plain local 1")
    assert "never shown 1" not in cell
    assert re.search(r"\d values that look like a secret are left out", said)


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        KEY[2:],
        "sk-proj-abcdefghijklmnop",
        "AKIAABCDEFGHIJKLMNOP",
        "ghp_abcdefghijklmnopqrstuvwx",
        "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl",
        "anna:open-sesame",
    ],
)
def test_what_looks_like_a_secret_is_left_out_of_message_and_code(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    where = f"https://{secret}@db.example/x" if ":" in secret else secret
    cell, said = fixed(shell, f"x = '{where}'\nraise RuntimeError('cannot use ' + x)", capsys)
    assert secret not in cell
    assert "cannot use " in cell and "[left out]" in cell
    assert "left out" in said


def test_a_password_in_the_code_is_left_out_and_the_rest_stays(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, _ = fixed(shell, "connect(db_password = 'tr0ub4dor', user='anna')", capsys)
    assert "tr0ub4dor" not in cell
    assert "connect(db_password = '[left out]', user='anna')" in cell


def test_no_folder_of_this_machine_is_in_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "helper.py").write_text("def go():\n    raise KeyError('x')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    shell.run_cell(code, store_history=True)
    cell, _ = fixed(shell, "import helper\nhelper.go()", capsys)
    assert str(tmp_path) not in cell
    assert f"{tmp_path.name}/helper.py" in cell


def test_a_chained_error_is_told_with_its_cause(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('outer') from e"
    cell, _ = fixed(shell, code, capsys)
    assert "ZeroDivisionError" in cell and "ValueError: outer" in cell
    assert "direct cause" in cell


def test_a_syntax_error_can_be_explained(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, _ = fixed(shell, "for x in\n    pass", capsys)
    assert "SyntaxError" in cell


def test_a_long_traceback_keeps_its_end(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, _ = fixed(shell, "raise RuntimeError('a' * 90_000 + ' the end')", capsys)
    assert len(cell) < 12_000
    assert "characters left out" in cell and "the end\n" in cell


def test_fences_in_an_error_do_not_end_the_block(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, _ = fixed(shell, "raise RuntimeError('a ```` b')", capsys)
    assert "\n`````\n" in cell


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("1 + 1", "no error in this kernel yet"),
        (
            "from opg_magic.errors import WalletError\nraise WalletError('no key')",
            "opg_magic itself",
        ),
        ("%%opg --modle x\nhi", "opg_magic itself"),
    ],
)
def test_where_there_is_nothing_to_explain_that_is_said(
    shell: InteractiveShell, code: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from IPython.core.error import UsageError

    shell.run_cell(code, store_history=True)
    before: Any = getattr(shell, "rl_next_input", None)
    with pytest.raises(UsageError, match=why):
        shell.run_line_magic("opg", "fix")
    assert getattr(shell, "rl_next_input", None) == before
