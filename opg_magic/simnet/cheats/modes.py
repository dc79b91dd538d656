"""Every cheat and fault by its name."""

from __future__ import annotations

import difflib
from types import ModuleType

from opg_magic.errors import SimnetError
from opg_magic.simnet.cheats import (
    attestation,
    connection,
    faults,
    payment,
    settlement,
    signing,
    streams,
    weights,
)
from opg_magic.simnet.host.conduct import Honest


def _modes(module: ModuleType) -> dict[str, type[Honest]]:
    """The modes written in a module, in their order there."""
    return {
        each.mode: each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Honest)
        and each.__module__ == module.__name__
    }


#: Mode to class, in the order in which ``opg simnet cheats`` lists them.
MODES: dict[str, type[Honest]] = {
    mode: each
    for module in (signing, weights, streams, payment, settlement, connection, attestation, faults)
    for mode, each in _modes(module).items()
}


def make(mode: str) -> Honest:
    """A fresh cheat by its name; ``off`` is honest.  Raises SimnetError if there is none: it names
    the nearest, and how a cheat ends."""
    if mode == Honest.mode:
        return Honest()
    cheat = MODES.get(mode)
    if cheat is None:
        near = difflib.get_close_matches(mode, [*MODES, Honest.mode], n=3, cutoff=0.6)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise SimnetError(
            f"There is no cheat “{mode}”.",
            hint=f"{meant}{Honest.mode} makes the host honest again; opg simnet cheats lists all.",
        )
    return cheat()
