"""A process that works with the ledger as a kernel, a shell command or a careless program does,
told line by line.

Run as a program it reads one JSON command a line (``{"do": name, …}``) and answers each with one
JSON line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


class LedgerProcess:
    """One such process and its pipes; ``kernel`` is the name under which its calls are kept."""

    def __init__(self, home: Path, kernel: str = "k1") -> None:
        self.kernel = kernel
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.ledger_process", kernel],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OPG_HOME": str(home),
                "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
            },
        )

    def __enter__(self) -> LedgerProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def do(self, name: str, **arguments: Any) -> Any:
        """Have it do one thing; what came of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": name, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the process ended in {name!r}"
        return json.loads(line)

    def end(self) -> None:
        """Let it end as a kernel does that is shut down."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0

    def deleted_files(self) -> list[str]:
        """What it has open that is in no folder any more (Linux), of files named like a ledger."""
        return deleted_files(self.process.pid)


def deleted_files(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}/fd")
    if not folder.is_dir():
        return []
    targets = []
    for one in folder.iterdir():
        try:
            targets.append(str(one.readlink()))
        except OSError:  # closed since
            continue
    return [t for t in targets if "sqlite" in t and t.endswith("(deleted)")]


class _Worker:
    def __init__(self, kernel: str) -> None:
        from opg_magic.ledger.store import Ledger

        self.kernel = kernel
        self.ledger = Ledger(timeout=60)

    def pay(self, nonce: int) -> str:
        """One paid call, from its reservation to its receipt."""
        from support.receipts import NOW, SIM, authorisation, receipt

        from opg_magic.ledger.store import CallIntent
        from opg_magic.network.profiles import OBSERVED_CAP
        from opg_magic.receipt.document import new_id
        from opg_magic.settings.limits import Limits

        call = CallIntent(
            new_id(), NOW, SIM, self.kernel, "m", prompt="p", authorisation=authorisation(nonce)
        )
        self.ledger.begin(call, reserve=True, limits=Limits(OBSERVED_CAP, 10**30, 10**30))
        self.ledger.save(receipt(id=call.id, kernel=self.kernel, text=f"prompt {nonce}"))
        return call.id

    def receipts(self) -> int:
        import opg_magic

        return len(opg_magic.receipts())

    def spent(self) -> int:
        """What the dashboard of this kernel shows as reserved."""
        from support.receipts import SIM

        return self.ledger.spending(SIM, self.kernel).kernel_reserved

    def count(self) -> int:
        return self.ledger.count()

    def shell(self) -> int:
        """As a command in a shell does it, from the opening to the closing of the ledger."""
        from opg_magic.ledger.store import Ledger

        with Ledger(timeout=60) as ledger:
            ledger.last()
            return ledger.count()

    def shell_pays(self, nonce: int) -> str:
        try:
            return self.pay(nonce)
        finally:
            self.ledger.close()

    def export(self, path: str) -> int:
        from opg_magic.ledger.export import export

        export(self.ledger, path)
        return self.ledger.count()

    def verify(self, path: str) -> int:
        """The exit code of ``opg verify``, in this process."""
        import contextlib
        import io

        from opg_magic.shell.main import main

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return main(["verify", path])

    def fork(self, nonce: int) -> str:
        """A child of this process pays, and ends."""
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                made = self.shell_pays(nonce)
                os.write(into, made.encode())
            finally:
                os._exit(0)
        os.close(into)
        os.waitpid(child, 0)
        with os.fdopen(out) as answer:
            return answer.read()

    def go_on_in_a_child(self) -> int:
        """This process forks and ends; its child does what comes next.  The child's number."""
        if os.fork():
            os._exit(0)
        return os.getpid()

    def careless(self) -> int:
        """Somebody's own code, in this very process, opens the ledger's file and closes it."""
        return len(self.ledger.path.read_bytes())

    def as_in_0_1(self) -> None:
        """From here on this process does not notice that its log was taken away."""
        from opg_magic.ledger.file import LedgerFile

        LedgerFile._identity = lambda _self: ((0, 0), (0, 0))  # type: ignore[method-assign]
        self.ledger.close()
        self.ledger.count()


def main() -> None:
    worker = _Worker(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(worker, command.pop("do"))(**command)), flush=True)


if __name__ == "__main__":
    main()
