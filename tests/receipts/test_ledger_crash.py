"""``kill -9`` at any point loses no record of a payment: two writers at once, killed at every
statement they run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.receipts import SIM, receipt

from opg_magic.ledger.store import Ledger
from opg_magic.network.profiles import OBSERVED_CAP

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")

# A kernel in small: begins calls one after the other and says on stdout what the ledger has
# acknowledged. With a number of statements it kills itself just before SQLite runs that statement;
# without, it runs until killed.
WRITER = """
import json, os, signal, sys
from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.receipt.document import new_id
from opg_magic.settings.limits import Limits
from support.receipts import NOW, OBSERVED_CAP, SIM, authorisation, receipt

path, kernel, die_at, base = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ledger = Ledger(path, timeout=60)
ledger.count()
seen = 0

def count(_statement):
    global seen
    seen += 1
    if seen == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

if die_at:
    ledger._db().set_trace_callback(count)
say = lambda **done: print(json.dumps(done), flush=True)
say(ready=True)
number = 0
while True:
    number += 1
    nonce = base + number
    covered = authorisation(nonce)
    call = CallIntent(new_id(), NOW, SIM, kernel, "m", prompt="p", authorisation=covered)
    ledger.begin(call, reserve=True, limits=Limits(OBSERVED_CAP, 10**30, 10**30))
    say(begun=call.id, nonce=nonce)
    ledger.record(call.id, "sent")
    say(sent=call.id)
    made = receipt(id=call.id, kernel=kernel, text=f"prompt {nonce}")
    ledger.save(made)
    say(saved=call.id, digest=made.digest)
    ledger.release(nonce, number)
    say(released=nonce, amount=number)
"""


class Writer:
    def __init__(self, path: Path, kernel: str, *, die_at: int = 0, base: int) -> None:
        here = Path(__file__).parents[1]
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), kernel, str(die_at), str(base)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])},
        )
        self.said: list[dict[str, object]] = []

    def listen(self, lines: int | None = None) -> None:
        """Read what it says, up to so many lines or to its end."""
        assert self.process.stdout is not None
        while lines is None or len(self.said) < lines:
            line = self.process.stdout.readline()
            if not line.endswith("\n"):
                break
            self.said.append(json.loads(line))

    def kill(self) -> None:
        self.process.kill()
        self.listen()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def end(self) -> None:
        self.listen()
        assert self.process.wait() == -signal.SIGKILL
        assert self.process.stdout is not None
        self.process.stdout.close()


def check(path: Path, writers: list[Writer]) -> int:
    """Everything that was acknowledged is there, and the file is whole.  How many payments that
    were."""
    with Ledger(path) as ledger:
        assert ledger.findings() == []
        unfinished = {u.call.id: u for u in ledger.unfinished()}
        open_nonces = {o.authorisation.nonce for o in ledger.open_authorisations()}
        payments = 0
        for writer in writers:
            saved = {s["saved"]: s["digest"] for s in writer.said if "saved" in s}
            released = {s["released"]: s["amount"] for s in writer.said if "released" in s}
            for said in writer.said:
                if "begun" not in said:
                    continue
                payments += 1
                id, nonce = str(said["begun"]), int(str(said["nonce"]))
                if id in saved:
                    assert ledger.get(id).digest == saved[id]
                elif id in unfinished:
                    call = unfinished[id].call
                    assert call.authorisation is not None
                    assert call.authorisation.nonce == nonce
                    assert call.charge == "unknown"
                else:
                    # Killed between the commit and saying so.
                    assert ledger.get(id).id == id
                if nonce in released:
                    assert ledger.released(nonce) == released[nonce]
                else:
                    assert nonce in open_nonces or ledger.released(nonce) is not None
            for said in writer.said:
                if said.get("sent") in unfinished:
                    assert "sent" in unfinished[said["sent"]].events
        # All that is not released still counts with its whole cap.
        reserved = sum(ledger.spending(SIM, k).kernel_reserved for k in ("a", "b"))
        assert reserved >= OBSERVED_CAP * len(open_nonces)
        ledger.save(receipt())
        return payments


def test_killed_before_every_statement_of_a_call_with_two_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writers: list[Writer] = []
    # One call runs fewer than 30 statements: all of the first call, and into the second.
    for point in range(1, 35, 2):
        pair = [
            Writer(path, "a", die_at=point, base=10_000 * point),
            Writer(path, "b", die_at=point + 1, base=10_000 * (point + 1)),
        ]
        for writer in pair:
            writer.end()
        writers += pair
    assert check(path, writers) > 10
    # The points did reach every stage.
    stages = {key for w in writers for said in w.said for key in said}
    assert {"begun", "sent", "saved", "released"} <= stages
    assert any(len(w.said) == 1 for w in writers)


@pytest.mark.parametrize("lines", [2, 3, 5, 8, 21])
def test_killed_from_outside_in_full_run(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "ledger.sqlite"
    writers = [Writer(path, "a", base=10**6), Writer(path, "b", base=2 * 10**6)]
    writers[0].listen(lines)
    writers[0].kill()
    writers[1].listen(lines + 3)
    writers[1].kill()
    assert check(path, writers) >= 2


def test_opening_a_new_file_twice_at_once_is_no_conflict(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.sqlite"
    writers = [Writer(path, kernel, base=n * 10**6) for n, kernel in enumerate("ab", 1)]
    for writer in writers:
        writer.listen(6)
    for writer in writers:
        writer.kill()
    assert check(path, writers) >= 2
