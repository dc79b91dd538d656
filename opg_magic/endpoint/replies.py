"""What is said of a checked answer, whichever of OpenAI's two forms it takes."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opg_magic.endpoint.chat_request import Asked
from opg_magic.endpoint.refusal import RECEIPT, REQUEST_ID, VERDICT, Refusal, in_a_header
from opg_magic.models import Answer

CHARGE = "x-opg-charge"
UNSIGNED = "x-opg-unsigned"
UNSENT = "x-opg-unsent"


class Reply(ABC):
    """What is said in reply to one request.  Its id is made before the call's is known."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._created = int(datetime.now(UTC).timestamp())

    @abstractmethod
    def whole(self, answer: Answer) -> dict[str, Any]:
        """The answer in one object."""

    @abstractmethod
    def piece(self, text: str, *, first: bool) -> bytes:
        """Events with some of the text, not checked yet."""

    @abstractmethod
    def rest(self, answer: Answer, text: str, *, first: bool) -> bytes:
        """The events that end a stream, once the answer has passed; ``text``: what of it is
        left."""

    @abstractmethod
    def failure(self, refusal: Refusal) -> bytes:
        """The events that end a stream whose answer did not pass."""

    def about(self, answer: Answer) -> dict[str, Any]:
        """What is known of the call: the field ``opg``."""
        return {
            "verdict": answer.verdict.label,
            "receipt": answer.receipt.id,
            "digest": answer.receipt.digest,
            "charge": str(answer.cost.charge),
            "cost": str(answer.cost),
            "unsigned": list(self._asked.unsigned),
            "unsent": list(self._asked.unsent),
            "notes": list(answer.notes),
        }

    def headers(self, answer: Answer) -> dict[str, str]:
        """The same in headers, as far as they hold it."""
        about = {
            VERDICT: in_a_header(answer.verdict),
            RECEIPT: answer.receipt.id,
            REQUEST_ID: answer.receipt.id,
            CHARGE: str(answer.cost.charge),
        }
        for name, those in ((UNSIGNED, self._asked.unsigned), (UNSENT, self._asked.unsent)):
            if those:
                about[name] = ", ".join(those)
        return about

    def comment(self, answer: Answer) -> bytes:
        """The same in a stream, for whoever reads it line by line."""
        headers = self.headers(answer)
        told = (
            f"{name}={json.dumps(headers[name])}"
            for name in (VERDICT, RECEIPT, CHARGE, UNSIGNED, UNSENT)
            if name in headers
        )
        return f": {' '.join(told)}\n\n".encode()


def finish_reason(answer: Answer) -> str:
    """Why the answer ended, by the host's word; no signature covers it."""
    told = answer.receipt.document["response"]["finish_reason"]
    return "tool_calls" if answer.tool_calls else str(told or "stop")


def tokens(answer: Answer) -> tuple[int, int] | None:
    """Of the prompt and of the answer, by the host's count, if it gave one."""
    told = answer.receipt.document["response"]["usage"] or {}
    asked, came = told.get("prompt_tokens"), told.get("completion_tokens")
    return None if asked is None or came is None else (asked, came)


def tool_calls(answer: Answer) -> list[dict[str, str]]:
    """The calls as signed: ``id``, ``name`` and ``arguments`` of each.  Clients need an id; a host
    may give none."""
    return [_tool_call(call, place) for place, call in enumerate(answer.tool_calls)]


def _tool_call(call: Mapping[str, Any], place: int) -> dict[str, str]:
    function = call["function"]
    arguments = function.get("arguments")
    return {
        "id": call.get("id") or f"call_{place}",
        "name": function.get("name") or "",
        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments or {}),
    }
