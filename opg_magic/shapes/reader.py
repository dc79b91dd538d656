"""What a cell's line says of the shape of its answer, for a reader who has nothing but the line.

Its twin in the browser is labextension/src/cells/shapes.ts; whole notebooks in ``tests/corpus``
hold both together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from opg_magic.errors import OpgError
from opg_magic.models import strict_json
from opg_magic.shapes import sent, short
from opg_magic.shapes.resolving import variable


class OnLine(NamedTuple):
    """``asked``: the ``response_format`` that the line makes, None if none; ``elsewhere``: where
    the schema stands, which only the kernel that made the call could read."""

    asked: Mapping[str, Any] | None
    elsewhere: str | None = None


#: What no kernel would have sent: it equals no request's.
NOTHING = OnLine({})


def on_line(schema: str | None, format: str | None) -> OnLine:
    """Return what ``--schema`` and ``--format`` of a line ask for."""
    if schema is None:
        return OnLine({"type": "json_object"} if format == "json" else None)
    if len(schema.encode("utf-8", "surrogatepass")) > sent.MOST_BYTES:
        return NOTHING
    plain = schema.strip()
    name = variable(plain)
    if name is not None:
        return OnLine(None, name)
    if not plain.startswith("{") and plain.lower().endswith(".json") and "\n" not in plain:
        return OnLine(None, f"schema {plain[max(plain.rfind('/'), plain.rfind(chr(92))) + 1 :]}")
    rows = format == "df"
    try:
        if plain.startswith("{"):
            found = strict_json.loads(plain)
            return OnLine(sent.of_json_schema(found, as_rows=rows).response_format)
        fields = short.parse(schema)
    except OpgError:
        return NOTHING
    return OnLine(sent.of_fields(fields.schema(), rows=rows or fields.rows))


def agrees(found: OnLine, response_format: Any) -> bool:
    """Whether a signed request's ``response_format`` (None: it has none) is what the line asks
    for."""
    if found.elsewhere is not None:
        return isinstance(response_format, Mapping) and response_format.get("type") == "json_schema"
    return strict_json.dumps_python(found.asked) == strict_json.dumps_python(response_format)
