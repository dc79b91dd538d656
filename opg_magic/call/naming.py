"""Which model a name stands for: checked before anything is signed, since a host would be paid to
say that it does not know it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from opg_magic.errors import ArgumentError
from opg_magic.models import arguments
from opg_magic.models.networks import SIM
from opg_magic.settings import prices
from opg_magic.settings.config import DEFAULT_ORIGIN

if TYPE_CHECKING:
    from opg_magic.settings.config import Settings

#: What begins an alias.  No model's name begins so: a reader of the cell sees that it is one.
ALIAS = "@"


def model_for(name: str | None, settings: Settings, network: str | None = None) -> str:
    """Return the model that ``name`` stands for; None is :func:`default_model`.

    ``@fast`` is looked up in the setting ``aliases``.  ``network``: None is the one in the
    settings.  Raises :class:`ArgumentError` with near names for an alias that does not exist, and
    for a model that the price list does not have, unless the setting ``unknown_models`` is
    ``ask`` or the simulated network forwards to a server with models of its own."""
    asked = arguments.optional_text("model", name) or default_model(settings, network)
    if asked.startswith(ALIAS):
        asked = _aliased(asked, settings.get("aliases"))
    simulated = (network or settings.get("network")) == SIM
    listed = prices.load(settings.get("prices_file"), simulated=simulated)
    if (
        listed.knows(asked)
        or settings.get("unknown_models") == "ask"
        or (simulated and _answers_to(asked))
    ):
        return asked
    near = near_names(asked, listed.models)
    meant = f"Did you mean {_either(near)}?" if near else "List all models: %opg models."
    raise ArgumentError(
        f"No model is called {asked[:80]!r}. Nothing was sent.",
        hint=f"{meant} To ask for it anyway: %opg config unknown_models ask",
    )


def default_model(settings: Settings, network: str | None = None) -> str:
    """Return the model that is asked for where nobody names one.

    It is the setting ``model``; on the simulated network the open model that answers there, if you
    have not set another.  ``network``: None is the one in the settings.  Starts nothing."""
    named = str(settings.get("model"))
    if (network or settings.get("network")) != SIM or settings.origin("model") != DEFAULT_ORIGIN:
        return named
    from opg_magic.network import simnet_client

    return simnet_client.answering_model() or named


def near_names(asked: str, names: tuple[str, ...], most: int = 3) -> list[str]:
    """Return the names that may have been meant, the likeliest first: those that hold what was
    asked, then those that are spelt alike."""
    bare = _bare(asked)
    holding = [name for name in names if len(bare) > 2 and bare in _bare(name)]
    by_bare = {_bare(name): name for name in reversed(names)}
    alike = [by_bare[one] for one in get_close_matches(bare, by_bare, n=most, cutoff=0.6)]
    # The nearest spelling first: "gpt-5" is in eight names.
    return list(dict.fromkeys([*alike, *sorted(holding, key=len)]))[:most]


def _bare(name: str) -> str:
    return name.rpartition("/")[2].strip().casefold()


def _aliased(name: str, aliases: dict[str, str]) -> str:
    found = aliases.get(name.removeprefix(ALIAS))
    if found is not None:
        return found
    near = get_close_matches(name, [ALIAS + one for one in aliases], n=1)
    hint = (
        f"Did you mean {near[0]}?"
        if near
        else "Make it, in a shell: opg config aliases.NAME PROVIDER/MODEL"
    )
    raise ArgumentError(f"You have no alias {name[:80]!r}. Nothing was sent.", hint=hint)


def _answers_to(asked: str) -> bool:
    """Whether the simulated hosts answer to a name that is in no list: a server that they forward
    to has models of its own, and so has a file of yours."""
    from opg_magic.network import simnet_client

    return simnet_client.forwards() or asked == simnet_client.answering_model()


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
