"""A receipt's face: what a display shows of a call, made of its receipt alone.

A reader makes it anew and compares it byte for byte, so nothing in it may depend on version, time,
settings or a library.  Each form is one of a kind: whoever changes a word or a style of the last
one (``third.py``) makes another, and keeps that one for the notebooks that hold it.
``labextension/src/face/third.ts`` makes the same bytes; whole notebooks in ``tests/corpus`` hold
both together.

Words of its own a face has only constants.  From the receipt come the answer, ids, figures and
times; words of the author's kernel stand on it only where the verdict is not VERIFIED."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face import second, third
from opg_magic.receipt.face.answer import answer_html, beginnings, calls_of, rule, signed_text
from opg_magic.receipt.face.figures import REMARKS
from opg_magic.receipt.face.third import CALLS, CALLS_FREE, FORM, FREE, Card, Group, Row, card_of

__all__ = [
    "CALLS",
    "FORM",
    "FORMS",
    "FREE",
    "REMARKS",
    "Card",
    "Group",
    "Row",
    "answer_html",
    "beginnings",
    "card_of",
    "face",
    "free",
    "rule",
    "signed_text",
]


def face(receipt: Receipt, *, show: bool, remarks: tuple[str, ...] = ()) -> dict[str, str]:
    """The three texts of a new display, as :func:`third.face` has them."""
    calls = show and calls_of(receipt) is not None
    return third.face(receipt, show=show, remarks=remarks, calls=calls)


def free(receipt: Receipt, *, show: bool) -> tuple[dict[str, str], str]:
    """What stands before the card of a new display that says more than its receipt: the answer in
    each text, and the line below it."""
    calls = show and calls_of(receipt) is not None
    line = rule(receipt, CALLS_FREE if calls else FREE, show=show, calls=calls)
    return beginnings(receipt, show=show, calls=calls), line


class Form(NamedTuple):
    """How the answer stands before the card (:func:`beginnings`), and what makes the card: None
    where it says more than its receipt holds."""

    former: bool
    calls: bool
    make: Callable[..., Mapping[str, str]] | None


#: The forms that can be made anew, by what the line between answer and card names them.
FORMS = {
    FORM: Form(former=False, calls=False, make=third.face),
    FREE: Form(former=False, calls=False, make=None),
    CALLS: Form(former=False, calls=True, make=partial(third.face, calls=True)),
    CALLS_FREE: Form(former=False, calls=True, make=None),
    second.FORM: Form(former=True, calls=False, make=second.face),
    second.FREE: Form(former=True, calls=False, make=None),
}
