"""One file, many that use it: kernels, shells, forks, and code that does not know of the ledger."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from support.ledger_process import TESTS, LedgerProcess, deleted_files
from support.receipts import SIM, receipt

from opg_magic.errors import LedgerError
from opg_magic.ledger import schema
from opg_magic.ledger.store import Ledger
from opg_magic.network.profiles import OBSERVED_CAP

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX locks")


def whole(path: Path) -> bool:
    with sqlite3.connect(path) as db:
        found = db.execute("PRAGMA integrity_check").fetchall()
    db.close()
    return found == [("ok",)]


# -------------------------------------------------------------------------------- several processes


@posix
def test_a_kernel_that_lists_its_receipts_and_a_shell_write_into_one_file(opg_home: Path) -> None:
    """Listing made a second connection, and opened the file by itself for that: then two logs were
    written."""
    with LedgerProcess(opg_home) as kernel, LedgerProcess(opg_home, "shell") as shell:
        paid = [kernel.do("pay", nonce=1)]
        assert kernel.do("receipts") == 1
        paid += [shell.do("shell_pays", nonce=2), kernel.do("pay", nonce=3)]
        assert shell.do("shell") == kernel.do("count") == 3
        assert kernel.deleted_files() == []
        assert kernel.do("spent") == 2 * OBSERVED_CAP
        kernel.end()
        shell.end()
    assert whole(opg_home / "ledger.sqlite")
    with Ledger(opg_home / "ledger.sqlite") as ledger:
        assert [r.id for r in ledger.receipts()] == paid


@posix
def test_code_that_opens_the_file_beside_sqlite_tears_nothing(opg_home: Path) -> None:
    """Somebody's own code in the kernel reads the file, which drops the locks; the next use begins
    anew."""
    with LedgerProcess(opg_home) as kernel, LedgerProcess(opg_home, "shell") as shell:
        kernel.do("pay", nonce=1)
        kernel.do("careless")
        shell.do("shell_pays", nonce=2)  # takes the log away
        kernel.do("pay", nonce=3)
        assert shell.do("shell") == kernel.do("count") == 3
        assert kernel.deleted_files() == []
        kernel.end()
        shell.end()
    assert whole(opg_home / "ledger.sqlite")


@posix
def test_a_fork_has_locks_of_its_own(opg_home: Path) -> None:
    with LedgerProcess(opg_home) as kernel, LedgerProcess(opg_home, "shell") as shell:
        kernel.do("pay", nonce=1)
        assert kernel.do("fork", nonce=2)
        assert shell.do("shell") == 2
        kernel.do("pay", nonce=3)
        assert shell.do("shell") == kernel.do("count") == 3
        assert kernel.deleted_files() == []
        kernel.end()
        shell.end()
    assert whole(opg_home / "ledger.sqlite")


@posix
def test_a_child_that_outlives_its_parent_keeps_its_log(opg_home: Path) -> None:
    with LedgerProcess(opg_home) as kernel, LedgerProcess(opg_home, "shell") as shell:
        kernel.do("pay", nonce=1)
        child = kernel.do("go_on_in_a_child")
        kernel.do("pay", nonce=2)
        kernel.process.wait()
        shell.do("shell_pays", nonce=3)
        kernel.do("pay", nonce=4)
        assert shell.do("shell") == kernel.do("count") == 4
        assert deleted_files(child) == []
        kernel.end()
        shell.end()
    assert whole(opg_home / "ledger.sqlite")


#: How often each thing is done among a hundred: what pays, what lists, what only opens and closes.
_MIX = {
    "pay": 38,
    "shell_pays": 14,
    "shell": 14,
    "receipts": 12,
    "spent": 12,
    "export": 4,
    "verify": 3,
    "fork": 3,
}


@pytest.fixture
def quick_home(tmp_path: Path) -> Iterator[Path]:
    """A home in memory where there is such a folder: locks and logs are the same, and writing costs
    nothing."""
    memory = Path("/dev/shm")
    home = Path(
        tempfile.mkdtemp(prefix="opg-", dir=memory if os.access(memory, os.W_OK) else tmp_path)
    )
    yield home
    shutil.rmtree(home)


@posix
@pytest.mark.parametrize("seed", [20261125])
def test_attack_43_uses_at_random_by_several_processes_leave_one_whole_file(
    quick_home: Path, seed: int
) -> None:
    opg_home = quick_home
    chance = random.Random(seed)
    sample = opg_home / "one.jsonl"
    paid: list[str] = []
    payments: dict[str, int] = {}
    path = opg_home / "ledger.sqlite"
    with (
        LedgerProcess(opg_home, "k1") as first,
        LedgerProcess(opg_home, "k2") as second,
        LedgerProcess(opg_home, "shell") as shell,
    ):
        for number in range(1, 501):
            name = chance.choices([*_MIX], [*_MIX.values()])[0]
            # A kernel holds the ledger open for its whole life, a shell for one command.
            who = shell if name.startswith("shell") else chance.choice([first, second])
            if name in ("pay", "shell_pays", "fork"):
                paid.append(who.do(name, nonce=number))
                payments[who.kernel] = payments.get(who.kernel, 0) + 1
            elif name in ("receipts", "shell"):
                assert who.do(name) == len(paid), (number, name)
            elif name == "spent":
                assert who.do("spent") == payments.get(who.kernel, 0) * OBSERVED_CAP, number
            elif name == "export":
                assert who.do("export", path=str(sample.with_suffix(".csv"))) == len(paid)
            else:
                sample.parent.mkdir(exist_ok=True)
                sample.write_text(receipt().to_json() + "\n")
                assert who.do("verify", path=str(sample)) in (1, 3)  # signed by nobody
            if number % 250 == 0:
                done = subprocess.run(
                    [sys.executable, "-m", "opg_magic.shell.main", "receipts", "list"],
                    cwd=TESTS.parent,
                    env={**os.environ, "OPG_HOME": str(opg_home)},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                assert all(one in done.stdout for one in paid)
        for process in (first, second, shell):
            assert process.deleted_files() == []
        for process in (first, second, shell):
            process.end()
    assert whole(path)
    with Ledger(path) as ledger:
        assert [r.id for r in ledger.receipts()] == paid
        assert {
            k: ledger.spending(SIM, k).kernel_reserved // OBSERVED_CAP for k in payments
        } == payments
        assert len(ledger.open_authorisations()) == len(paid)


# -------------------------------------------------------------------------------------- one process


def test_all_ledgers_of_a_process_are_one_connection(
    tmp_path: Path, opg_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opg_home.mkdir()
    link = tmp_path / "link"
    link.symlink_to(opg_home)
    monkeypatch.chdir(tmp_path)
    named = [
        Ledger(),
        Ledger(link / "ledger.sqlite"),
        Ledger("link/ledger.sqlite"),
        Ledger("opg-home/ledger.sqlite"),
    ]
    monkeypatch.chdir(opg_home)
    assert len({id(ledger._db()) for ledger in named}) == 1
    one = receipt()
    named[2].save(one)
    for ledger in named[:3]:
        ledger.close()
    assert named[3].get(one.id) == one


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at what is open")
def test_the_file_is_closed_with_its_last_user(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"

    def is_open() -> bool:
        return str(path) in [
            str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()
        ]

    first, second = Ledger(path), Ledger(path)
    first.count()
    second.count()
    first.close()
    assert is_open()
    second.close()
    assert not is_open()
    first.count()
    assert is_open()
    del first
    gc.collect()
    assert not is_open()


@posix
def test_a_ledger_that_was_moved_away_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    one = receipt()
    ledger.save(one)
    path.rename(tmp_path / "put-away.sqlite")
    for use in (ledger.count, lambda: ledger.save(receipt())):
        with pytest.raises(LedgerError, match="moved or deleted"):
            use()
    assert not path.exists()
    # What it held is in the file that was put away, though its log could not go along.
    with Ledger(tmp_path / "put-away.sqlite") as moved:
        assert moved.get(one.id) == one
    ledger.close()
    with Ledger(path) as new:
        assert new.count() == 0


@posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forking_within_a_transaction_leaves_the_child_without_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    one = receipt()
    out, into = os.pipe()
    with ledger.exclusively():
        child = os.fork()
        if child == 0:
            try:
                ledger.count()
            except LedgerError as refused:
                os.write(into, refused.message.encode())
            finally:
                os._exit(0)
        ledger.save(one)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out) as said:
        assert "was forked while" in said.read()
    assert ledger.get(one.id) == one
    assert deleted_files(os.getpid()) == []


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_ledger_that_is_made_while_another_looks_is_a_ledger(tmp_path: Path, after: int) -> None:
    """Seen under load: two processes opened a new file at once, and one of them took it for another
    program's."""
    path = tmp_path / "ledger.sqlite"
    looking = sqlite3.connect(path, isolation_level=None)
    statements = 0

    class Interrupted:
        """After so many statements of the one that looks, the other one makes the ledger."""

        def execute(self, statement: str) -> sqlite3.Cursor:
            nonlocal statements
            rows = looking.execute(statement).fetchall()
            statements += 1
            if statements == after:
                with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
                    schema.prepare(other, path)
            return cast(sqlite3.Cursor, SimpleNamespace(fetchone=lambda: rows[0] if rows else None))

    assert schema.version(cast(sqlite3.Connection, Interrupted()), path) == 0
    schema.prepare(looking, path)
    assert schema.version(looking, path) == schema.SCHEMA_VERSION
    looking.close()
