"""Python functions as tools: what a model is told of them, and its arguments as theirs.

What a model says is data until a function takes it: arguments are read strictly, by the function's
own type hints, and a call that does not fit is never made."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ArgumentError, MalformedMessage
from opg_magic.models import strict_json
from opg_magic.shapes import misfit

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class DoesNotFit(Exception):
    """The arguments of a call are not those of the function."""


@dataclass(frozen=True)
class Tool:
    """A function that a model may ask for.  ``definition`` is what the request says of it."""

    name: str
    function: Callable[..., Any]
    definition: Mapping[str, Any]
    arguments: TypeAdapter[Any]

    def read(self, text: str) -> dict[str, Any]:
        """The arguments that a model wrote, by the function's type hints.  Raises
        :class:`DoesNotFit`."""
        from pydantic import ValidationError

        try:
            strict_json.loads(text)  # one reading only: pydantic takes the last of two equal keys
            read = self.arguments.validate_json(text)
        except MalformedMessage:
            raise DoesNotFit(misfit.NOT_JSON) from None
        except ValidationError as problem:
            raise DoesNotFit(self._why(problem, text)) from None
        except Exception as problem:  # a validator of the user's own
            raise DoesNotFit(f"{misfit.BY_TYPE} {type(problem).__name__}") from None
        return typing.cast("dict[str, Any]", read)

    def _why(self, problem: ValidationError, text: str) -> str:
        """In words that follow from the definition in the request, where it tells."""
        found = problem.errors(include_url=False, include_context=False, include_input=False)
        known = misfit.faults(self.definition["function"]["parameters"], strict_json.loads(text))
        if known and misfit.same_places(known, [one["loc"] for one in found]):
            return f"{misfit.DO_NOT_FIT}: {misfit.said(known)}"
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:3])
        return f"{misfit.BY_TYPE} {said}"


def tools_of(functions: Iterable[Callable[..., Any]]) -> tuple[Tool, ...]:
    """The tools of these functions.  Raises ArgumentError, with the function's name; nothing was
    sent."""
    made = tuple(_tool(function) for function in functions)
    names = [tool.name for tool in made]
    for name in names:
        if names.count(name) > 1:
            _refuse(name, "is the name of two tools")
    return made


def _tool(function: Any) -> Tool:
    from pydantic import TypeAdapter

    name = str(getattr(function, "__name__", type(function).__name__))
    if not callable(function):
        _refuse(name, "is not a function")
    if _NAME.fullmatch(name) is None:
        _refuse(name, "has no name that a model could call")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        _refuse(name, "must be a plain function, which returns its result")
    try:
        parameters = inspect.signature(function).parameters
        hints = typing.get_type_hints(function, include_extras=True)
        adapter: TypeAdapter[Any] = TypeAdapter(_arguments(name, parameters, hints))
        schema = adapter.json_schema()
    except ArgumentError:
        raise
    except Exception as problem:  # hints of the user's own may raise whatever they like
        _refuse(name, f"has type hints that JSON does not know ({type(problem).__name__})")
    schema.pop("title", None)
    described: dict[str, Any] = {"name": name, "parameters": schema}
    if about := inspect.getdoc(function):
        described["description"] = about
    return Tool(name, function, {"type": "function", "function": described}, adapter)


def _arguments(
    name: str, parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]
) -> Any:
    """The type of a call's arguments: an object with the parameters' names, and no others."""
    from typing import NotRequired

    from pydantic import ConfigDict, with_config
    from typing_extensions import TypedDict

    fields: dict[str, Any] = {}
    for key, parameter in parameters.items():
        if parameter.kind not in _PLAIN:
            _refuse(name, f"takes {parameter}, which a model cannot give by name")
        hint = hints.get(key, Any)
        optional = parameter.default is not inspect.Parameter.empty
        fields[key] = NotRequired[hint] if optional else hint
    made = TypedDict(name, fields)  # type: ignore[misc]
    return with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(made)


def _refuse(name: str, why: str) -> typing.NoReturn:
    raise ArgumentError(f"{name} cannot be a tool: it {why}. Nothing was sent.")
