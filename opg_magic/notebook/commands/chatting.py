"""``%opg chat``: the conversations that the ledger holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from opg_magic.cells.magic_line import LineError, did_you_mean
from opg_magic.notebook.commands.command import Kernel, no_more, table

#: What ``%opg chat`` does, and what each takes.
ACTIONS = ("list", "show", "fork", "forget", "export")


def chat(kernel: Kernel, words: list[str]) -> Any:
    """``%opg chat``"""
    action, *rest = words or ["list"]
    run = _RUN.get(action)
    if run is None:
        raise LineError(
            f"%opg chat has no action {action}" + did_you_mean(action, dict.fromkeys(ACTIONS))
        )
    return run(kernel, rest)


def _list(kernel: Kernel, words: list[str]) -> Any:
    no_more(words, "chat list")
    rows = [
        (one.name, one.calls, one.model, one.at.replace(microsecond=0), one.prompt, one.last)
        for one in kernel.session().chats.lines()
    ]
    return table(rows, ("chat", "answers", "model", "last", "prompt", "id"))


def _show(kernel: Kernel, words: list[str]) -> None:
    from opg_magic.display.conversation import text_of

    (name,) = _taking(words, "show NAME")
    print(text_of(kernel.session().chats.receipts(name)))


def _fork(kernel: Kernel, words: list[str]) -> None:
    name, new = _taking(words, "fork NAME NEW")
    kernel.session().chats.fork(name, new)
    print(f"Chat {new} goes on from where {name} stands now: --chat {new}")


def _forget(kernel: Kernel, words: list[str]) -> None:
    (name,) = _taking(words, "forget NAME")
    if kernel.session().chats.forget(name):
        print(f"Nothing of {name} is sent again. Its receipts stay in the ledger.")
    else:
        print(f"There is no chat {name}.")


def _export(kernel: Kernel, words: list[str]) -> None:
    from opg_magic.models.plain_text import plural

    name, path = _taking(words, "export NAME FILE.jsonl")
    session = kernel.session()
    count = session.chats.export(name, Path(path))
    print(f"{plural(count, 'receipt')} in {path}. To check them: opg verify {path}")


def _taking(words: list[str], usage: str) -> list[str]:
    if len(words) != len(usage.split()) - 1:
        raise LineError(f"%opg chat {usage}")
    return words


_RUN: dict[str, Callable[[Kernel, list[str]], Any]] = {
    "list": _list,
    "show": _show,
    "fork": _fork,
    "forget": _forget,
    "export": _export,
}
