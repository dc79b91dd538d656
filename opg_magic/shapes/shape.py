"""A resolved shape: what is sent for it, and how an answer is read by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from opg_magic.errors import ShapeMismatch
from opg_magic.models import Answer
from opg_magic.shapes.reading import Json, code_in, json_in

#: How an answer is shown and read; ``df`` is a table.
Format = Literal["text", "markdown", "json", "code", "df"]
FORMATS: tuple[Format, ...] = ("text", "markdown", "json", "code", "df")

#: What reads JSON that an answer holds.  Raises :class:`ShapeMismatch`.
Reader = Callable[[Json], Any]


FROM_LEDGER = "This answer comes from the ledger. To pay for another one: --fresh, or fresh=True."


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer shall be.

    ``response_format`` goes into the request (None: nothing is asked of the host); ``read`` makes
    data of its JSON (None: there is none to read); ``rows`` says that the data is a list of rows,
    whose ``columns`` are known as far as the schema names them."""

    response_format: Mapping[str, Any] | None = None
    read: Reader | None = None
    format: Format | None = None
    rows: bool = False
    columns: tuple[str, ...] = ()
    #: Data without objects of a user's types: as Python has it, or JSON (``json``).
    plain: Callable[[Any, Literal["python", "json"]], Any] = lambda data, _: data

    def asked(self) -> dict[str, Any]:
        """What a request holds for it, beside the prompt."""
        return {} if self.response_format is None else {"response_format": self.response_format}

    def parse(self, text: str) -> Any:
        """Return the data that ``text`` holds: an object, a list, a table or code.

        Raises :class:`ShapeMismatch` where it does not fit; never anything else."""
        data: Any = None
        if self.read is not None:
            data = self.read(json_in(text))
        elif self.format == "json":
            data = json_in(text).value
        elif self.format == "code":
            data = code_in(text)
        return self._table(data) if self.format == "df" else data

    def fit(self, answer: Answer) -> Answer:
        """Return the checked answer with its ``data``.

        One that calls tools instead has none yet.  Raises :class:`ShapeMismatch` with its receipt:
        the answer is paid for and kept."""
        if answer.tool_calls and not answer.text.strip():
            return answer
        try:
            return replace(answer, data=self.parse(answer.text))
        except ShapeMismatch as problem:
            raise ShapeMismatch(
                problem.message,
                hint=FROM_LEDGER if answer.repeated else None,
                answer=answer,
                verdict=answer.verdict,
                receipt=answer.receipt,
                cost=answer.cost,
                charge=answer.cost.charge,
                receipt_id=answer.receipt.id,
            ) from None

    def output(self, answer: Answer) -> Any:
        """Return the data of an answer that fits as JSON has it: for another program."""
        if answer.data is None or self.read is None:
            return answer.data
        try:
            return self.plain(self.read(json_in(answer.text)), "json")
        except Exception:  # a user's types may not go back
            return json_in(answer.text).value

    def _table(self, data: Any) -> Any:
        from opg_magic.shapes.table import frame

        try:
            return frame(self.plain(data, "python"), self.columns)
        except Exception as problem:  # a user's types may raise whatever they like
            raise ShapeMismatch(
                "The answer fits its schema, but no table can be made of it "
                f"({type(problem).__name__})."
            ) from None


def fitted(answer: Answer, shape: Shape | None) -> Answer:
    """Return the answer with its data, if a shape was asked for.  Raises :class:`ShapeMismatch`."""
    return answer if shape is None else shape.fit(answer)
