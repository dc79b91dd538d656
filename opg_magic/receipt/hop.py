"""The hop behind the enclave: which provider a host forwarded a request to, as far as it is known.

Nothing tells.  A host is sent a model's name without its provider; the signed request, the signed
answer, the attestation and the registry name none; the name of a model in an answer is the host's
own word.  A later form of receipt may hold more: then it is told here, and everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face.figures import one_line

UNKNOWN = "unknown"
#: What a card says of it.
SENTENCE = "Provider: {}."


@dataclass(frozen=True, slots=True)
class Hop:
    """``provider`` is :data:`UNKNOWN` today.  ``named`` is the model that the answer names, which
    no signature covers; None where it names none."""

    provider: str
    named: str | None

    @property
    def sentence(self) -> str:
        """For a card."""
        return SENTENCE.format(self.provider)

    @property
    def line(self) -> str:
        """For a report, with the only name that comes from there."""
        if self.named is None:
            return self.sentence
        return f"{self.sentence} The answer names {one_line(self.named, 80)}: host's word."

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {"provider": self.provider, "model_named": self.named}


def hop(receipt: Receipt) -> Hop:
    """What is known of the hop of this call."""
    return Hop(UNKNOWN, receipt.document["response"]["model"])
