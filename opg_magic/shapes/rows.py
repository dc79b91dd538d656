"""The rows in an answer's JSON, by the schema in its request: what a table shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from opg_magic.errors import ShapeMismatch
from opg_magic.shapes import sent
from opg_magic.shapes.reading import json_in


class Rows(NamedTuple):
    """``columns`` in the schema's order, then what rows have besides."""

    columns: list[str]
    rows: list[Mapping[str, Any]]


def rows_in(response_format: Any, text: str) -> Rows | None:
    """Return the rows of an answer, as signed; None where it holds none."""
    try:
        value = json_in(text).value
    except ShapeMismatch:
        return None
    if isinstance(value, dict) and list(value) == [sent.ITEMS]:
        value = value[sent.ITEMS]
    if not isinstance(value, list):
        return None
    rows: list[Mapping[str, Any]]
    rows = [row if isinstance(row, dict) else {"value": row} for row in value]
    named = _columns(response_format) or ([] if rows else ["value"])
    return Rows(list(dict.fromkeys([*named, *(key for row in rows for key in row)])), rows)


def _columns(response_format: Any) -> list[str]:
    """The columns that the schema of a row names."""
    schema = _at(response_format, "json_schema", "schema")
    row = _at(schema, "properties", sent.ITEMS, "items")
    reference = _at(row, "$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        row = _at(schema, "$defs", reference.removeprefix("#/$defs/"))
    properties = _at(row, "properties")
    return list(properties) if isinstance(properties, Mapping) else []


def _at(value: Any, *steps: str) -> Any:
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
