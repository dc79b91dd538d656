"""What stands at the end of a card: what to know of the money, of a withheld text, and how to check
it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opg_magic.display import words
from opg_magic.models import Charge

if TYPE_CHECKING:
    from opg_magic.models import Cost
    from opg_magic.receipt.document import Receipt


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence, perhaps with a command to type, perhaps with words after it."""

    text: str
    code: str | None = None
    after: str = ""


def of_withheld(receipt: Receipt, *, streamed: bool) -> list[Note]:
    notes = []
    if streamed:
        notes.append(
            Note(
                "The text was on show while it streamed, before the check, and may have been read. "
                "It is removed."
            )
        )
    if receipt.text is not None:
        notes.append(
            Note(
                f"Kept as receipt {receipt.id}. To read the text all the same:",
                f"%opg show {receipt.id} --unverified",
            )
        )
    return notes


def of_cost(cost: Cost) -> list[Note]:
    """What is known of the charge."""
    if cost.charge is Charge.NONE or cost.cap is None:
        return []
    price = ""
    if cost.price is not None and cost.amount is not None:
        known = cost.price
        price = f", at ${known.input_usd}/${known.output_usd} a million tokens ({known.as_of})"
    if cost.charge is Charge.UNKNOWN:
        return [
            Note(
                f"Whether it was charged is not known yet; at most {cost.cap} can be. It is never "
                f"paid twice by itself."
            )
        ]
    if cost.settled is not None:
        claimed = (
            f"; the host's figure is {words.figure(cost.amount)}{price}"
            if cost.amount is not None
            else ""
        )
        return [
            Note(f"Settled on the payment chain: {cost.settled} of at most {cost.cap}{claimed}.")
        ]
    return [
        Note(
            f"Claimed by the host{price}; not seen on the payment chain yet, where at most "
            f"{cost.cap} can be taken."
        )
    ]


def check_it(receipt: Receipt) -> Note:
    """The command that verifies this receipt."""
    flag = " --allow-simulated" if receipt.simulated else ""
    made_in = receipt.document["notebook"]
    if made_in["name"] is None and made_in["cell"] is None:
        # Not from a cell: no notebook holds the receipt.
        file = f"{receipt.id}.json"
        return Note(
            "Check it yourself:", f"opg show {receipt.id} --json > {file}; opg verify {file}{flag}"
        )
    name = made_in["name"] or "notebook.ipynb"
    file = words.one_line(name.replace("\\", "/").rpartition("/")[2], 120)
    quoted = f"'{file}'" if any(c in file for c in " ()&;$") else file
    return Note("Check it yourself:", f"opg verify {quoted} --receipt {receipt.id}{flag}")


def of_end(
    charge: Charge | None, receipt_id: str | None, *, streamed: bool, hint: str | None
) -> list[Note]:
    """What to know of a call that ended without a usable answer."""
    said = []
    if streamed:
        said.append(
            Note("Text that had streamed was never checked and is removed; it may have been read.")
        )
    if hint:
        said.append(Note(words.one_line(hint)))
    if charge is Charge.UNKNOWN:
        said.append(
            Note(
                "It is never paid again by itself; what was taken is looked up later by its nonce:",
                "%opg cost",
            )
        )
    if receipt_id:
        said.append(Note(f"Kept as receipt {receipt_id}:", f"%opg show {receipt_id}"))
    return said
