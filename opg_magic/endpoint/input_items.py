"""The input of a request for a response, as messages that hosts take and sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.endpoint.messages import read_content, read_message
from opg_magic.endpoint.refusal import bad_value, unsupported

#: Of any item: OpenAI's own marks, which a client sends back with an answer and no model reads.
_MARKS = frozenset({"type", "id", "status"})
_ROLES = ("system", "developer", "user", "assistant")
_CALL = ("call_id", "name", "arguments")
_DROPPED = "hosts drop it before they sign"


def read_input(given: Any, instructions: str | None) -> tuple[Mapping[str, Any], ...]:
    """The messages as they are sent.  Raises Refusal, which names the item at fault."""
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise bad_value("input", "a text, or a list of items that is not empty")
    found = _Messages(instructions)
    for place, item in enumerate(items):
        found.add(item, f"input[{place}]")
    found.end()
    return tuple(found.messages)


class _Messages:
    """Messages as they grow.  Calls of functions that follow each other are of one answer."""

    def __init__(self, instructions: str | None) -> None:
        self.messages: list[dict[str, Any]] = []
        if instructions:
            self.messages.append({"role": "system", "content": instructions})
        #: Calls that have no output yet, by their id, with their places.
        self._open: dict[str, str] = {}

    def add(self, item: Any, where: str) -> None:
        if not isinstance(item, dict):
            raise bad_value(where, "an object")
        kind = item.get("type") or "message"
        if kind == "message":
            self.end()
            self.messages.append(_message(item, where))
        elif kind == "function_call":
            self._call(item, where)
        elif kind == "function_call_output":
            self._output(item, where)
        elif isinstance(kind, str):
            raise unsupported(f"{where}.{kind[:80]}", "hosts take messages and functions only")
        else:
            raise bad_value(f"{where}.type", "a text")

    def end(self) -> None:
        """No call is left open: providers refuse what else follows one, after the payment is
        signed."""
        for where in self._open.values():
            raise bad_value(where, "followed by its function_call_output")

    def _call(self, item: Mapping[str, Any], where: str) -> None:
        _only(item, _CALL, where)
        name, called, arguments = (
            _text(item, key, where) for key in ("call_id", "name", "arguments")
        )
        if name in self._open:
            raise bad_value(f"{where}.call_id", "unlike that of another call")
        self._open[name] = where
        call = {
            "id": name,
            "type": "function",
            "function": {"name": called, "arguments": arguments},
        }
        last = self.messages[-1] if self.messages else {}
        if last.get("role") == "assistant":
            last.setdefault("tool_calls", []).append(call)
        else:
            self.messages.append({"role": "assistant", "tool_calls": [call], "content": ""})

    def _output(self, item: Mapping[str, Any], where: str) -> None:
        _only(item, ("call_id", "output"), where)
        called = _text(item, "call_id", where)
        if self._open.pop(called, None) is None:
            raise bad_value(f"{where}.call_id", "that of a function_call before it")
        output, place = item.get("output"), f"{where}.output"
        content = read_content(_parts(output, place), "tool", place)
        self.messages.append({"role": "tool", "content": content, "tool_call_id": called})


def _message(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    if item.get("role") not in _ROLES:
        raise bad_value(f"{where}.role", "system, developer, user or assistant")
    _only(item, ("role", "content"), where)
    content = _parts(item.get("content"), f"{where}.content")
    return read_message({"role": item["role"], "content": content}, where)


def _parts(given: Any, where: str) -> Any:
    """Parts of text under the name that chat requests have for them."""
    if not isinstance(given, list):
        return given
    return [_part(one, f"{where}[{place}]") for place, one in enumerate(given)]


def _part(given: Any, where: str) -> Any:
    if not isinstance(given, dict) or given.get("type") not in ("input_text", "output_text"):
        return given
    # An answer that is sent back has these, empty.
    held = {key: value for key, value in given.items() if value not in (None, [])}
    return {**held, "type": "text"}


def _only(item: Mapping[str, Any], read: tuple[str, ...], where: str) -> None:
    for key, value in item.items():
        nothing = value is False or value in (None, [], {})
        if key not in read and key not in _MARKS and not nothing:
            raise unsupported(f"{where}.{key[:80]}", _DROPPED)


def _text(item: Mapping[str, Any], key: str, where: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise bad_value(f"{where}.{key}", "a text")
    return value
