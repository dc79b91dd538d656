"""Shapes of JSON Schema (draft 2020-12), as a dict or in a file: sent as it is, and held to here.

Nothing is ever fetched for a ``$ref``: only places in the same schema are allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from opg_magic.errors import ArgumentError, ShapeMismatch
from opg_magic.models import strict_json
from opg_magic.models.plain_text import inert, isolated
from opg_magic.shapes import misfit, sent
from opg_magic.shapes.reading import Json
from opg_magic.shapes.shape import Format, Shape

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_FAULTS, _cut = misfit.MOST_FAULTS, misfit.shortened
#: So many faults are looked at to see whether this program's own words name them all.
_MOST_PLACES = 200
#: What an answer may be, to see that the schema can be held against anything at all.
_PROBES: tuple[Any, ...] = ({}, [], "", 0, None, True)


def of_json_schema(schema: Mapping[str, Any], format: Format | None) -> Shape:
    """Return the shape of a JSON Schema; with ``df``, of a list of it.

    Raises :class:`ArgumentError` for what is not a schema, or would need something fetched."""
    import copy

    if schema.get("type") == "json_schema" and "json_schema" in schema:
        _refuse("that is a response_format", hint="Give the schema in it, or use response_format=.")
    try:
        # Data of the caller's, which must not change under a call.
        bare: dict[str, Any] = copy.deepcopy(dict(schema))
        refs = list(_checked(bare))
    except RecursionError:
        _refuse("it is nested too deeply")
    one = sent.of_json_schema(bare, as_rows=format == "df")
    return Shape(
        response_format=one.response_format,
        read=_reader(_validator(one.bare, refs), _validator(one.whole, refs), one),
        format=format,
        rows=one.rows,
        columns=_columns(one.bare),
    )


def _checked(schema: dict[str, Any]) -> Iterator[str]:
    """Its references; ArgumentError where it is no schema."""
    from jsonschema import Draft202012Validator, SchemaError

    if not schema:
        _refuse("it is empty")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as problem:
        where = "/".join(map(str, problem.absolute_path))
        _refuse(f"{where + ': ' if where else ''}{problem.message}")
    for word, value in sent.words(schema):
        if word in ("$ref", "$dynamicRef"):
            if not isinstance(value, str) or not value.startswith("#"):
                _refuse(f"{word} {value!r} points outside the schema, and nothing is fetched")
            yield value
        elif word == "$id":
            _refuse("it has an $id, so its references would be relative to that")
        elif word in ("pattern", "patternProperties"):
            for pattern in (value,) if isinstance(value, str) else tuple(value):
                try:
                    re.compile(pattern)
                except re.error as problem:
                    _refuse(f"the pattern {pattern!r} cannot be read ({problem})")


#: Words whose schemas hold for the same value as the schema that they stand in.
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$ref", "$dynamicRef")


def _leads_back(schema: dict[str, Any], refs: list[str]) -> bool:
    """Whether a $ref comes back to itself without a step into the value.

    Found without following it in depth: where a library has raised Python's limit of recursion,
    that would overflow the stack and end the process."""
    for ref in refs:
        start = _at(schema, ref)
        waiting, active = [(start, False)], set[int]()
        done = set[int]()
        while waiting:
            node, ended = waiting.pop()
            if ended:
                active.discard(id(node))
                done.add(id(node))
            elif isinstance(node, dict) and id(node) not in done:
                if id(node) in active:
                    return True
                active.add(id(node))
                waiting.append((node, True))
                waiting += [(one, False) for one in _beside(schema, node)]
    return False


def _beside(schema: dict[str, Any], node: dict[str, Any]) -> Iterator[Any]:
    for word in _IN_PLACE:
        value = node.get(word)
        if isinstance(value, str):
            yield _at(schema, value)
        elif isinstance(value, list):
            yield from value
        else:
            yield value


def _at(schema: dict[str, Any], ref: str) -> Any:
    """What a reference of the form ``#/a/b`` points to; None for another form, or for nothing."""
    from urllib.parse import unquote

    found: Any = schema
    for part in ref.removeprefix("#").split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found if ref == "#" or ref.startswith("#/") else None


def _validator(schema: dict[str, Any], refs: list[str]) -> Validator:
    from jsonschema import Draft202012Validator, validators
    from referencing import Registry

    # An empty registry: without one, jsonschema would fetch what a $ref names.
    extend: Any = validators.extend
    linear = extend(Draft202012Validator, {"uniqueItems": _unique})
    made: Validator = linear(schema, registry=Registry())
    if _leads_back(schema, refs):
        _refuse("a $ref leads back to itself")
    try:
        for part in (schema, *({"$ref": ref} for ref in dict.fromkeys(refs))):
            tried = made.evolve(schema=part)
            for probe in _PROBES:
                tried.is_valid(probe)
    except RecursionError:
        _refuse("a $ref leads back to itself")
    except Exception as problem:
        _refuse(_cut(" ".join(str(problem).split())) or type(problem).__name__)
    return made


def _unique(validator: Any, wanted: Any, items: Any, _schema: Any) -> Iterator[Any]:
    """``uniqueItems`` in one pass: jsonschema compares each object with every other, which takes
    minutes for ten thousand rows."""
    from jsonschema import ValidationError

    if wanted is True and isinstance(items, list) and len({*map(_key, items)}) < len(items):
        yield ValidationError("two of its items are equal")


def _key(value: Any) -> str:
    """A text that equal JSON values share, and no others: 1 is 1.0, and is not true."""

    def plain(one: Any) -> Any:
        if isinstance(one, float) and one.is_integer():
            return int(one)
        if isinstance(one, dict):
            return {name: plain(inner) for name, inner in one.items()}
        return [plain(inner) for inner in one] if isinstance(one, list) else one

    return strict_json.dumps_python(plain(value))


def _columns(schema: dict[str, Any]) -> tuple[str, ...]:
    row = schema.get("items") if schema.get("type") == "array" else schema
    properties = row.get("properties") if isinstance(row, dict) else None
    return tuple(properties) if isinstance(properties, dict) else ()


def _reader(bare: Validator, whole: Validator, asked: sent.Sent) -> Any:
    key = asked.key

    def read(said: Json) -> Any:
        inside = key is not None and isinstance(said.value, dict) and set(said.value) == {key}
        _hold(whole if inside else bare, said.value, asked.response_format)
        return said.value[key] if inside else said.value

    return read


def _hold(validator: Validator, value: Any, form: Mapping[str, Any]) -> None:
    found: list[str] = []
    places: list[tuple[str | int, ...]] = []
    try:
        for problem in validator.iter_errors(value):
            places.append(tuple(problem.absolute_path))
            if len(places) == _MOST_PLACES:
                break
            if len(found) == _FAULTS:
                continue
            where = "".join(
                f"[{step}]" if isinstance(step, int) else f".{isolated(inert(str(step)))}"
                for step in problem.absolute_path
            ).lstrip(".")
            # The message quotes the answer, which may be long and hold anything.
            said = isolated(_cut(" ".join(inert(problem.message).split())))
            found.append(f"{_cut(where)}: {said}" if where else said)
    except Exception as problem:
        raise ShapeMismatch(
            f"The answer could not be held against the schema ({type(problem).__name__})."
        ) from None
    if found:
        words = "; ".join(found) + ("; and more" if len(places) > len(found) else "")
        raise ShapeMismatch(misfit.message(form, value, places, "jsonschema", words))


def _refuse(why: str, hint: str | None = None) -> NoReturn:
    raise ArgumentError(
        f"The JSON Schema cannot be used: {_cut(inert(why))}. Nothing was sent.", hint=hint
    ) from None
