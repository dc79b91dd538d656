"""Why JSON does not have the form that was asked for, in words that every reader can make again.

The words follow from the schema in the signed request and from the signed answer alone, so a reader
of a notebook compares them (:mod:`opg_magic.audit.implied`, ``labextension/src/cells/misfit.ts``).
Libraries say it in words of their own version; those stand where a fault is beyond this module (a
pattern, a type's own check), and say whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from opg_magic.errors import MalformedMessage, ShapeMismatch
from opg_magic.models import strict_json
from opg_magic.models.plain_text import cut, isolated, seen
from opg_magic.shapes import sent
from opg_magic.shapes.reading import json_in

#: How a message begins, of words that every reader can make again.
DOES_NOT_FIT = "The answer does not fit the schema"
#: How those begin that no reader can: a library's words, or a type's own.
IN_WORDS = (
    f"{DOES_NOT_FIT} (",
    "The answer could not be read by your type: ",
    "The answer could not be held against the schema (",
    "The answer fits its schema, but no table can be made of it (",
)
#: How many faults a message names, and how long each part of one may be.
MOST_FAULTS, LONGEST = 3, 160
#: So many values are looked at, alternatives included; beyond, nothing is said.
MOST_STEPS = 200_000
#: How deep a schema's references may lead into each other.
DEEPEST = 100

Path = tuple[str | int, ...]

#: Types, as people call them.
NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
#: Of a key, of a value, of alternatives.
MISSING, EXTRA, FORBIDDEN = "missing", "not in the schema", "not allowed"
NO_VALUE, NO_FORM = "none of the values that are allowed", "none of the forms that are allowed"
#: Keyword, what it bounds, and what is said of a value beyond it.
BOUNDS = (
    ("minimum", "number", "less than {}"),
    ("exclusiveMinimum", "number", "not more than {}"),
    ("maximum", "number", "more than {}"),
    ("exclusiveMaximum", "number", "not less than {}"),
    ("minLength", "string", "shorter than {} characters"),
    ("maxLength", "string", "longer than {} characters"),
    ("minItems", "array", "fewer than {} items"),
    ("maxItems", "array", "more than {} items"),
)


class Fault(NamedTuple):
    """One place where a value does not fit.  ``key``: the fault is a key that the object at
    ``path[:-1]`` lacks or has too many; ``types``: it is of another type than these."""

    path: Path
    words: str
    key: bool = False
    types: tuple[str, ...] = ()


class _Beyond(Exception):
    """The schema holds what this module does not follow."""


def faults(schema: Any, value: Any) -> list[Fault] | None:
    """Return where ``value`` does not fit the schema, in the schema's order; None where that cannot
    be told."""
    walk = _Walk(schema)
    try:
        return list(walk.faults(schema, value, (), 0))
    except _Beyond:
        return None


def of_response(response_format: Any, value: Any) -> list[Fault] | None:
    """Return the faults of an answer's JSON by the ``response_format`` that was asked for.

    A host may say a list of rows, or a single value, without the object that goes around it."""
    named = response_format.get("json_schema") if isinstance(response_format, Mapping) else None
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if not isinstance(schema, Mapping):
        return None
    key = _around(schema)
    if key is None or (isinstance(value, Mapping) and list(value) == [key]):
        return faults(schema, value)
    properties = schema["properties"]
    definitions = {word: schema[word] for word in ("$defs", "definitions") if word in schema}
    bare = properties[key]
    return faults({**definitions, **bare} if isinstance(bare, Mapping) else bare, value)


def _around(schema: Mapping[str, Any]) -> str | None:
    properties = schema.get("properties")
    names = list(properties) if isinstance(properties, Mapping) else []
    return names[0] if names in ([sent.ITEMS], [sent.VALUE]) else None


def said(found: Sequence[Fault]) -> str:
    """Return the first faults as one line."""
    named = "; ".join(_one(fault) for fault in found[:MOST_FAULTS])
    more = len(found) - MOST_FAULTS
    return f"{named}; and {more:,} more" if more > 0 else named


def message(
    response_format: Any,
    value: Any,
    places: Iterable[Sequence[str | int]],
    library: str,
    words: str,
) -> str:
    """Return why an answer does not fit.  ``words`` are those of the ``library`` that found it out,
    at these ``places``: they stand where the schema alone gives no others."""
    found = of_response(response_format, value)
    if found and same_places(found, places):
        return f"{DOES_NOT_FIT}: {said(found)}."
    return f"{DOES_NOT_FIT} ({library}): {words}."


def same_places(found: Sequence[Fault], places: Iterable[Sequence[str | int]]) -> bool:
    """Return whether a library found faults just where these are.

    Of a key some name the object that it is in; and one that a type has a value for may be missing
    there, though it was asked for."""
    told = {tuple(place) for place in places}
    at = [({one.path, one.path[:-1]} if one.key else {one.path}) for one in found]
    known = set().union(*at)
    optional = [one.key and one.words == MISSING for one in found]
    return told <= known and all(o or here & told for o, here in zip(optional, at, strict=True))


def reason(response_format: Any, text: str) -> str | None:
    """Return why an answer's text does not have the form that was asked for; None where it has, or
    it cannot be told."""
    try:
        value = json_in(text).value
    except ShapeMismatch as problem:
        return problem.message
    found = of_response(response_format, value)
    return f"{DOES_NOT_FIT}: {said(found)}." if found else None


def call_problem(offered: Mapping[str, Any], name: str, arguments: str) -> str | None:
    """Return why a tool's call, as a model wrote it, does not fit the tool's definition, of those
    that a request offers by name; None where it does, or it cannot be told."""
    if name not in offered:
        return NO_TOOL
    try:
        value = strict_json.loads(arguments)
    except MalformedMessage:
        return NOT_JSON
    function = offered[name].get("function")
    schema = function.get("parameters") if isinstance(function, Mapping) else None
    found = faults(schema, value) if isinstance(schema, Mapping) else None
    return f"{DO_NOT_FIT}: {said(found)}" if found else None


#: Of a tool's call.  A library's words, where there are no others, stand after :data:`BY_TYPE`.
NO_TOOL = "there is no such tool"
NOT_JSON = "the arguments are not JSON that is read in one way only"
DO_NOT_FIT = "the arguments do not fit"
BY_TYPE = "the arguments do not fit the type hints:"


def _one(fault: Fault) -> str:
    steps = "".join(
        f"[{step}]" if isinstance(step, int) else f".{isolated(seen(step))}" for step in fault.path
    )
    return f"{shortened(steps.removeprefix('.'))}: {fault.words}" if steps else fault.words


def shortened(text: str) -> str:
    """Return ``text``, or as much of it as a message has room for."""
    return text if len(text) <= LONGEST else cut(text, LONGEST - 1) + "…"


class _Walk:
    def __init__(self, root: Any) -> None:
        self.root = root
        self.steps = 0

    def faults(self, schema: Any, value: Any, path: Path, depth: int) -> Iterator[Fault]:
        self.steps += 1
        if self.steps > MOST_STEPS or depth > DEEPEST:
            raise _Beyond
        if schema is False:
            yield Fault(path, FORBIDDEN)
        if not isinstance(schema, Mapping):
            return
        if isinstance(schema.get("$ref"), str):
            yield from self.faults(self._target(schema["$ref"]), value, path, depth + 1)
        expected = _types(schema.get("type"))
        kind = _kind(value)
        if expected and not _is_one_of(value, expected):
            yield Fault(path, _not_of(kind, expected), types=expected)
            return
        yield from _of_values(schema, value, path)
        yield from _of_bounds(schema, value, kind, path)
        for one in _list(schema.get("allOf")):
            yield from self.faults(one, value, path, depth + 1)
        for word in ("anyOf", "oneOf"):
            if choices := _list(schema.get(word)):
                yield from self._of_choices(choices, value, path, depth)
        if isinstance(value, Mapping):
            yield from self._of_object(schema, value, path, depth)
        elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
            for place, one in enumerate(value):
                yield from self.faults(schema["items"], one, (*path, place), depth + 1)

    def _of_object(
        self, schema: Mapping[str, Any], value: Mapping[str, Any], path: Path, depth: int
    ) -> Iterator[Fault]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        for name in [*properties, *(name for name in required if name not in properties)]:
            if name in value:
                if name in properties:
                    yield from self.faults(properties[name], value[name], (*path, name), depth + 1)
            elif name in required:
                yield Fault((*path, name), MISSING, key=True)
        others = schema.get("additionalProperties")
        for name in value:
            if name in properties or others is None or others is True:
                continue
            if others is False:
                yield Fault((*path, name), EXTRA, key=True)
            else:
                yield from self.faults(others, value[name], (*path, name), depth + 1)

    def _of_choices(
        self, choices: Sequence[Any], value: Any, path: Path, depth: int
    ) -> Iterator[Fault]:
        tried = []
        for choice in choices:
            found = list(self.faults(choice, value, path, depth + 1))
            if not found:
                return
            tried.append(found)
        # A choice of another type was not meant.
        meant = [found for found in tried if found[0].path != path or not found[0].types]
        if len(meant) == 1:
            yield from meant[0]
        elif meant:
            yield Fault(path, NO_FORM)
        else:
            expected = tuple(dict.fromkeys(kind for found in tried for kind in found[0].types))
            yield Fault(path, _not_of(_kind(value), expected), types=expected)

    def _target(self, reference: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise _Beyond
        found = self.root
        for step in reference.split("/")[1:]:
            if not isinstance(found, Mapping) or step not in found:
                raise _Beyond
            found = found[step]
        return found


def _of_values(schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[Fault]:
    allowed = schema["enum"] if isinstance(schema.get("enum"), list) else None
    if "const" in schema:
        allowed = [schema["const"]]
    if allowed is None:
        return
    texts = [strict_json.dumps_python(one) for one in allowed]
    if strict_json.dumps_python(value) not in texts:
        listed = f"{'not' if len(texts) == 1 else 'none of'} {', '.join(texts)}"
        yield Fault(path, listed if len(listed) <= 80 else NO_VALUE)


def _of_bounds(schema: Mapping[str, Any], value: Any, kind: str, path: Path) -> Iterator[Fault]:
    sized = "number" if kind == "integer" else kind
    size: Any = len(value) if sized in ("string", "array") else value
    for word, of, words in BOUNDS:
        bound: Any = schema.get(word)
        if sized != of or _kind(bound) not in ("integer", "number"):
            continue
        beyond = {
            "minimum": size < bound,
            "maximum": size > bound,
            "exclusiveMinimum": size <= bound,
            "exclusiveMaximum": size >= bound,
        }.get(word, size < bound if word.startswith("min") else size > bound)
        if beyond:
            yield Fault(path, words.format(strict_json.dumps_python(bound)))


def _types(said: Any) -> tuple[str, ...]:
    named = [said] if isinstance(said, str) else said
    known = isinstance(named, list) and all(isinstance(n, str) and n in NAMES for n in named)
    return tuple(named) if known else ()


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _is_one_of(value: Any, expected: tuple[str, ...]) -> bool:
    kind = _kind(value)
    return (
        kind in expected
        or (kind == "integer" and "number" in expected)
        or (kind == "number" and "integer" in expected and value.is_integer())
    )


def _not_of(kind: str, expected: tuple[str, ...]) -> str:
    return f"{NAMES[kind]}, not {' or '.join(NAMES[one] for one in expected)}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
