"""The listings of docs/api.md: what is public, with the signatures that the code has.

``python scripts/public_api.py`` writes them anew; a test holds that they are up to date and leave
nothing out."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guide_tables
import marked

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"


def listings() -> dict[str, str]:
    """Every listing by its name on the page, as Markdown."""
    import opg_magic
    from opg_magic import verify

    return {
        "package": _names(opg_magic, "opg_magic"),
        "verify": _names(verify, "opg_magic.verify"),
        "errors": errors(),
        "shell": shell(),
    }


def _names(module: Any, prefix: str) -> str:
    parts = []
    for name in module.__all__:
        value = getattr(module, name)
        about = _first(inspect.getdoc(value) or "")
        if inspect.isclass(value):
            code = "\n".join([f"class {prefix}.{name}", *_members(value)])
        elif callable(value):
            code = _signature(f"{prefix}.{name}", value)
        elif inspect.ismodule(value):
            code = f"module {prefix}.{name}"
        elif isinstance(value, str):
            code, about = f"{prefix}.{name}: str", "This version."
        else:
            code = f"{prefix}.{name}: {type(value).__name__}"
            about = f"The {type(value).__name__.lower()} of that name."
        parts.append(f"```python\n{code}\n```\n{about}")
    return "\n\n".join(parts)


def _signature(name: str, function: Any) -> str:
    """``name(…) -> …``; on one line where that fits."""
    signature = _as_called(function)
    shown = [_parameter(one) for one in signature.parameters.values()]
    kinds = [one.kind for one in signature.parameters.values()]
    named = next((i for i, kind in enumerate(kinds) if kind is inspect.Parameter.KEYWORD_ONLY), -1)
    if named >= 0:
        shown.insert(named, "*")
    awaited = "async " if inspect.iscoroutinefunction(function) else ""
    returns = _type(signature.return_annotation)
    line = f"{awaited}{name}({', '.join(shown)}) -> {returns}"
    if len(line) <= 88:
        return line
    return "\n".join([f"{awaited}{name}(", *(f"    {one}," for one in shown), f") -> {returns}"])


def _as_called(function: Any) -> inspect.Signature:
    """A function's signature; for ``receipts`` the filters that it hands on."""
    from opg_magic import api
    from opg_magic.ledger import frames

    if function is not api.receipts:
        return inspect.signature(function)
    signature = inspect.signature(frames.receipts)
    filters = [one for name, one in signature.parameters.items() if name != "ledger"]
    return signature.replace(parameters=filters)


def _parameter(one: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    text = f"{stars.get(one.kind, '')}{one.name}: {_type(one.annotation)}"
    return text if one.default is inspect.Parameter.empty else f"{text} = {_default(one.default)}"


def _default(value: Any) -> str:
    # A policy is shown by the name under which it can be imported.
    return value.name.upper() if type(value).__name__ == "Policy" else repr(value)


def _type(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "Any"
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _members(value: type) -> Iterator[str]:
    """What of an object of this class is public: fields, properties, methods."""
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    for field in fields:
        yield f"    {field.name}: {_type(field.type)}"
    for name, member in vars(value).items():
        if name.startswith("_") or name in {field.name for field in fields}:
            continue
        getter = getattr(member, "fget", None) or getattr(member, "func", None)
        if getter is not None:
            yield f"    {name}: {_type(inspect.signature(getter).return_annotation)}"
        elif inspect.isfunction(member):
            signature = inspect.signature(member)
            rest = [_parameter(one) for one in list(signature.parameters.values())[1:]]
            yield f"    {name}({', '.join(rest)}) -> {_type(signature.return_annotation)}"


def errors() -> str:
    """The tree of errors, each with what it says."""
    from opg_magic import errors as module

    return "\n".join(
        ["| Error | Means |", "| --- | --- |"]
        + [
            f"| {'&nbsp;' * 4 * depth}`{one.__name__}`{_also(one)} | {_first(one.__doc__ or '')} |"
            for one, depth in [
                *_tree(module.OpgError, 0),
                (module.CallInterrupted, 0),
            ]
        ]
    )


def _tree(error: type, depth: int) -> Iterator[tuple[type, int]]:
    yield error, depth
    for one in sorted(error.__subclasses__(), key=lambda one: one.__name__):
        if one.__module__ == error.__module__ and one.__bases__[0] is error:
            yield from _tree(one, depth + 1)


def _also(error: type) -> str:
    others = [base.__name__ for base in error.__bases__[1:]]
    if error.__name__ == "CallInterrupted":
        others = ["KeyboardInterrupt"]
    return f" (also {', '.join(f'`{name}`' for name in others)})" if others else ""


def shell() -> str:
    """The commands of ``opg``; their options are in the guide."""
    rows = [
        f"| `{' '.join(words)}` | {about} |" for words, _, about in guide_tables.shell_commands()
    ]
    return "\n".join(["| Command | Meaning |", "| --- | --- |", *rows])


def _first(text: str) -> str:
    """The first sentence or two of a docstring, as Markdown on one line."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", paragraph).replace("``", "`")


def updated(text: str) -> str:
    """The page's text with every listing as it should be."""
    return marked.filled(text, listings(), PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text("utf-8")), "utf-8")
