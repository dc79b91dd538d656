"""The TypeScript types of a receipt's document, written from its published JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_FROM = "opg_magic/receipt/schema/receipt-v1.json"
_HEAD = f"/** Written by scripts/vocabulary.py from {_FROM}: do not edit. */"

#: What the types of ``$defs`` that are objects are called.
_NAMED = {"host": "HostEntry", "token": "TokenPart", "money": "MoneyPart"}


def source(schema: Schema) -> str:
    """The module: a type for each definition that is an object, one for each part of the document,
    and the document itself.  ValueError for a rule that has no type here."""
    defs = schema["$defs"]
    parts = [_interface(_NAMED[name], defs[name], defs) for name in _NAMED]
    fields: dict[str, str] = {}
    for key, rule in schema["properties"].items():
        whole, nullable = _without_null(rule)
        if _is_object(whole) or "oneOf" in whole:
            name = f"{key.title()}Part"
            parts.append(_interface(name, whole, defs))
            fields[key] = name + (" | null" if nullable else "")
        else:
            fields[key] = _type(rule, defs)
    parts.append(_document(schema, fields))
    return "\n\n".join([_HEAD, *parts]) + "\n"


def _document(schema: Schema, fields: Mapping[str, str]) -> str:
    lines = [f"  readonly {key}{_mark(key, schema)}: {kind};" for key, kind in fields.items()]
    about = (
        "/** A document that has the published form; `readReceipt` makes one of unknown JSON. */"
    )
    return "\n".join([about, "export interface Receipt {", *lines, "}"])


def _interface(name: str, rule: Schema, defs: Mapping[str, Schema]) -> str:
    about = f"/** {rule['description']} */\n" if "description" in rule else ""
    if _is_closed(rule):
        return f"{about}export interface {name} {_type(rule, defs)}"
    return f"{about}export type {name} = {_type(rule, defs)};"


def _type(rule: Schema, defs: Mapping[str, Schema], indent: str = "") -> str:
    if "$ref" in rule:
        name = rule["$ref"].removeprefix("#/$defs/")
        return _NAMED.get(name) or _type(defs[name], defs, indent)
    if "const" in rule:
        return _literal(rule["const"])
    if "enum" in rule:
        return " | ".join(map(_literal, rule["enum"]))
    if "oneOf" in rule:
        return " | ".join(_type(one, defs, indent) for one in rule["oneOf"])
    kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    return " | ".join(_plain(kind, rule, defs, indent) for kind in kinds)


def _plain(kind: str, rule: Schema, defs: Mapping[str, Schema], indent: str) -> str:
    if kind == "object":
        return _object(rule, defs, indent)
    if kind == "array":
        item = _type(rule["items"], defs, indent)
        several = " | " in item.split("{")[0] or item.startswith("readonly ")
        return f"readonly ({item})[]" if several else f"readonly {item}[]"
    known = {"string": "string", "integer": "number", "boolean": "boolean", "null": "null"}
    if kind not in known:
        raise ValueError(f"no TypeScript type for {kind!r}")
    return known[kind]


def _object(rule: Schema, defs: Mapping[str, Schema], indent: str) -> str:
    if not _is_closed(rule):
        values = rule.get("additionalProperties", True)
        inner = "unknown" if values is True else _type(values, defs, indent)
        return f"Readonly<Record<string, {inner}>>"
    deeper = indent + "  "
    lines = [
        f"{deeper}readonly {key}{_mark(key, rule)}: {_type(one, defs, deeper)};"
        for key, one in rule["properties"].items()
    ]
    return "\n".join(["{", *lines, indent + "}"])


def _mark(key: str, rule: Schema) -> str:
    return "" if key in rule["required"] else "?"


def _is_object(rule: Schema) -> bool:
    return rule.get("type") == "object"


def _is_closed(rule: Schema) -> bool:
    return _is_object(rule) and rule.get("additionalProperties") is False


def _without_null(rule: Schema) -> tuple[Schema, bool]:
    """``rule`` without ``null`` among its choices, and whether it was one of them."""
    if "oneOf" not in rule:
        return rule, False
    choices = [one for one in rule["oneOf"] if one != {"type": "null"}]
    nullable = len(choices) < len(rule["oneOf"])
    about = {key: value for key, value in rule.items() if key == "description"}
    if len(choices) == 1:
        return {**about, **choices[0]}, nullable
    return {**about, "oneOf": choices}, nullable


def _literal(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)
