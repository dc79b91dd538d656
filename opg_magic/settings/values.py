"""How the value of a setting is read from a TOML file, the environment or a notebook.

Each function returns the value, or raises ValueError.  Its text is what the value must be: "an
amount of OPG, such as 0.5"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from opg_magic.models.networks import OPG_DECIMALS
from opg_magic.models.proxy import Proxy, read_proxy

Converter = Callable[[Any], Any]

#: The name of an alias or a template.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

POLICIES = ("default", "strict", "audit")


def text(value: Any) -> str:
    """A non-empty text."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a non-empty text")
    return value.strip()


def opg_amount(value: Any) -> int:
    """An amount of OPG as base units."""
    from opg_magic.models import parse_units

    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("an amount of OPG, such as 0.5")  # noqa: TRY004
    try:
        # A TOML float is meant as written: its shortest decimal form, not its binary neighbour.
        return parse_units(
            f"{Decimal(str(value)):f}" if isinstance(value, float) else str(value), OPG_DECIMALS
        )
    except ValueError:
        raise ValueError("an amount of OPG, such as 0.5") from None


def seconds(low: float, high: float) -> Converter:
    """A number of seconds within these bounds."""

    def convert(value: Any) -> float:
        problem = f"a number of seconds from {low:g} to {high:g}"
        if isinstance(value, bool):
            raise ValueError(problem)  # noqa: TRY004
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(problem) from None
        if not low <= number <= high:
            raise ValueError(problem)
        return number

    return convert


def one_of(*words: str) -> Converter:
    """One of these words."""

    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return str(value)

    return convert


def yes_or_no(value: Any) -> bool:
    """True or false, or a word for one of them."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    found = value if isinstance(value, bool) else words.get(str(value).strip().lower())
    if found is None:
        raise ValueError("true or false")
    return found


def count(value: Any) -> int:
    """A whole number, 0 or more."""
    text = str(value).strip().replace("_", "")
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ValueError("a whole number, 0 or more")
    return int(text)


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts, or one text that separates them by commas or spaces."""
    if isinstance(value, str):
        value = [part for part in value.replace(",", " ").split() if part]
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) and v for v in value):
        raise ValueError("a list of texts")
    return tuple(value)


def named_texts(value: Any) -> dict[str, str]:
    """A table of texts by name."""
    problem = 'a table of texts by name, such as fast = "openai/gpt-5-mini"'
    if not isinstance(value, Mapping):
        raise ValueError(problem)  # noqa: TRY004
    named = {str(name): text for name, text in value.items()}
    if not all(
        _NAME.fullmatch(name) and isinstance(one, str) and one.strip()
        for name, one in named.items()
    ):
        raise ValueError(problem)
    return named


def templates(value: Any) -> dict[str, str]:
    """A table of templates by name, each with a place for the cell."""
    named = named_texts(value)
    if not all("{{cell}}" in text for text in named.values()):
        raise ValueError("texts by name that each hold {{cell}}, where the cell goes")
    return named


def claims(value: Any) -> tuple[str, ...]:
    """A list of claims' names."""
    from opg_magic.models import CLAIM_NAMES

    names = texts(value)
    if not set(names) <= set(CLAIM_NAMES):
        raise ValueError("a list of claims (" + ", ".join(CLAIM_NAMES) + ")")
    return tuple(dict.fromkeys(names))


def reruns(value: Any) -> str:
    """When weights are run again: ``ask``, ``always``, or ``sample P`` with a share P of answers
    from 0 to 1."""
    words = value.split() if isinstance(value, str) else []
    if words in (["ask"], ["always"]):
        return str(words[0])
    if len(words) == 2 and words[0] == "sample":
        try:
            share = float(words[1])
        except ValueError:
            share = -1.0
        if 0 <= share <= 1:
            return f"sample {share:g}"
    raise ValueError("ask, always, or sample P with a share P of answers such as 0.1")


def rerun_share(value: str) -> float:
    """The share of answers whose weights are run again by themselves, from 0 to 1."""
    if value == "always":
        return 1.0
    return float(value.partition(" ")[2] or 0)


def more_often(mine: str, theirs: str) -> str:
    """The one of two that runs weights again more often."""
    return max(mine, theirs, key=rerun_share)


def proxy_url(value: Any) -> Proxy:
    """An HTTP proxy's URL."""
    return read_proxy(value)


def union(mine: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    """Both lists, each value once."""
    return tuple(dict.fromkeys((*mine, *theirs)))


def stricter(mine: str, theirs: str) -> str:
    """The stricter of two policies."""
    return max(mine, theirs, key=POLICIES.index)


def one_route(mine: str, theirs: str) -> str:
    """The route that both require, where one of them requires any; mine if they differ."""
    return theirs if mine == "any" else mine
