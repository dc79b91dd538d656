"""Conversations by name: the ledger holds them, and each request sends them again whole.

Nothing is remembered elsewhere: a host sees what stands in the request, and the receipt names the
calls that it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from opg_magic.cells.magic_line import NAME
from opg_magic.errors import ConfigError, LedgerError, PromptError
from opg_magic.ledger import chats as recorded
from opg_magic.models import Answer, Prompt, Thread

if TYPE_CHECKING:
    from opg_magic.call.kernel import Kernel
    from opg_magic.receipt.document import Receipt

#: Most earlier calls that one request may send again: a receipt names no more.
MAX_EARLIER = 1024


@dataclass(frozen=True, slots=True)
class ChatLine:
    """One chat of the ledger.  ``calls`` is how many answers it holds, ``last`` its last call."""

    name: str
    calls: int
    model: str
    at: datetime
    prompt: str
    last: str


class Chats:
    """The chats in a kernel's ledger."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def continued(self, prompt: Prompt, name: str, network: str | None = None) -> Prompt:
        """``prompt`` after all that was said in the chat, or as the beginning of a new one.

        Raises PromptError, ConfigError, LedgerError and AnswerWithheld (an earlier answer does not
        pass its checks now); nothing was sent."""
        name = checked_name(name)
        if prompt.kind != "chat" or prompt.messages is not None:
            raise PromptError("A chat is continued with one text. Nothing was sent.")
        head = self._kernel.ledger.chats().get(name)
        if head is None:
            return replace(prompt, thread=Thread(name))
        receipt = self._kernel.ledger.get(head, as_made=True)
        self._check(head, name, network or self._kernel.settings.get("network"))
        return following(prompt, receipt, name)

    def _check(self, head: str, name: str, network: str) -> None:
        """Whether the chat's calls may be sent again: each holds what the others say, and the last
        answer passes its checks.  What it sent before, it signed."""
        from opg_magic.call.saved import saved_answer

        receipt = self._kernel.ledger.get(head)
        held = receipt.document["network"]["name"]
        if held != network:
            raise ConfigError(
                f"Chat {name} is of the network {held}, this call would go to {network}. Nothing "
                "was sent.",
                hint="Start another chat, or name the network: --network " + held,
            )
        kernel = self._kernel
        saved_answer(receipt, kernel.settings, simulated_roots=kernel.simulated_roots())
        self.refuse_altered(receipt.original(), name)

    def refuse_altered(self, receipt: Receipt, name: str) -> None:
        """Raises LedgerError where the receipts of a chat in the ledger do not fit together."""
        from opg_magic.receipt.thread import thread_faults

        documents = {one.computed_digest: one.document for one in self.receipts_to(receipt)}
        for level, _, message in thread_faults(receipt.document, documents):
            if level == "failed":
                raise LedgerError(
                    f"Chat {name} was altered in the ledger. {message} Nothing was sent.",
                    hint=f"Look at it: %opg chat show {name}",
                )

    def receipts_to(self, receipt: Receipt) -> list[Receipt]:
        """The receipts of a conversation up to this one, as they were made.  Raises LedgerError
        where the ledger does not hold one of them as it was."""
        from opg_magic.receipt.thread import thread_of

        thread = thread_of(receipt.document)
        earlier = () if thread is None else thread.earlier
        get = self._kernel.ledger.get
        return [*(get(one.receipt_id, as_made=True) for one in earlier), receipt]

    def receipts(self, name: str) -> list[Receipt]:
        """All receipts of a chat, oldest first.  Raises LedgerError where there is no such chat."""
        return self.receipts_to(self._kernel.ledger.get(self._head(name), as_made=True))

    def lines(self) -> list[ChatLine]:
        """Every chat, the one that went on last first."""
        from opg_magic.receipt.parts.values import time_of
        from opg_magic.receipt.thread import thread_of

        found = []
        for name, head in reversed(self._kernel.ledger.chats().items()):
            d = self._kernel.ledger.get(head, as_made=True).document
            thread = thread_of(d)
            calls = 1 + (0 if thread is None else len(thread.earlier))
            model, at = d["request"]["model_requested"], time_of(d["created_at"])
            found.append(ChatLine(name, calls, model, at, d["prompt"]["text"], head))
        return found

    def fork(self, name: str, new: str) -> None:
        """Begin the chat ``new`` where ``name`` stands now: both go on by themselves.  Raises
        LedgerError, ConfigError."""
        new, head = checked_name(new), self._head(name)
        if new in self._kernel.ledger.chats():
            raise ConfigError(f"There is a chat {new} already.", hint=f"%opg chat forget {new}")
        self._kernel.ledger.record(head, recorded.KIND, recorded.goes_on(new))

    def forget(self, name: str) -> bool:
        """End a chat: nothing of it is sent again.  Its receipts stay in the ledger.  False where
        there is none: a notebook may begin with this."""
        head = self._kernel.ledger.chats().get(checked_name(name))
        if head is not None:
            self._kernel.ledger.record(head, recorded.KIND, recorded.forgotten(name))
        return head is not None

    def goes_on(self, prompt: Prompt, answer: Answer) -> None:
        """Let the prompt's chat go on from a recorded answer that was handed out again."""
        name = None if prompt.thread is None else prompt.thread.name
        if name is not None and not answer.tool_calls:
            self._kernel.ledger.record(answer.receipt.id, recorded.KIND, recorded.goes_on(name))

    def export(self, name: str, path: Path) -> int:
        """Write a chat's receipts, one per line, for ``opg verify``; returns how many.  An existing
        file is not replaced (ConfigError)."""
        receipts = [self._kernel.ledger.get(one.id) for one in self.receipts(name)]
        try:
            with path.open("x", encoding="utf-8") as file:
                file.writelines(one.to_json() + "\n" for one in receipts)
        except OSError as problem:
            raise ConfigError(f"{path} cannot be written: {problem.strerror}.") from None
        return len(receipts)

    def _head(self, name: str) -> str:
        heads = self._kernel.ledger.chats()
        if name not in heads:
            known = ", ".join(list(heads)[-8:])
            raise LedgerError(
                f"The ledger holds no chat {name}.", hint=f"Chats: {known}" if known else None
            )
        return heads[name]


def following(prompt: Prompt, receipt: Receipt, name: str | None) -> Prompt:
    """``prompt`` after the conversation that a receipt ends."""
    from opg_magic.receipt.thread import answer_message, messages_of, opening

    messages, answer = messages_of(receipt.document), answer_message(receipt.document)
    thread = extended(receipt, name)
    if answer is None:
        raise PromptError("The earlier call has no answer to go on from. Nothing was sent.")
    systems = [message.get("content") for message in messages[: opening(messages)]]
    if prompt.system is not None and systems != [prompt.system]:
        raise PromptError(
            f"Chat {name} began with another system message, or with none. Nothing was sent.",
            hint="Leave --system out, or start another chat.",
        )
    said = (*messages, answer, {"role": "user", "content": prompt.text})
    return replace(prompt, messages=said, system=None, thread=thread)


def extended(receipt: Receipt, name: str | None) -> Thread:
    """The thread of what follows on a receipt.  Raises PromptError."""
    from opg_magic.receipt.thread import after, thread_of

    thread, own = thread_of(receipt.document), after(receipt.document, receipt.digest)
    earlier = () if thread is None else thread.earlier
    if own is None or len(earlier) >= MAX_EARLIER:
        raise PromptError(
            "This conversation cannot go on: "
            + ("its request cannot be read." if own is None else f"it has {MAX_EARLIER} answers.")
            + " Nothing was sent.",
            hint="Start another chat.",
        )
    return Thread(name, (*earlier, own))


def checked_name(name: object) -> str:
    """A chat's name.  Raises ConfigError."""
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise ConfigError(
            "A chat's name has letters, digits, '.', '_' and '-' (at most 64). Nothing was sent."
        )
    return name
