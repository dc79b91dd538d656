"""What names a shape becomes one: a type, a JSON Schema, a file of one, or the short form."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from opg_magic.errors import ArgumentError, MalformedMessage
from opg_magic.models import arguments, strict_json
from opg_magic.shapes import sent, short
from opg_magic.shapes.shape import FORMATS, Format, Shape

_LIST = re.compile(r"list\[([^\n\[\]]*)\]")
#: Names that every line knows.
_BUILT_IN: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}


def resolve(schema: Any, *, format: Format | None = None) -> Shape:
    """Return the shape that ``schema`` names.

    It may be a pydantic model, a dataclass, a ``TypedDict``, an ``Enum``, a type such as
    ``list[Film]`` or ``Literal["good", "bad"]``, a JSON Schema (a dict, or the ``Path`` of a file
    that holds one), or a text: the short form ``"name, year int"``, a JSON Schema, or the path of a
    ``.json`` file.  With ``format="df"`` the schema is that of a row.

    Raises :class:`ArgumentError`: nothing was sent."""
    from opg_magic.shapes.json_schema import of_json_schema
    from opg_magic.shapes.python_types import is_type, of_type

    if isinstance(schema, Shape):
        if format not in (None, schema.format):
            raise ArgumentError("The schema was resolved for another format. Nothing was sent.")
        return schema
    if isinstance(schema, str):
        return _of_text(str.__str__(schema), format)
    if isinstance(schema, Path):
        return of_json_schema(_file(schema), format)
    if isinstance(schema, Mapping):
        if not all(isinstance(key, str) for key in schema):
            arguments.refuse("schema", "a JSON Schema whose keys are texts", schema)
        return of_json_schema(schema, format)
    if is_type(schema):
        return of_type(schema, format)
    if hasattr(type(schema), "model_fields") or hasattr(type(schema), "__dataclass_fields__"):
        raise ArgumentError(
            f"schema is an object of {type(schema).__name__}; give the class itself. "
            "Nothing was sent."
        )
    return arguments.refuse("schema", "a type, a JSON Schema (dict) or a short form (text)", schema)


def resolve_words(
    words: str, *, format: Format | None = None, namespace: Mapping[str, Any] | None = None
) -> Shape:
    """Return the shape that is named on a line: as in :func:`resolve`, but one word alone names a
    Python object of ``namespace`` (None: there is none, as in a shell).

    Raises :class:`ArgumentError`: nothing was sent."""
    name = variable(words)
    if name is None:
        return resolve(words, format=format)
    if name in _BUILT_IN and name not in (namespace or {}):
        return resolve(_of(words, _BUILT_IN[name]), format=format)
    if namespace is None:
        raise ArgumentError(
            f"{name!r} alone would be a Python type, which a shell does not have. "
            "Nothing was sent.",
            hint=f'For one field: "{name} str". For a file: a path that ends in .json.',
        )
    first, *rest = name.split(".")
    if first not in namespace:
        known = [one for one in namespace if not one.startswith("_")]
        near = get_close_matches(first, known, n=1)
        raise ArgumentError(
            f"{first} is not defined. Nothing was sent.",
            hint=f"Did you mean {near[0]}?" if near else f'For one field: "{first} str".',
        )
    found = namespace[first]
    for step in rest:
        try:
            found = getattr(found, step)
        except AttributeError:
            raise ArgumentError(f"{name}: there is no {step}. Nothing was sent.") from None
    if isinstance(found, str) and variable(found) is not None:
        arguments.refuse(name, "a type, a JSON Schema (dict) or a short form (text)", found)
    return resolve(_of(words, found), format=format)


def _of(words: str, found: Any) -> Any:
    """What a name stands for; a list of it, where the line says so."""
    if _LIST.fullmatch(words.strip()) is None:
        return found
    if isinstance(found, Mapping):
        return sent.of_json_schema(dict(found), as_rows=True).bare
    if isinstance(found, str):
        raise ArgumentError(
            f"{words.strip()[:80]} needs a type. Nothing was sent.",
            hint='In a short form, brackets make rows: "[name, year int]".',
        )
    return list[found]


def variable(words: str) -> str | None:
    """Return the Python name that a schema on a line is; None where it is written out.

    That is one word alone, with or without braces, or a list of it: ``Film``, ``shapes.Film``,
    ``{Film}``, ``list[Film]``."""
    plain = words.strip()
    if (listed := _LIST.fullmatch(plain)) is not None:
        plain = listed[1].strip()
    if plain.startswith("{") and plain.endswith("}"):
        plain = plain[1:-1].strip()
    elif plain.lower().endswith(".json"):
        return None
    steps = plain.split(".")
    named = all(step.isidentifier() and not keyword.iskeyword(step) for step in steps)
    return plain if named else None


def wanted(schema: Any, format: str | None, *, kind: str = "chat") -> Shape | None:
    """Return the shape of a call that was given ``schema`` and ``format``; None if neither.

    Raises :class:`ArgumentError`: nothing was sent."""
    if format is not None:
        arguments.choice("format", format, FORMATS)
    chosen: Format | None = format  # type: ignore[assignment]
    if schema is None:
        if format == "df":
            raise ArgumentError(
                "A table needs a schema of its rows. Nothing was sent.",
                hint='As in schema="name, year int".',
            )
        if format == "json" and kind == "chat":
            return Shape(response_format={"type": "json_object"}, format=chosen)
        return None if format is None else Shape(format=chosen)
    if kind != "chat":
        raise ArgumentError("A completion takes no schema; ask a chat. Nothing was sent.")
    if format == "code":
        raise ArgumentError("Code has no schema; leave one of the two out. Nothing was sent.")
    return resolve(schema, format=chosen)


def _of_text(text: str, format: Format | None) -> Shape:
    if len(text.encode("utf-8", "surrogatepass")) > sent.MOST_BYTES:
        raise ArgumentError(
            f"The schema has more than {sent.MOST_BYTES:,} bytes. Nothing was sent."
        )
    from opg_magic.shapes.json_schema import of_json_schema
    from opg_magic.shapes.python_types import of_short

    plain = text.strip()
    if plain.startswith("{"):
        return of_json_schema(_parsed(plain, "The schema"), format)
    if plain.lower().endswith(".json") and "\n" not in plain:
        return of_json_schema(_file(Path(plain)), format)
    return of_short(short.parse(text), format)


def _file(path: Path) -> dict[str, Any]:
    try:
        with path.expanduser().open("rb") as file:
            raw = file.read(sent.MOST_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as problem:
        why = getattr(problem, "strerror", None) or type(problem).__name__
        raise ArgumentError(f"Cannot read {path.name}: {why}. Nothing was sent.") from None
    if len(raw) > sent.MOST_BYTES:
        raise ArgumentError(
            f"{path.name} has more than {sent.MOST_BYTES:,} bytes. Nothing was sent."
        )
    return _parsed(raw.removeprefix(b"\xef\xbb\xbf"), path.name)


def _parsed(text: str | bytes, name: str) -> dict[str, Any]:
    try:
        found = strict_json.loads(text)
    except MalformedMessage as problem:
        # A line takes away the quotes that are in no others.
        bare = isinstance(text, str) and '"' not in text
        raise ArgumentError(
            f"{name} is {problem.message}. Nothing was sent.",
            hint="On a cell's line, JSON goes between single quotes: --schema '{…}'."
            if bare
            else None,
        ) from None
    if not isinstance(found, dict):
        raise ArgumentError(f"{name} is not a JSON object. Nothing was sent.")
    return found
