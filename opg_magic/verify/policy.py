"""Policies: which claims a verdict requires.  They can only tighten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from opg_magic.errors import ConfigError
from opg_magic.models import CLAIM_NAMES, arguments
from opg_magic.models.claims import required_by
from opg_magic.models.prompts import RouteName

_DEFAULT: frozenset[str] = required_by("default")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which claims must pass (``required``), and how many RPCs must agree on the registry entry
    (``rpcs``).

    ``route``: the way that a call must take, None: either.  ``withhold_missing``: withhold an
    answer that lacks the evidence of a required claim.  Every policy also requires what the default
    one does."""

    name: str
    required: frozenset[str] = _DEFAULT
    rpcs: int = 1
    withhold_missing: bool = False
    route: RouteName | None = None

    def __post_init__(self) -> None:
        unknown = self.required - set(CLAIM_NAMES)
        if unknown:
            raise ConfigError(f"No claim is called {', '.join(sorted(unknown))}.")
        object.__setattr__(self, "required", self.required | _DEFAULT)
        object.__setattr__(self, "rpcs", max(1, self.rpcs))


DEFAULT = Policy("default")
STRICT = Policy("strict", rpcs=2, withhold_missing=True)
AUDIT = Policy("audit", required_by("audit"), rpcs=2, withhold_missing=True)

#: Loosest first.
POLICIES = (DEFAULT, STRICT, AUDIT)


def policy(name: str) -> Policy:
    """Return the policy of that name.  Raises :class:`ConfigError` if there is none."""
    for known in POLICIES:
        if isinstance(name, str) and known.name == name:
            return known
    raise ConfigError(
        f"No policy is called {arguments.shown(name)}.",
        hint=f"Policies: {', '.join(p.name for p in POLICIES)}.",
    )


def requiring(base: Policy, claims: Iterable[str], route: RouteName | None = None) -> Policy:
    """Return ``base`` with these claims, and this route, added.  Raises :class:`ConfigError` for an
    unknown claim."""
    own = frozenset(claims)
    more = sorted(own - base.required)
    if route is not None and route != base.route:
        more.append(route)
    widened = Policy(
        "+".join([base.name, *more]),
        base.required | own,
        base.rpcs,
        base.withhold_missing,
        route or base.route,
    )
    return widened if more else base


def combine(*policies: Policy) -> Policy:
    """Return the policy that requires all that these require; without any, the default one.

    Raises :class:`ConfigError` if they require two routes."""
    required = frozenset[str]().union(*(p.required for p in policies))
    rpcs = max((p.rpcs for p in policies), default=1)
    withhold = any(p.withhold_missing for p in policies)
    routes = {p.route for p in policies if p.route is not None}
    if len(routes) > 1:
        raise ConfigError("One policy requires the direct route, another the private one.")
    name = "+".join(dict.fromkeys(p.name for p in policies))
    combined = Policy(name, required, rpcs, withhold, next(iter(routes), None))
    for known in (*POLICIES, *policies):
        if replace(known, name=name) == combined:
            return known
    return combined
