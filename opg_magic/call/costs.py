"""What a call may cost, before it is made."""

from __future__ import annotations

from opg_magic.call.state import ReadyHost, RunningCall
from opg_magic.models import Money
from opg_magic.models.networks import Token
from opg_magic.settings import prices


def prompt_tokens(call: RunningCall) -> int:
    """About how many tokens the request has."""
    return prices.estimate_tokens(call.request.canonical)


def worst_cost(call: RunningCall, ready: ReadyHost, token: Token) -> Money | None:
    """The cost of an answer as long as the call allows; None where price, token price or length is
    not known."""
    if call.price is None or not ready.token_usd or call.prompt.max_tokens is None:
        return None
    in_usd = prices.usd(call.price, prompt_tokens(call), call.prompt.max_tokens)
    return prices.in_token(in_usd, ready.token_usd, token)
