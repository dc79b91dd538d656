"""Spending limits: per call, per kernel, per UTC day over all kernels."""

from __future__ import annotations

from dataclasses import dataclass

from opg_magic.errors import LimitExceeded
from opg_magic.models import Money
from opg_magic.networks import Token


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be authorised, in base units of the network's payment token; 0 means nothing.

    A limit counts what *could* be taken: an authorisation counts with its whole cap until its settlement is known.
    """

    per_call: int
    per_kernel: int
    per_day: int

    def __post_init__(self) -> None:
        for name in ("per_call", "per_kernel", "per_day"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be a non-negative integer of base units, not {value!r}")

    def check_call(self, cap: int, token: Token) -> None:
        """Refuse an authorisation whose whole ``cap`` exceeds the limit per call (:class:`LimitExceeded`)."""
        if cap > self.per_call:
            raise LimitExceeded(
                f"A call is covered by an authorisation of up to {Money(cap, token)}, but the limit per call is "
                f"{Money(self.per_call, token)}. Nothing was signed or sent.",
                hint=f"To allow it, raise the limit per call to {Money(cap, token)} or more: a host takes no lower cap "
                f"than the one it asks for. {_HINT}",
            )


_HINT = "%opg config shows each limit; only you raise one, in a shell: opg config max_cost_per_… VALUE."
_FALLS = "What is reserved falls to what was really taken once the settlement is seen on the chain. " + _HINT


def check(limits: Limits, *, cap: Money, new: bool, used_kernel: int, used_day: int) -> None:
    """Refuse a call that could overstep a limit.

    ``cap`` is the whole cap of the authorisation that would cover the call.  ``new`` says whether it comes on top of
    what is used (``used_kernel``, ``used_day``, base units) or is in there already.  Raises :class:`LimitExceeded`,
    which names the cap, the limit, and what is used of it.
    """
    token = cap.token
    limits.check_call(cap.amount, token)
    for label, allowed, used in (
        ("per kernel", limits.per_kernel, used_kernel),
        ("per UTC day, over all kernels,", limits.per_day, used_day),
    ):
        total = used + (cap.amount if new else 0)
        if total <= allowed:
            continue
        state = "is used or reserved already" if new else "is used or reserved (this one included)"
        what = f"an authorisation of up to {cap}" if new else f"the open authorisation of up to {cap}"
        raise LimitExceeded(
            f"The call needs {what}, but the limit {label} is {Money(allowed, token)}, of which "
            f"{Money(used, token)} {state}. "
            "Nothing was signed or sent.",
            hint=f"To allow it, raise that limit to {Money(total, token)} or more. {_FALLS}",
        )
