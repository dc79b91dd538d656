"""A JSON Schema as it is sent: around everything that is no object, and strict where hosts can
be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from opg_magic.errors import ArgumentError

#: Bytes of a schema: it is sent with every call, and paid for.
MOST_BYTES = 200_000
#: The key around a list of rows, and around any other value that is no object: providers take an
#: object at the top alone.
ITEMS, VALUE = "items", "value"

#: What providers enforce under ``strict`` without exception.
_STRICT_WORDS = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf",
     "$ref", "$defs", "description", "title", "format"}
)  # fmt: skip
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)


def response_format(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request says of the schema; ``strict`` stands there where it can be kept."""
    plain = re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:64]
    named = {"name": plain or "answer", "schema": dict(schema)}
    return {
        "type": "json_schema",
        "json_schema": {**named, "strict": True} if is_strict(schema) else named,
    }


def around(key: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object that holds, under ``key``, what ``schema`` describes."""
    return {
        "type": "object",
        "properties": {key: schema},
        "required": [key],
        "additionalProperties": False,
    }


def of_fields(schema: Mapping[str, Any], *, rows: bool) -> dict[str, Any]:
    """Return what a request says of a short form's object; with ``rows``, of a list of them."""
    whole = around(ITEMS, {"type": "array", "items": schema}) if rows else schema
    return response_format("answer", whole)


def is_strict(schema: Any) -> bool:
    """Whether providers enforce all of a schema: every object names all of its keys, and no word
    is among its words that some of them do not know.  What is no schema is not strict either."""
    if not isinstance(schema, Mapping) or not set(schema) <= _STRICT_WORDS:
        return False
    if "$ref" in schema:
        return set(schema) <= {"$ref", "$defs"}
    if not {"type", "enum", "const", "anyOf"} & set(schema):
        return False
    if not any(schema.get("format", "date") == known for known in _FORMATS):
        return False
    kind, properties = schema.get("type"), schema.get("properties", {})
    kinds = kind if isinstance(kind, list) else [kind]
    definitions, choices = schema.get("$defs", {}), schema.get("anyOf", [])
    if not (
        isinstance(properties, Mapping)
        and isinstance(definitions, Mapping)
        and isinstance(choices, list)
    ):
        return False
    if ("object" in kinds or "properties" in schema) and not _is_closed(schema):
        return False
    if "array" in kinds and "items" not in schema:
        return False
    items = [schema["items"]] if "items" in schema else []
    return all(map(is_strict, [*properties.values(), *definitions.values(), *choices, *items]))


def _is_closed(schema: Mapping[str, Any]) -> bool:
    """Whether an object has all of the keys that it names, and no others."""
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return False
    names = set(required) == set(schema.get("properties", ()))
    return names and "properties" in schema and schema.get("additionalProperties") is False


def of_types(schema: Any) -> Any:
    """Return a schema that pydantic made, as providers take it.

    Titles that only repeat a name are left out, for tokens cost money; every field is asked for;
    an object has no keys but its own, unless its type says so."""
    if isinstance(schema, list):
        return [of_types(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    for word, value in schema.items():
        if word in ("title", "default", "discriminator"):
            continue
        if word in ("properties", "$defs"):
            made[word] = {name: of_types(one) for name, one in value.items()}
        elif word in ("items", "anyOf", "allOf", "prefixItems", "additionalProperties"):
            made[word] = of_types(value)
        elif word == "oneOf":
            made["anyOf"] = of_types(value)
        else:
            made[word] = value
    if isinstance(made.get("properties"), dict):
        made["required"] = list(made["properties"])
        made.setdefault("additionalProperties", False)
    elif made.get("type") == "object" and "additionalProperties" not in made:
        made |= {"properties": {}, "required": [], "additionalProperties": False}
    if "$ref" in made and len(made) > 1 and "$defs" not in made:
        reference = made.pop("$ref")
        made = {"anyOf": [{"$ref": reference}], **made}
    return made


def opened(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with an object at its top, where that stands behind a ``$ref`` (a type that
    holds itself)."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return dict(schema)
    target = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
    if not isinstance(target, Mapping) or "$ref" in target:
        return dict(schema)
    return {**target, "$defs": schema["$defs"]}


def is_object(schema: Mapping[str, Any]) -> bool:
    """Whether it can stand at the top of a request."""
    return schema.get("type") == "object"


# ------------------------------------------------------------------------- a JSON Schema of a user


#: Keywords whose value holds schemas by name.
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")


class Sent(NamedTuple):
    """A user's schema (``bare``), and as it is sent (``whole``): under ``key`` if it is no
    object."""

    bare: dict[str, Any]
    whole: dict[str, Any]
    key: str | None
    rows: bool
    response_format: dict[str, Any]


def of_json_schema(schema: dict[str, Any], *, as_rows: bool) -> Sent:
    """Return what is sent for it; ``as_rows``: it is the schema of a row.

    Pure: a reader of a notebook makes the same (labextension/src/cells/shapes.ts).  Raises
    :class:`ArgumentError` where an object would have to be put around what a ``$ref`` points to."""
    bare, rows, key = schema, schema.get("type") == "array", None
    if as_rows and not rows:
        bare, rows = _lifted({"type": "array", "items": bare}, bare), True
    whole = bare
    if not is_object(bare):
        key = ITEMS if rows else VALUE
        whole = _lifted(around(key, bare), bare)
    title = schema.get("title")
    form = response_format(title if isinstance(title, str) else "answer", whole)
    return Sent(bare, whole, key, rows, form)


def words(schema: Any) -> Iterator[tuple[str, Any]]:
    """Each keyword with its value; what is data (``enum``, ``const``, …) is left out."""
    if isinstance(schema, list):
        for one in schema:
            yield from words(one)
    if not isinstance(schema, Mapping):
        return
    for word, value in schema.items():
        if word in ("enum", "const", "default", "examples"):
            continue
        yield word, value
        if word in _NAMED and isinstance(value, Mapping):
            for one in value.values():
                yield from words(one)
        else:
            yield from words(value)


def _lifted(outer: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    """``outer``, which holds ``inner``, with the definitions of that at its own top, where its
    references look for them."""
    for word, ref in words(inner):
        inside = not isinstance(ref, str) or ref.startswith(("#/$defs/", "#/definitions/"))
        if word in ("$ref", "$dynamicRef") and not inside:
            raise ArgumentError(
                f"The JSON Schema cannot be used: {word} {ref[:40]!r} points to its top, which "
                "has to go inside an object. Nothing was sent.",
                hint="Put what it points to into $defs.",
            )
    lifted = {name: inner[name] for name in ("$defs", "definitions") if name in inner}

    def without(value: Any) -> Any:
        if value is inner:
            return {name: one for name, one in inner.items() if name not in lifted}
        if isinstance(value, dict):
            return {name: without(one) for name, one in value.items()}
        return value

    return {**without(outer), **lifted}
