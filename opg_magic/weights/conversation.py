"""A chat request as an open model takes it: one reading, for whoever answers and whoever checks.

Chat templates of open models know texts in turns.  What else a request has (lists of parts, tools'
results) is brought into that form here, and nowhere else, so that the same request gives the same
tokens on both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opg_magic.errors import WeightsError
from opg_magic.verify import weights
from opg_magic.weights import fetch

#: Sampling of every request, beside its own ``temperature`` and ``top_p``; llama.cpp's names.
SAMPLING: dict[str, Any] = {
    "top_k": weights.TOP_K,
    "min_p": weights.MIN_P,
    "top_p": weights.TOP_P,
    "repeat_penalty": 1.0,
}
#: What a request without ``temperature`` is answered with, as the API that hosts speak has it.
TEMPERATURE = 1.0


def turns(messages: Sequence[Mapping[str, Any]], sha256: str | None = None) -> list[dict[str, str]]:
    """The messages as turns, each a ``role`` (system, user, assistant) and its ``content``.

    ``sha256`` is that of the weights: some begin badly without a system message of the request's
    own, because their template then adds one; they are given an empty one
    (:attr:`~opg_magic.weights.fetch.Package.empty_system`)."""
    if not all(isinstance(message, Mapping) for message in messages):
        raise WeightsError("a message of the request is not an object")
    made = [_turn(message) for message in messages]
    package = fetch.by_sha256(sha256) if sha256 else None
    if package is not None and package.empty_system and all(t["role"] != "system" for t in made):
        made.insert(0, {"role": "system", "content": ""})
    return made


def _turn(message: Mapping[str, Any]) -> dict[str, str]:
    role, content = str(message.get("role")), text_of(message)
    if role in ("tool", "function"):
        return {"role": "user", "content": f"The function answered: {content}"}
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            continue
        asked = {"name": function.get("name"), "arguments": function.get("arguments")}
        content += ("\n" if content else "") + json.dumps(asked, ensure_ascii=False)
    return {"role": "system" if role == "developer" else role, "content": content}


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text; of a list of parts only the text counts, as hosts have it."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(
            str(part.get("text", ""))
            for part in content
            if isinstance(part, Mapping) and part.get("type") == "text"
        )
    return content if isinstance(content, str) else ""
