"""A session's settled sum over its calls: whole base units that add up exactly, in proportion to
what was claimed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opg_magic.wallet.shares import share_out


@pytest.mark.parametrize(
    ("amount", "claimed", "shares"),
    [
        (90, {"a": 40, "b": 50}, {"a": 40, "b": 50}),
        # Less or more than was claimed: each bears its part, dust included.
        (100, {"a": 40, "b": 50}, {"a": 44, "b": 56}),
        (10, {"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 3}),
        (2030, {"a": 1000, "b": 1000, "c": 1065}, {"a": 662, "b": 662, "c": 706}),
        (0, {"a": 40, "b": 50}, {"a": 0, "b": 0}),
        # A provider without usage: what the others claimed is all, or the token's price moved a
        # little meanwhile.
        (40, {"a": 40, "b": None}, {"a": 40, "b": 0}),
        (1010, {"a": 1000, "b": None}, {"a": 1010, "b": 0}),
        # Well above what the others claimed: that call's.
        (90, {"a": 40, "b": None}, {"a": 40, "b": 50}),
        (7, {"a": None, "b": None}, {"a": 4, "b": 3}),
        (7, {"a": None}, {"a": 7}),
        # The only call, and by its host's word not charged: it was.
        (7, {"a": 0}, {"a": 7}),
        (7, {"a": 0, "b": 3}, {"a": 0, "b": 7}),
    ],
)
def test_shares(amount: int, claimed: dict[str, int | None], shares: dict[str, int]) -> None:
    assert share_out(amount, claimed) == (tuple(shares.items()), 0)


def test_without_any_call_the_sum_is_left() -> None:
    assert share_out(7, {}) == ((), 7)


@given(
    st.integers(0, 10**20),
    st.dictionaries(st.text(max_size=3), st.none() | st.integers(0, 10**20), min_size=1),
)
def test_shares_always_add_up(amount: int, claimed: dict[str, int | None]) -> None:
    shares, left = share_out(amount, claimed)
    assert left == 0
    assert sum(share for _, share in shares) == amount
    assert all(share >= 0 for _, share in shares)
    assert [call for call, _ in shares] == list(claimed)
