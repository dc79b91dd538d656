"""A model's chat template (Jinja, out of its GGUF), rendered as llama.cpp's server renders it.

The template is a program that came with the weights.  It runs in Jinja's sandbox, and in the child
process that holds the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opg_magic.errors import WeightsError


def render(
    template: str, messages: Sequence[Mapping[str, Any]], *, first: str = "", last: str = ""
) -> str:
    """The text that a model continues: the conversation, and the head of its own turn.

    ``first`` and ``last`` are the texts of the tokens that begin and end a document.  Raises
    WeightsError for a template that cannot be run, or that refuses these messages."""
    try:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ModuleNotFoundError:
        raise WeightsError(
            "jinja2 is not installed; chat templates need it.",
            hint="pip install 'opg-magic[local]'",
        ) from None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=True,
            bos_token=first,
            eos_token=last,
        )
    except WeightsError:
        raise
    except Exception as error:  # a stranger's program may raise anything
        raise WeightsError(f"The model's chat template cannot be used here: {error}") from None


def _refuse(message: str) -> None:
    raise WeightsError(f"The model's chat template refuses this conversation: {message}")


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
