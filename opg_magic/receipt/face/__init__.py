"""A receipt's face: what a display shows of a call, made of its receipt alone.

A reader makes it anew and compares it byte for byte, so nothing in it may depend on version, time,
settings or a library.  Each form is one of a kind: whoever changes a word or a style of the last
one (``third.py``) makes another, and keeps that one for the notebooks that hold it.
``labextension/src/face/third.ts`` makes the same bytes; whole notebooks in ``tests/corpus`` hold
both together.

Words of its own a face has only constants.  From the receipt come the answer, ids, figures and
times; words of the author's kernel stand on it only where the verdict is not VERIFIED."""

from opg_magic.receipt.face import second
from opg_magic.receipt.face.answer import answer_html, beginnings, rule, signed_text
from opg_magic.receipt.face.figures import REMARKS
from opg_magic.receipt.face.third import FORM, FREE, Card, Group, Row, card_of, face

__all__ = [
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
    "rule",
    "signed_text",
]

#: The forms that can be made anew, by what the line between answer and card names them: whether
#: the answer before it is as ``card 2`` had it, and what makes the card.  None where it says more
#: than its receipt holds.
FORMS = {
    FORM: (False, face),
    FREE: (False, None),
    second.FORM: (True, second.face),
    second.FREE: (True, None),
}
