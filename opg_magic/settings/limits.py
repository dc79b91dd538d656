"""Spending limits: per call, per kernel, per UTC day over all kernels; who set each, and how it is
raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from opg_magic.errors import LimitExceeded
from opg_magic.models import Money
from opg_magic.models.networks import Token

#: A limit's setting, by the name of its field.
LIMIT_KEYS = {
    "per_call": "max_cost_per_call",
    "per_kernel": "max_cost_per_kernel",
    "per_day": "max_cost_per_day",
}

#: The same of the limits of the private route, where no money moves.
RELAYED_KEYS = {
    "calls_per_day": "max_calls_per_day",
    "tokens_per_day": "max_tokens_per_day",
}

#: Where a call's own maximum comes from.
OPTION = "--max-cost"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be authorised, in base units of the network's payment token; 0 means
    nothing.

    A limit counts what *could* be taken: an authorisation counts with its whole cap until its
    settlement is known. ``origins`` says where each comes from, in the words of the settings, by
    field; not known where it is left out."""

    per_call: int
    per_kernel: int
    per_day: int
    origins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in LIMIT_KEYS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(
                    f"{name} must be a non-negative integer of base units, not {value!r}"
                )

    def tightened(self, max_cost: int | None) -> Limits:
        """With a call's own maximum, which only tightens."""
        if max_cost is None or max_cost >= self.per_call:
            return self
        return replace(self, per_call=max_cost, origins={**self.origins, "per_call": OPTION})

    def check_call(self, cap: int, token: Token) -> None:
        """Refuse an authorisation whose whole ``cap`` exceeds the limit per call
        (:class:`LimitExceeded`)."""
        if cap > self.per_call:
            raise LimitExceeded(
                f"The host asks for a cap of {Money(cap, token)}; the limit per call is "
                f"{Money(self.per_call, token)}"
                f"{self._set_by('per_call')}. Nothing was signed or sent.",
                hint=f"{self._raise('per_call', cap, token)} A host takes no lower cap than the "
                f"one it asks for.",
                cap=cap,
                room=self.per_call,
            )

    def _set_by(self, name: str) -> str:
        origin = self.origins.get(name)
        return (
            "" if not origin else " (the default)" if origin == "default" else f", set by {origin}"
        )

    def _raise(self, name: str, to: int, token: Token) -> str:
        """What raises the limit, for the place that set it."""
        key, amount, origin = (
            LIMIT_KEYS[name],
            Money(to, token).plain,
            self.origins.get(name, "default"),
        )
        if origin == OPTION:
            return f"To allow it: {OPTION} {amount}."
        if origin.startswith("this kernel"):
            return f"To allow it, in this kernel: %opg config {key} {amount}."
        if origin.startswith("environment"):
            return f"To allow it, start the kernel with OPG_{key.upper()}={amount}."
        if origin.startswith("project"):
            return (
                f"To allow it, raise {key} under [tool.opg] in pyproject.toml, then restart the "
                f"kernel."
            )
        return f"To allow it, in a shell: opg config {key} {amount}. Then run the cell again."


_FALLS = "opg_magic lowers a reservation to the settled amount once the chain shows it."


def check(limits: Limits, *, cap: Money, new: bool, used_kernel: int, used_day: int) -> None:
    """Refuse a call that could overstep a limit.

    ``cap`` is the whole cap of the authorisation that would cover the call.  ``new`` says whether
    it comes on top of what is used (``used_kernel``, ``used_day``, base units) or is in there
    already.  Raises :class:`LimitExceeded`, which names the cap, the limit, where that comes from,
    what is used of it, and how it is raised."""
    token = cap.token
    limits.check_call(cap.amount, token)
    for name, label, allowed, used in (
        ("per_kernel", "per kernel", limits.per_kernel, used_kernel),
        ("per_day", "per UTC day, over all kernels,", limits.per_day, used_day),
    ):
        total = used + (cap.amount if new else 0)
        if total <= allowed:
            continue
        state = "is used or reserved already" if new else "is used or reserved (this one included)"
        what = (
            f"an authorisation of up to {cap}" if new else f"the open authorisation of up to {cap}"
        )
        raise LimitExceeded(
            f"The call needs {what}, but the limit {label} is "
            f"{Money(allowed, token)}{limits._set_by(name)}, of which "
            f"{Money(used, token)} {state}. Nothing was signed or sent.",
            hint=f"{limits._raise(name, total, token)} {_FALLS}",
            cap=cap.amount,
            room=max(0, allowed - used),
        )


@dataclass(frozen=True, slots=True)
class RelayedLimits:
    """The most that may be asked on the private route in a UTC day, over all kernels; 0 means
    nothing.  ``origins`` as in :class:`Limits`."""

    calls_per_day: int
    tokens_per_day: int
    origins: Mapping[str, str] = field(default_factory=dict)

    def check(self, *, calls: int, tokens: int, more: int) -> None:
        """Refuse a call that could use ``more`` tokens, if ``calls`` and ``tokens`` are used
        already today.  Raises :class:`LimitExceeded`."""
        for name, used, asked, unit in (
            ("calls_per_day", calls, 1, "calls"),
            ("tokens_per_day", tokens, more, "tokens"),
        ):
            allowed = getattr(self, name)
            if used + asked > allowed:
                key, origin = RELAYED_KEYS[name], self.origins.get(name, "default")
                raise LimitExceeded(
                    f"The call needs up to {asked:,} {unit}; the limit per UTC day is "
                    f"{allowed:,} ({origin}), of which {used:,} are used. Nothing was sent.",
                    hint=f"To allow more, in a shell: opg config {key} {used + asked}. Then run "
                    f"the cell again.",
                )
