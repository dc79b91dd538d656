"""Shares out a payment session's settled sum over the calls that it paid for.

The chain shows only the sum.  Each call gets a share in proportion to what its host claimed, in
whole base units that add up exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: The host counts in its own token price of that minute, we in the one that it told us before: up
#: to one part in this many more than was claimed is that, and no further call.
DRIFT = 50


def share_out(
    amount: int, claimed: Mapping[str, int | None]
) -> tuple[tuple[tuple[str, int], ...], int]:
    """Return each call's share of ``amount`` in base units, and what is left over: nothing, unless
    no call is known.

    ``claimed`` are the calls' costs by their host's figures, None where they are not known.  A sum
    well above what the others claimed goes to those.  Base units, not negative; shares and rest
    always add up to ``amount``."""
    known = {call: cost for call, cost in claimed.items() if cost}
    unknown = [call for call, cost in claimed.items() if cost is None]
    total = sum(known.values())
    shares = dict.fromkeys(claimed, 0)
    if unknown and amount > total + total // DRIFT:
        shares |= known
        shares |= _in_proportion(amount - total, dict.fromkeys(unknown, 1))
    else:
        # Nobody claims anything, and yet it was taken: by whichever of them, so each bears the
        # same.
        shares |= _in_proportion(amount, known or dict.fromkeys(claimed, 1))
    return tuple(shares.items()), amount - sum(shares.values())


def _in_proportion(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Whole parts that add up to ``amount``: the remainder goes to those that were rounded down
    most."""
    total = sum(weights.values())
    if not total:
        return {}
    shares = {call: amount * weight // total for call, weight in weights.items()}
    cut: Sequence[str] = sorted(
        weights, key=lambda call: amount * weights[call] % total, reverse=True
    )
    for call in cut[: amount - sum(shares.values())]:
        shares[call] += 1
    return shares
