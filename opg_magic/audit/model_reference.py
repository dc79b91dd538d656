"""The file of reference answers that ``opg audit-model`` records and compares with.

It is its author's word: it names the receipt of each answer, and holds none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opg_magic.audit import model_battery
from opg_magic.audit.model_battery import QUESTIONS
from opg_magic.audit.model_statistics import fewest
from opg_magic.errors import ConfigError, MalformedMessage
from opg_magic.models import strict_json

TYPE = "opg-magic-model-reference"
VERSION = 1
MAX_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Given:
    """One answer as it was read, and the receipt that holds it."""

    answer: str
    receipt: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Answers of one model to the first questions of the battery, each asked equally often."""

    model: str
    network: str
    created_at: str
    answers: tuple[tuple[Given, ...], ...]

    @property
    def repeats(self) -> int:
        """How often each question was asked."""
        return len(self.answers[0])

    @property
    def receipts(self) -> frozenset[str]:
        """The receipts of its answers, which no audit may count as its own."""
        return frozenset(one.receipt for given in self.answers for one in given)

    def to_json(self) -> str:
        """The file's text."""
        document = {
            "type": TYPE,
            "version": VERSION,
            "battery": model_battery.NAME,
            "battery_digest": model_battery.digest(),
            "model": self.model,
            "network": self.network,
            "created_at": self.created_at,
            "questions": [
                {
                    "id": question.id,
                    "answers": [{"answer": g.answer, "receipt": g.receipt} for g in given],
                }
                for question, given in zip(QUESTIONS, self.answers, strict=False)
            ],
        }
        return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def load(path: Path, *, model: str, network: str) -> Reference:
    """Read a reference for ``model`` on ``network``.

    Raises :class:`ConfigError` for a file that cannot be read, that is malformed, or that is of
    another model, network, battery or version."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # a device or a pipe may never end
    except OSError as problem:
        raise ConfigError(
            f"Cannot read the reference {path}: {problem.strerror}. Nothing was sent."
        ) from None
    try:
        document = strict_json.loads(data) if len(data) <= MAX_BYTES else None
        found = _read(document)
    except (MalformedMessage, KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{path} is not a reference of opg audit-model, or is damaged. Nothing was sent.",
            hint="Record one: opg audit-model MODEL --record REF.json --max-cost C",
        ) from None
    for what, there, wanted in (
        ("model", found.model, model),
        ("network", found.network, network),
    ):
        if there != wanted:
            raise ConfigError(
                f"{path} is a reference of the {what} {there[:80]!r}, not of {wanted!r}. "
                "Nothing was sent."
            )
    return found


def _read(document: Any) -> Reference:
    if document["type"] != TYPE:
        raise ValueError("another type")
    if document["version"] != VERSION or isinstance(document["version"], bool):
        raise ConfigError(
            f"This reference has another version than {VERSION}, the one that this opg_magic "
            "reads. Nothing was sent.",
            hint="Record it again, or use the opg_magic that wrote it.",
        )
    battery = (document["battery"], document["battery_digest"])
    if battery != (model_battery.NAME, model_battery.digest()):
        raise ConfigError(
            "This reference answers another battery of questions. Nothing was sent.",
            hint="Record it again, or use the opg_magic that wrote it.",
        )
    rows = document["questions"]
    ids = [row["id"] for row in rows]
    answers = tuple(
        tuple(Given(_text(g["answer"]), _text(g["receipt"])) for g in row["answers"])
        for row in rows
    )
    receipts = [g.receipt for given in answers for g in given]
    if (
        not rows
        or ids != [one.id for one in QUESTIONS[: len(ids)]]
        or len({len(given) for given in answers}) != 1
        or not 2 <= len(answers[0]) <= 20
        or len(rows) < fewest(len(answers[0]))
        or len(set(receipts)) != len(receipts)
    ):
        raise ValueError("not a whole reference")
    return Reference(
        _text(document["model"]),
        _text(document["network"]),
        _text(document["created_at"]),
        answers,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
