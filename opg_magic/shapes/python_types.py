"""Shapes of Python types: pydantic makes their schema, and reads the answer by it."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, NoReturn

from opg_magic.errors import ArgumentError, ShapeMismatch
from opg_magic.models.plain_text import inert, isolated
from opg_magic.shapes import misfit, sent
from opg_magic.shapes.reading import Json
from opg_magic.shapes.shape import Format, Shape
from opg_magic.shapes.short import Field, Short

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_FAULTS, _cut = misfit.MOST_FAULTS, misfit.shortened


def is_type(schema: Any) -> bool:
    """Whether ``schema`` is a class, or what type hints are made of."""
    return (
        isinstance(schema, type)
        or typing.get_origin(schema) is not None
        or hasattr(schema, "__supertype__")  # NewType
        or hasattr(schema, "__value__")  # the statement "type", from Python 3.12 on
    )


def of_type(schema: Any, format: Format | None) -> Shape:
    """Return the shape of a type; with ``df``, of a list of it.

    Raises :class:`ArgumentError` for a type that has no JSON Schema."""
    name = _name(schema)
    if format == "df" and not _is_list(schema):
        schema = list[schema]
    bare = _adapter(schema)
    made = _schema_of(bare)
    opened = sent.opened(made)
    key = None
    if not sent.is_object(opened):
        key = sent.ITEMS if made.get("type") == "array" else sent.VALUE
        wrapped = _adapter(_object(name, {key: schema}))
        opened = _schema_of(wrapped)
    else:
        wrapped = bare
    form = sent.response_format(name, opened)
    return Shape(
        response_format=form,
        read=_reader(bare, wrapped, key, form),
        format=format,
        rows=made.get("type") == "array",
        columns=_columns(made),
        plain=lambda data, mode: bare.dump_python(data, mode=mode),
    )


def of_short(short: Short, format: Format | None) -> Shape:
    """Return the shape of a short form."""
    # Strictly, for what was asked of the host is what is accepted: "1999" is no int.
    row = _object("answer", {field.name: _hint(field) for field in short.fields}, strict=True)
    rows = short.rows or format == "df"
    bare = _adapter(list[row] if rows else row)  # type: ignore[valid-type]
    wrapped = _adapter(_object("answer", {sent.ITEMS: list[row]})) if rows else bare  # type: ignore[valid-type]
    form = sent.of_fields(short.schema(), rows=rows)
    return Shape(
        response_format=form,
        read=_reader(bare, wrapped, sent.ITEMS if rows else None, form),
        format=format,
        rows=rows,
        plain=lambda data, mode: bare.dump_python(data, mode=mode),
        columns=tuple(field.name for field in short.fields),
    )


def _name(schema: Any) -> str:
    own = isinstance(schema, type) and typing.get_origin(schema) is None
    return schema.__name__ if own and schema.__module__ != "builtins" else "answer"


def _hint(field: Field) -> Any:
    import datetime

    if isinstance(field.kind, str):
        words = {"str": str, "int": int, "float": float, "bool": bool}
        hint: Any = words.get(field.kind) or getattr(datetime, field.kind)
    else:
        hint = typing.Literal[field.kind]
    for _ in range(field.lists):
        hint = list[hint]
    return hint | None if field.optional else hint


def _object(name: str, hints: dict[str, Any], *, strict: bool = False) -> Any:
    """A type for an object with these keys and no others."""
    from pydantic import ConfigDict, with_config
    from typing_extensions import TypedDict

    made = TypedDict(name, hints)  # type: ignore[misc]
    return with_config(ConfigDict(extra="forbid", strict=strict, allow_inf_nan=False))(made)


def _is_list(schema: Any) -> bool:
    return typing.get_origin(schema) is list or schema is list


def _adapter(schema: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(schema)
    except Exception as problem:  # a type of the user's own may raise whatever it likes
        _refuse(schema, problem)


def _schema_of(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    try:
        made = sent.of_types(adapter.json_schema())
    except Exception as problem:  # as above
        _refuse(adapter._type, problem)
    return typing.cast("dict[str, Any]", made)


def _refuse(schema: Any, problem: Exception) -> NoReturn:
    name = getattr(schema, "__name__", None) or str(schema)
    why = " ".join(inert(str(problem)).split("\n\n")[0].split())
    raise ArgumentError(
        f"{_cut(name)} cannot be a schema ({type(problem).__name__}): {_cut(why)} "
        "Nothing was sent.",
        hint="Use types that JSON has: str, int, float, bool, list, Literal, or models of them.",
    ) from None


def _columns(schema: dict[str, Any]) -> tuple[str, ...]:
    """The columns of a table, as far as the schema of its rows names them."""
    row: Any = schema.get("items") if schema.get("type") == "array" else schema
    if isinstance(row, dict) and isinstance(row.get("$ref"), str):
        row = schema.get("$defs", {}).get(row["$ref"].rpartition("/")[2])
    properties = row.get("properties") if isinstance(row, dict) else None
    return tuple(properties) if isinstance(properties, dict) else ()


# ------------------------------------------------------------------------------------------ reading


def _reader(
    bare: TypeAdapter[Any], wrapped: TypeAdapter[Any], key: str | None, form: dict[str, Any]
) -> Any:
    def read(said: Json) -> Any:
        # A host that keeps to no schema may say the value itself, without the object around it.
        inside = key is not None and isinstance(said.value, dict) and set(said.value) == {key}
        data = _validated(wrapped if inside else bare, said, form)
        return data[key] if inside else data

    return read


def _validated(adapter: TypeAdapter[Any], said: Json, form: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        return adapter.validate_json(said.text)
    except ValidationError as problem:
        raise ShapeMismatch(_faults(problem, said.value, form)) from None
    except Exception as problem:  # a validator of the user's own
        raise ShapeMismatch(
            f"The answer could not be read by your type: {type(problem).__name__}: "
            f"{_shown(str(problem))}"
        ) from None


def _faults(problem: ValidationError, value: Any, form: dict[str, Any]) -> str:
    count = problem.error_count()
    found = problem.errors(include_url=False, include_context=False, include_input=False)
    named = "; ".join(f"{_place(one['loc'])}{_shown(one['msg'])}" for one in found[:_FAULTS])
    more = f"; and {count - _FAULTS:,} more" if count > _FAULTS else ""
    places = [one["loc"] for one in found]
    return misfit.message(form, value, places, "pydantic", f"{named}{more}")


def _place(path: tuple[int | str, ...]) -> str:
    steps = "".join(
        f"[{step}]" if isinstance(step, int) else f".{isolated(inert(step))}" for step in path
    )
    return f"{_cut(steps.lstrip('.'))}: " if steps else ""


def _shown(text: str) -> str:
    return isolated(_cut(" ".join(inert(text).split())))
