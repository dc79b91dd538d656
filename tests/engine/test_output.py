"""An output that is not UTF-8: a paid answer is printed whole, in some form, and exit codes say
what they should."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.receipts import receipt
from support.simnet import RunningSimnet

from opg_magic import api
from opg_magic.call.session import Session
from opg_magic.display import output
from opg_magic.receipt.document import Receipt
from opg_magic.shell import main
from opg_magic.simnet.host import conduct

TEXT = "naïve 中文 😀 “quoted” end"


def _stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)


def _told(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)


@pytest.mark.parametrize(
    ("encoding", "errors", "shown"),
    [
        ("ascii", "strict", r"na\xefve \u4e2d\u6587 \U0001f600 \u201cquoted\u201d end"),
        ("ascii", "surrogateescape", r"na\xefve \u4e2d\u6587 \U0001f600 \u201cquoted\u201d end"),
        ("cp1252", "strict", r"naïve \u4e2d\u6587 \U0001f600 “quoted” end"),
        ("latin-1", "replace", "naïve ?? ? ?quoted? end"),  # what its user asked for
        ("utf-8", "strict", TEXT),
    ],
)
def test_a_paid_answer_is_printed_whole(
    session: Session,
    honest_simnet: RunningSimnet,
    monkeypatch,
    encoding: str,
    errors: str,
    shown: str,
):
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)
    monkeypatch.setattr(
        conduct.Honest, "reply", lambda _self, reply: replace(reply, pieces=(TEXT,))
    )
    made = api.Prompt
    monkeypatch.setattr(api, "Prompt", lambda **given: made(**given | {"stream": False}))
    out, err = _stream(encoding, errors), _stream(encoding, errors)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main.main(["ask", "Is 561 prime?"]) == 0
    assert _told(out).splitlines() == [shown]
    assert (f"This output is {encoding}" in _told(err)) == (encoding != "utf-8")
    assert "[simulated network]" in _told(err)
    whole = _stream(encoding, errors)
    monkeypatch.setattr(sys, "stdout", whole)
    assert main.main(["show", "last", "--json"]) == 0
    assert Receipt.from_json(_told(whole)) == session.ledger.last()


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["cp1252", "C"],
)
def test_verify_says_the_same_of_a_good_file_in_any_encoding(
    tmp_path: Path, environment: dict[str, str]
):
    os_name = os.fsdecode(b"r\xe9sum\xe9.json")
    (tmp_path / os_name).write_text(receipt().to_json(), encoding="utf-8")
    given = {
        k: v for k, v in os.environ.items() if not k.startswith(("OPG_", "LC_", "LANG", "PYTHON"))
    }
    codes = []
    for more in ({}, environment):
        done = subprocess.run(
            [sys.executable, "-m", "opg_magic.shell.main", "verify", os_name],
            env=given | {"OPG_HOME": str(tmp_path / "home")} | more,
            cwd=tmp_path,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.stdout
        codes.append(done.returncode)
    assert codes[0] == codes[1]


def test_a_prompt_that_cannot_be_read_is_refused_unsent(session: Session, monkeypatch, capsys):
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)
    for encoding, errors, raw in (
        ("cp1252", "strict", b"a \x81"),
        ("ascii", "surrogateescape", b"a \xe9"),
    ):
        monkeypatch.setattr(
            sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding=encoding, errors=errors)
        )
        assert main.main(["ask", "-"]) == 2
        assert "PromptError" in (told := capsys.readouterr().err) or "RequestError" in told
    assert session.ledger.count() == 0


def test_json_stays_json_where_the_output_lacks_a_character(monkeypatch):
    document = {"text": TEXT}
    text = json.dumps(document, ensure_ascii=False)
    monkeypatch.setattr(sys, "stdout", _stream("ascii"))
    assert json.loads(output.json_text(document, text)) == document
    assert output.json_text(document, text).isascii()
    monkeypatch.setattr(sys, "stdout", _stream("utf-8"))
    assert output.json_text(document, text) == text


def test_streams_of_another_kind_are_left_alone():
    output.never_fails(None, io.StringIO(), object())
    assert output.holds("中", io.StringIO())
