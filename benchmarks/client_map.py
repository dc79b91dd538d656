"""A table asked in a process of its own: reads a network's state and what to ask as a line of JSON,
and prints what it took."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

import opg_magic
from opg_magic.call import session as sessions
from opg_magic.call.session import Session
from opg_magic.receipt.document import Receipt
from opg_magic.settings import paths
from opg_magic.settings.config import Settings
from opg_magic.table.running import Run

ASK: dict[str, Any] = {"model": "openai/gpt-5-mini", "max_tokens": 20, "progress": False}


def speed(session: Session, told: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds for the table, and for the same one again, out of the ledger."""
    ask = ASK | {"hosts": told["hosts"], "concurrency": told["at_once"]}
    # The hosts' payment sessions are open before the clock starts.
    warm = opg_magic.map(pd.DataFrame({"n": range(told["hosts"])}), "Is -{{n}} prime?", **ask)
    assert warm["answer"].notna().all(), warm["answer_error"].tolist()
    data = pd.DataFrame({"n": range(told["rows"])})
    begun, cpu = time.perf_counter(), time.process_time()
    found = opg_magic.map(data, "Is {{n}} prime?", **ask)
    took, used = time.perf_counter() - begun, time.process_time() - cpu
    begun = time.perf_counter()
    again = opg_magic.map(data, "Is {{n}} prime?", **ask)
    assert again["answer"].equals(found["answer"])
    return {
        "seconds": took,
        "cpu": used,
        "again": time.perf_counter() - begun,
        "failed": int(found["answer"].isna().sum()),
        "receipts": session.ledger.count(),
        "authorisations": len(session.ledger.open_authorisations()),
    }


def memory(session: Session, told: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes that a row of a large table adds, from its first tenth to its end.  Each answer comes
    with a receipt of its own, as a host's does; no host is asked."""
    one = opg_magic.ask("Is 97 prime?", model=ASK["model"], max_tokens=20)
    at: dict[int, int] = {}
    count = 0
    rows = told["rows"]

    async def answer(*_: Any) -> Any:
        nonlocal count
        count += 1
        if count in (rows // 10, rows):
            at[count] = resident()
        if count % 32 == 0:
            await asyncio.sleep(0)
        return replace(one, receipt=Receipt(json.loads(one.receipt.to_json())))

    Run._answer = answer  # type: ignore[method-assign]
    found = opg_magic.map(pd.DataFrame({"n": range(rows)}), "Is {{n}} odd?", fresh=True, **ASK)
    assert found["answer"].notna().all()
    return {"bytes_per_row": (at[rows] - at[rows // 10]) / (rows - rows // 10)}


def resident() -> int:
    """This process's memory in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    told = json.loads(sys.stdin.readline())
    home = paths.home()
    settings = Settings(user_file=home / "config.toml", project_dir=home)
    sessions._current = session = Session(settings, simulator=lambda _known: told["state"])
    print(json.dumps((memory if told.get("memory") else speed)(session, told)))
    session.close()


if __name__ == "__main__":
    main()
