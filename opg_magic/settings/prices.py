"""Models and prices: data with a date in ``prices.json``, overridable by the user's own file.

A model without a known price has None: shown as "price unknown", never as zero.  Hosts offer no
endpoint for prices, so every figure here is what was last seen of a host's own software (protocol
section 8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import lru_cache
from importlib import resources
from pathlib import Path

from opg_magic.errors import ConfigError
from opg_magic.models import ModelPrice, Money
from opg_magic.models.networks import Token


@dataclass(frozen=True, slots=True)
class PriceList:
    """Model names (``provider/name``) in listing order, and prices by wire name (without
    provider)."""

    models: tuple[str, ...]
    prices: Mapping[str, ModelPrice]

    def price(self, model: str) -> ModelPrice | None:
        """The price of a model named with or without its provider."""
        return self.prices.get(model.rpartition("/")[2])


def load(override: str | None = None) -> PriceList:
    """The built-in list, with the entries of a user's file (same form) over it.  ConfigError if
    that is malformed."""
    base = _built_in()
    if override is None:
        return base
    try:
        extra = _parse(Path(override).expanduser().read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError, InvalidOperation) as problem:
        raise ConfigError(f"cannot read prices_file {override}: {problem}") from None
    return PriceList(
        tuple(dict.fromkeys((*base.models, *extra.models))), {**base.prices, **extra.prices}
    )


@lru_cache(maxsize=1)
def _built_in() -> PriceList:
    return _parse(resources.files("opg_magic.settings").joinpath("prices.json").read_text("utf-8"))


def _parse(text: str) -> PriceList:
    data = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    as_of, source = str(data["as_of"]), str(data["source"])
    prices = {
        str(name): ModelPrice(Decimal(pair[0]), Decimal(pair[1]), as_of, source)
        for name, pair in data["usd_per_million"].items()
    }
    if any(p.input_usd < 0 or p.output_usd < 0 for p in prices.values()):
        raise ValueError("a price is negative")
    return PriceList(tuple(str(m) for m in data.get("models", ())), prices)


def usd(price: ModelPrice, prompt_tokens: int, completion_tokens: int) -> Decimal:
    """USD of one call at that price."""
    return (prompt_tokens * price.input_usd + completion_tokens * price.output_usd) / Decimal(
        1_000_000
    )


def in_token(amount_usd: Decimal, token_usd: Decimal, token: Token) -> Money:
    """A sum of USD in base units of ``token`` at ``token_usd`` USD a token, rounded up."""
    units = (amount_usd / token_usd).scaleb(token.decimals)
    return Money(int(units.to_integral_value(ROUND_CEILING)), token)


def estimate_tokens(text: str) -> int:
    """A rough count of tokens for an estimate shown before a call: four bytes of UTF-8 a token,
    rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)
