"""What a part of a receipt is made from, and what the module of a part has to offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from opg_magic.models import Cost, Evidence, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """One call when its receipt is made: its evidence, the verdict over it and its cost, where
    there are any."""

    evidence: Evidence
    verdict: Verdict | None = None
    cost: Cost | None = None


class Part(Protocol):
    """The module of one part: the key in the document, and the field of
    :class:`~opg_magic.models.Evidence`, that bear its name."""

    def write(self, judged: Judged) -> dict[str, Any] | None:
        """The part as JSON data; None where there is no such evidence."""

    def read(self, document: Mapping[str, Any]) -> Any:
        """The evidence out of a whole document that has the published form; None where there is
        none.

        Raises:
            ValueError: a value that the schema lets pass and that cannot be.
        """
