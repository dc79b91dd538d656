"""What a notebook asks again, as in "Run All": the recorded answer, at no cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opg_magic.call.notebook_place import notebook_name
from opg_magic.models import Prompt
from opg_magic.receipt.thread import thread_of

if TYPE_CHECKING:
    from opg_magic.call.state import CallOptions
    from opg_magic.receipt.document import Receipt

#: Values of ``on_repeat``.
_PAY, _SAMPLED = "pay", "ask-ledger-sampled"

#: What an answer says that came this way.
SAID = "out of the ledger: this notebook had asked the same; nothing was sent or paid"


def may_repeat(prompt: Prompt, options: CallOptions, on_repeat: str) -> bool:
    """Return whether a recorded answer will do.

    A sampled one (a temperature above 0) is another each time, so it counts only where
    ``on_repeat`` says so.  Where the notebook is not known, everything is paid for."""
    if options.fresh or on_repeat == _PAY or notebook_name() is None:
        return False
    return not prompt.temperature or on_repeat == _SAMPLED


def is_same(receipt: Receipt, prompt: Prompt, options: CallOptions) -> bool:
    """Return whether a receipt of the same request is from this notebook, and such a call as these
    options ask for."""
    document = receipt.document
    return (
        document["notebook"]["name"] == notebook_name()
        and is_such(receipt, prompt, options)
        # Another chat, or none: the receipt would not tell of this one.
        and thread_of(document) == prompt.thread
    )


def is_such(receipt: Receipt, prompt: Prompt, options: CallOptions) -> bool:
    """Return whether a receipt is of the host, the route and the settlement that a call asks
    for."""
    document = receipt.document
    host = (document["host"] or {}).get("tee_id", "").removeprefix("0x")
    route = "direct" if document.get("sealed") is None else "private"
    return (
        document["request"]["settlement"] == prompt.settle
        and host.startswith((options.host or "").strip().lower().removeprefix("0x"))
        and options.route in (None, route)
    )


__all__ = ["SAID", "is_same", "is_such", "may_repeat"]
