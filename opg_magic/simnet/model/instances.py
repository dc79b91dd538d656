"""Instances of JSON schemas, as the scripted model makes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from opg_magic.simnet.model.knowledge import reply_to

_FORMATS = {
    "date": "2026-04-01",
    "time": "12:00:00Z",
    "date-time": "2026-04-01T12:00:00Z",
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.org",
}


def instance(schema: Any, question: str = "") -> Any:
    """A deterministic value that is valid for the JSON schema, taking names, numbers and yes/no
    from the question.

    Understands ``type``, ``properties``, ``items``, ``prefixItems``, ``enum``, ``const``,
    ``default``, ``anyOf``, ``oneOf``, ``allOf``, local ``$ref``, ``format`` and the usual bounds.
    A ``pattern`` is not honoured."""
    return _instance(schema, question, schema, "", 0)


def _instance(schema: Any, question: str, root: Any, name: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > 32:
        return None
    if "$ref" in schema:
        return _instance(_resolve(root, str(schema["$ref"])), question, root, name, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        mentioned = [
            v for v in schema["enum"] if isinstance(v, str) and v and v.lower() in question.lower()
        ]
        return mentioned[0] if mentioned else schema["enum"][0]
    if schema.get("allOf"):
        merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
        for part in schema["allOf"]:
            part = _resolve(root, str(part["$ref"])) if "$ref" in part else part
            merged["properties"] = {**merged.get("properties", {}), **part.get("properties", {})}
            merged["required"] = [*merged.get("required", []), *part.get("required", [])]
            merged.update({k: v for k, v in part.items() if k not in ("properties", "required")})
        return _instance(merged, question, root, name, depth + 1)
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return _instance(schema[choice][0], question, root, name, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    if kind == "object":
        return _object(schema, question, root, depth)
    if kind == "array":
        return _array(schema, question, root, name, depth)
    if kind == "string":
        return _string(schema, question, name)
    if kind in ("integer", "number"):
        return _number(schema, question, whole=kind == "integer")
    if kind == "boolean":
        return not reply_to(question, "").lower().startswith("no")
    return None


def _resolve(root: Any, reference: str) -> Any:
    node = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        node = (
            node.get(step.replace("~1", "/").replace("~0", "~"), {})
            if isinstance(node, Mapping)
            else {}
        )
    return node


def _object(schema: Mapping[str, Any], question: str, root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    # All properties near the top, only what is required further down: a recursive schema must come
    # to an end.
    chosen = properties if depth < 4 else {k: v for k, v in properties.items() if k in required}
    value = {key: _instance(part, question, root, key, depth + 1) for key, part in chosen.items()}
    for key in required:
        value.setdefault(key, None if key in properties else "")
    return value


def _array(schema: Mapping[str, Any], question: str, root: Any, name: str, depth: int) -> list[Any]:
    prefix = [
        _instance(part, question, root, name, depth + 1) for part in schema.get("prefixItems") or ()
    ]
    least = int(schema.get("minItems", 1 if depth < 6 else 0))
    items = schema.get("items")
    if not isinstance(items, Mapping):
        return prefix
    more = max(least - len(prefix), 0)
    values = prefix + [_instance(items, question, root, name, depth + 1) for _ in range(more)]
    if schema.get("uniqueItems") and len(values) > 1:
        values = [
            v + n if isinstance(v, int | float) else f"{v}{n or ''}" for n, v in enumerate(values)
        ]
    return values[: int(schema.get("maxItems", len(values)))]


def _string(schema: Mapping[str, Any], question: str, name: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[str(schema["format"])]
    text = _about(name, question) or reply_to(question, "")
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    text = text.ljust(least, ".")
    return text[: int(most)] if most is not None else text


def _about(name: str, question: str) -> str | None:
    """What a field of that name most likely means in this prompt: a place, a name, the question
    itself."""
    if re.search(r"city|place|location|town|where|country", name, re.IGNORECASE):
        match = re.search(r"\b(?:in|at|for|of|to|from)\s+((?:[A-Z][\w'’-]+\s?)+)", question)
        return match.group(1).strip() if match else "Nairobi"
    if re.search(r"^(query|question|prompt|q|text|input)$", name, re.IGNORECASE):
        return " ".join(question.split()) or "nothing"
    if re.search(r"^(unit|units)$", name, re.IGNORECASE):
        return "celsius"
    if re.search(r"name$", name, re.IGNORECASE):
        match = re.search(r"(?<!^)(?<![.!?]\s)\b([A-Z][\w'’-]+)\b", question)
        return match.group(1) if match else "Ada"
    return None


def _number(schema: Mapping[str, Any], question: str, *, whole: bool) -> int | float:
    low, high = schema.get("minimum"), schema.get("maximum")
    step = schema.get("multipleOf")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + (1 if whole else 1e-6)
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - (1 if whole else 1e-6)
    found = re.search(r"-?\d+(?:\.\d+)?", question)
    value: int | float = float(found.group()) if found else 1
    value = int(value) if whole or float(value).is_integer() else value
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    if step:
        value = math.floor(value / step) * step
        if low is not None and value < low:
            value += step
    return int(value) if whole else value
