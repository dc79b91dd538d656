"""Models and prices: data with a date in ``prices.json``, overridable by the user's own file.

A model without a known price has None: shown as "price unknown", never as zero.  Hosts offer no
endpoint for prices, so every figure here was last seen in a host's own software."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import lru_cache
from importlib import resources

from opg_magic.errors import ConfigError
from opg_magic.models import ModelPrice, Money
from opg_magic.models.networks import Token
from opg_magic.settings import paths


@dataclass(frozen=True, slots=True)
class PriceList:
    """Model names (``provider/name``) in listing order, and prices by wire name (without
    provider)."""

    models: tuple[str, ...]
    prices: Mapping[str, ModelPrice]

    def knows(self, model: str) -> bool:
        """Return whether a model, named with or without its provider, is in this list."""
        bare = model.rpartition("/")[2]
        return bare in self.prices or any(bare == one.rpartition("/")[2] for one in self.models)

    def price(self, model: str) -> ModelPrice | None:
        """Return the price of a model named with or without its provider; None if unknown."""
        return self.prices.get(model.rpartition("/")[2])


#: What the simulated hosts run themselves, and their own price for it.
SIMULATED = PriceList(
    ("huggingfacetb/smollm2-135m-instruct",),
    {
        "smollm2-135m-instruct": ModelPrice(
            Decimal("0.02"), Decimal("0.06"), "2026-11", "the simulated hosts' own"
        )
    },
)


def load(override: str | None = None, *, simulated: bool = False) -> PriceList:
    """Return the built-in list, with the entries of a user's file (same form) over it.

    On a ``simulated`` network it also has what its hosts run themselves.  Raises ConfigError if the
    file is malformed."""
    base = _built_in()
    if simulated:
        base = PriceList((*SIMULATED.models, *base.models), {**SIMULATED.prices, **base.prices})
    if override is None:
        return base
    try:
        extra = _parse(paths.expanded(override).read_text("utf-8"))
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
    """Return what one call costs at that price, in USD."""
    return (prompt_tokens * price.input_usd + completion_tokens * price.output_usd) / Decimal(
        1_000_000
    )


def in_token(amount_usd: Decimal, token_usd: Decimal, token: Token) -> Money:
    """Return a sum of USD in ``token`` at ``token_usd`` USD per token, rounded up."""
    units = (amount_usd / token_usd).scaleb(token.decimals)
    return Money(int(units.to_integral_value(ROUND_CEILING)), token)


def estimate_tokens(text: str) -> int:
    """Return a rough count of tokens for the estimate before a call: four bytes of UTF-8 per token,
    rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)
