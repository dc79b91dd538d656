"""Words are found in the ledger, with the index and without it; nothing that happens to the index
costs more than time."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.receipts import NOW, SIM, evidence, receipt, response, verdict

from opg_magic.errors import LedgerError
from opg_magic.ledger import index, pages, search
from opg_magic.ledger.asked import asked_before
from opg_magic.ledger.frames import receipts
from opg_magic.ledger.pages import LedgerReader
from opg_magic.ledger.rescue import rescue
from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.models import Prompt, VerdictStatus
from opg_magic.receipt.document import Receipt
from opg_magic.shell.main import main

TEXTS = {
    "1AAAAAAAAA": ("Is 561 prime?", "No: 561 = 3 × 11 × 17."),
    "2BBBBBBBBB": ("Summarise the contract", 'It ends in MARCH, "as agreed".'),
    "3CCCCCCCCC": ("用中文回答：素数是什么？", "素数只能被1和自己整除。"),
    "4DDDDDDDDD": ("ÉTÉ or hiver", "L'été.\0Hidden after a NUL"),
    "5EEEEEEEEE": ("percent % and under_score", "''; DROP TABLE receipts; --"),
}


def made(id: str, prompt: str, answer: str) -> Receipt:
    return receipt(
        id=id,
        prompt=Prompt(text=prompt, model="openai/gpt-5"),
        text=answer,
        evidence=evidence("x", answer=response(answer)),
    )


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr(search, "_FEW", 0)
    with Ledger(tmp_path / "ledger.sqlite") as one:
        for id, (prompt, answer) in TEXTS.items():
            one.save(made(id, prompt, answer))
        yield one


def found(ledger: Ledger, words: str) -> str:
    return "".join(sorted(id[0] for id in receipts(ledger, search=words)["id"]))


CASES = [
    ("561", "1"),
    ("prime 561", "1"),
    ("PRIME", "1"),
    ("march", "2"),
    ('"as agreed"', "2"),
    ('"agreed as"', ""),
    ("agreed as", "2"),
    ("素数", "3"),
    ("素数是什么", "3"),
    ("été", "4"),
    ("hidden", "4"),
    ("%", "5"),
    ("under_score", "5"),
    ("under%score", ""),
    ("DROP TABLE", "5"),
    ("gpt-5", "12345"),
    ("4dddd", "4"),
    ("a", "12345"),
    ("AND", "5"),
    ("pri*", ""),
    ("(", ""),
    ("half \ud800 pair", ""),
    ("\ud800\udc00!", ""),
]


@pytest.mark.parametrize(("words", "ids"), CASES)
def test_what_is_found(ledger: Ledger, words: str, ids: str) -> None:
    assert found(ledger, words) == ids
    assert found(ledger, words) == ids  # the index is there now


@pytest.mark.parametrize(("words", "ids"), CASES)
def test_without_an_index_the_same_is_found(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, words: str, ids: str
) -> None:
    monkeypatch.setattr(index, "_SCHEMA", "CREATE VIRTUAL TABLE texts USING no_such_module;")
    assert found(ledger, words) == ids


def test_the_index_is_used_and_read_by_its_owner_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search.candidates(ledger, ("561",)) == {1}
    assert search.candidates(ledger, ("no such text",)) == set()
    path = ledger.path.with_name("search.sqlite")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # What it has indexed it does not read again.
    monkeypatch.setattr(index, "_add", lambda *_: pytest.fail("indexed twice"))
    assert search.candidates(ledger, ("march",)) == {2}


def test_an_index_that_is_there_is_opened_by_sqlite_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To close another descriptor of it would drop this process's locks on it."""
    assert found(ledger, "prime") == "1"
    opened, real = [], os.open

    def watched(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        descriptor = real(path, flags, *rest, **named)
        opened.append(str(path))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    assert found(ledger, "prime") == "1"
    assert not [path for path in opened if path.endswith("search.sqlite")]


def test_what_is_saved_later_is_found(ledger: Ledger) -> None:
    assert found(ledger, "later") == ""
    ledger.save(made("6FFFFFFFFF", "what came later", "yes"))
    assert found(ledger, "later") == "6"


def test_a_withheld_answer_is_neither_found_nor_indexed(ledger: Ledger) -> None:
    ledger.save(
        receipt(
            id="7GGGGGGGGG",
            verdict=verdict(VerdictStatus.FAILED),
            evidence=evidence(answer=response("SECRET OF A LIAR")),
        )
    )
    assert found(ledger, "SECRET OF A LIAR") == ""
    assert 6 not in (search.candidates(ledger, ("secret of a liar",)) or ())


def test_calls_without_a_receipt_are_found(ledger: Ledger) -> None:
    from support.receipts import authorisation

    from opg_magic.settings.limits import Limits

    call = CallIntent(
        "9ZZZZZZZZZ", NOW, SIM, "k", "m", prompt="died halfway", authorisation=authorisation(9)
    )
    ledger.begin(call, reserve=True, limits=Limits(10**30, 10**30, 10**30))
    assert found(ledger, "halfway") == "9"


# ------------------------------------------------------------------------ what happens to the index


@pytest.mark.parametrize(
    "damage",
    [b"", b"no database at all", b"SQLite format 3\0" + b"\xff" * 4096],
    ids=["empty", "text", "torn"],
)
def test_a_damaged_index_is_made_again(ledger: Ledger, damage: bytes) -> None:
    assert found(ledger, "561") == "1"
    path = ledger.path.with_name("search.sqlite")
    path.write_bytes(damage)
    assert found(ledger, "561") == "1"
    assert search.candidates(ledger, ("561",)) == {1}
    assert ledger.findings() == []


@pytest.mark.parametrize("name", [b"texts", b"asked", b"unread", b"done"])
def test_an_index_whose_names_are_spoilt_is_made_again(ledger: Ledger, name: bytes) -> None:
    assert found(ledger, "561") == "1"
    path = ledger.path.with_name("search.sqlite")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"table" + name * 2, b"table" + b"\xff" * 2 * len(name)))
    assert path.read_bytes() != raw
    assert found(ledger, "561") == "1"
    assert search.candidates(ledger, ("561",)) == {1}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_an_index_spoilt_anywhere_costs_nothing(ledger: Ledger, data: st.DataObject) -> None:
    assert found(ledger, "march") == "2"
    path = ledger.path.with_name("search.sqlite")
    raw = bytearray(path.read_bytes())
    # The file's size is not the same each time, and what is drawn may not hang on it.
    start = data.draw(st.integers(0, 2**20)) % len(raw)
    raw[start : start + 200] = b"\xff" * len(raw[start : start + 200])
    path.write_bytes(raw)
    # It may find less until it is made again; it raises nothing, and invents nothing.
    assert found(ledger, "march") in ("", "2")
    path.unlink(missing_ok=True)
    assert found(ledger, "march") == "2"
    assert ledger.findings() == []


def test_an_index_of_another_version_or_ledger_is_made_again(
    ledger: Ledger, tmp_path: Path
) -> None:
    assert found(ledger, "561") == "1"
    path = ledger.path.with_name("search.sqlite")
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert found(ledger, "561") == "1"
    ledger.close()
    # The ledger was rescued into a new file: numbers mean other receipts now.
    other = Ledger(tmp_path / "other" / "ledger.sqlite")
    for id in reversed(TEXTS):
        other.save(made(id, *TEXTS[id]))
    other.path.with_name("search.sqlite").write_bytes(path.read_bytes())
    assert found(other, "561") == "1" and found(other, "march") == "2"
    other.close()


def test_a_rescued_ledger_is_searched_as_before(ledger: Ledger, tmp_path: Path) -> None:
    assert found(ledger, "561") == "1"
    ledger.close()
    target = tmp_path / "rescued.sqlite"
    rescue(ledger.path, target)
    assert found(Ledger(target), "561") == "1"


def test_a_locked_index_or_a_folder_that_cannot_be_written_is_no_reason_to_fail(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(ledger, "561") == "1"
    path = ledger.path.with_name("search.sqlite")
    ledger.save(made("6FFFFFFFFF", "what came later", "yes"))
    monkeypatch.setattr(index, "_PATIENCE", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert found(ledger, "later") == "6"
    other.execute("ROLLBACK")
    other.close()
    before = path.read_bytes()
    monkeypatch.setattr(index.os, "open", _refuse)
    assert found(ledger, "later") == "6"
    monkeypatch.undo()
    assert path.read_bytes() == before


def _refuse(*_: object) -> int:
    raise PermissionError(13, "Permission denied")


def test_a_damaged_receipt_is_told_of_not_found_by_what_it_held(ledger: Ledger) -> None:
    assert found(ledger, "march") == "2"
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("DROP TRIGGER receipts_no_update")
        db.execute("UPDATE receipts SET document = '{}' WHERE id = '2BBBBBBBBB'")
    db.close()
    assert found(ledger, "march") == ""
    assert found(ledger, "damaged ledger") == ("" if _indexed(ledger) else "2")
    with pytest.raises(LedgerError):
        ledger.get("2BBBBBBBBB")


def _indexed(ledger: Ledger) -> bool:
    return search.candidates(ledger, ("march",)) is not None


# ------------------------------------------------------------------------------ notebook and shell


def test_the_shell_searches_and_knows_yesterday(
    opg_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger() as one:
        for id, (prompt, answer) in TEXTS.items():
            one.save(made(id, prompt, answer))
    assert main(["receipts", "list", "-q", '"as agreed" march']) == 0
    told = capsys.readouterr().out
    assert "2BBBBBBBBB" in told and "1AAAAAAAAA" not in told
    assert told.split()[:5] == ["time", "prompt", "verdict", "charge", "cost_opg"]
    assert main(["receipts", "list", "--since", "yesterday"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "No receipt fits these options.\n")
    out = opg_home / "some.csv"
    assert main(["receipts", "export", str(out), "--search", "prime"]) == 0
    assert "1AAAAAAAAA" in out.read_text() and "2BBBBBBBBB" not in out.read_text()


LONG = "Which of these primes is the largest? " * 12


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_shell_s_list_fits_whoever_reads_it(
    opg_home: Path,
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Ledger() as one:
        one.save(made("1AAAAAAAAA", LONG, "none"))
        one.save(made("2BBBBBBBBB", "short", "none"))
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["receipts", "list"]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert [len(line) <= width for line in (title, *rows)] == [True] * 3
    assert [row.split()[-1] for row in rows] == ["1AAAAAAAAA", "2BBBBBBBBB"]
    assert ("settled_opg" in title, "notebook" in title) == (width == 200,) * 2
    assert ("model" in title) == (width >= 120)


def test_the_shell_s_full_list_cuts_nothing(
    opg_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger() as one:
        one.save(made("1AAAAAAAAA", LONG, "none"))
    assert main(["receipts", "list", "--full"]) == 0
    title, row = capsys.readouterr().out.splitlines()
    assert LONG.strip() in row
    assert "settled_opg" in title and "notebook" in title


# -------------------------------------------------------------------------- the list in the browser

LISTED = [
    ("prime", "1"),
    ("561 Prime?", "1"),
    ("素数是什么", "3"),
    ("ÉTÉ", "4"),
    ("STRASSE", "6"),
    ("straße", "6"),
    ("3cccc", "3"),
    ("gpt-5", "123456"),
    ("failed", "6"),
    ("failed prime", ""),
    ("27e3", "123456"),
    ("simulated", "123456"),
    ("halfway", "9"),
    ("march", ""),  # an answer
    ("zz", "9"),
    ("\0ab", ""),
    ("later", "7"),
]


@pytest.fixture
def reader(ledger: Ledger) -> Iterator[LedgerReader]:
    """Beside an index of six receipts, one of which it could not read, stand a call without
    receipt, and a receipt that was saved since."""
    ledger.save(
        receipt(
            id="6FFFFFFFFF",
            prompt=Prompt(text="Wie heißt die Straße?", model="openai/gpt-5"),
            verdict=verdict(VerdictStatus.FAILED),
        )
    )
    ledger.begin(CallIntent("9ZZZZZZZZZ", NOW, SIM, "k", "m", prompt="halfway"), reserve=False)
    with LedgerReader(ledger.path) as one:
        yield one


def listed(reader: LedgerReader, words: str) -> str:
    page = reader.page(limit=100, words=words)
    assert page.total == len(page.rows)
    return "".join(sorted(row.id[0] for row in page.rows))


@pytest.mark.parametrize(("words", "ids"), LISTED)
def test_the_list_finds_the_same_with_the_index_and_without_it(
    ledger: Ledger, reader: LedgerReader, words: str, ids: str
) -> None:
    search.candidates(ledger, ("build it",))
    ledger.save(made("7GGGGGGGGG", "saved later", "yes"))
    ids += "7" if words in ("gpt-5", "27e3", "simulated") else ""
    assert (search.covered(reader, ("prime",)) or ((), 0))[1] == 6
    assert listed(reader, words) == ids
    path = ledger.path.with_name("search.sqlite")
    path.unlink()
    assert listed(reader, words) == ids
    assert not path.exists()


def test_the_list_uses_the_index_and_never_writes_it(ledger: Ledger, reader: LedgerReader) -> None:
    search.candidates(ledger, ("build it",))
    path = ledger.path.with_name("search.sqlite")
    before = path.read_bytes()
    assert search.covered(reader, ("prime",)) == ({1}, 6)
    assert search.covered(reader, ("ab",)) is None
    assert listed(reader, "prime") == "1"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE done SET number = 99",
        "UPDATE done SET last_id = 'NOTTHERE00'",
        "DELETE FROM done",
        "DROP TABLE unread",
        "PRAGMA user_version = 1",
    ],
)
def test_the_list_misses_nothing_for_an_index_that_does_not_fit(
    ledger: Ledger, reader: LedgerReader, spoil: str
) -> None:
    search.candidates(ledger, ("build it",))
    with sqlite3.connect(ledger.path.with_name("search.sqlite")) as db:
        db.execute(spoil)
    db.close()
    assert search.covered(reader, ("prime",)) is None
    assert listed(reader, "prime") == "1"


def test_a_receipt_that_the_index_could_not_read_is_listed(
    ledger: Ledger, reader: LedgerReader
) -> None:
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("DROP TRIGGER receipts_no_update")
        db.execute("UPDATE receipts SET digest = 'x' WHERE id = '1AAAAAAAAA'")
    db.close()
    search.candidates(ledger, ("build it",))
    assert search.covered(reader, ("no such words",)) == ({1}, 6)
    assert listed(reader, "gpt-5") == "123456"


def test_pages_of_one_search_search_once(
    ledger: Ledger, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reader.page(limit=2, words="gpt-5")
    with monkeypatch.context() as patched:
        patched.setattr(pages, "_SEARCHED", "SELECT no such thing")
        second = reader.page(limit=2, after=first.after, words="gpt-5", known=first.found)
    assert len({row.id for row in (*first.rows, *second.rows)}) == 4
    # Other words, and another ledger, are searched.
    assert reader.page(limit=2, words="prime", known=first.found).total == 1
    ledger.save(made("7GGGGGGGGG", "saved later", "yes"))
    assert reader.page(limit=2, words="gpt-5", known=first.found).total == 7


@pytest.mark.parametrize("body", ["[]", "[1]", "null", "7", '"x"', "[" * 3000, "9" * 5000])
def test_a_receipt_whose_request_is_no_object_spoils_neither_index_nor_search(
    ledger: Ledger, body: str
) -> None:
    """Its receipt may come from anybody; each later search and each repeated cell met it."""
    asked = evidence("x", answer=response("Yes."))
    asked = replace(asked, request=replace(asked.request, body=body))
    ledger.save(receipt(id="9HHHHHHHHH", text="Yes.", evidence=asked))
    assert found(ledger, "561") == "1"
    assert asked_before(ledger, ["0" * 64]) == {}
