"""What a cell shows beside its receipts, where these imply it: the question before a model's
functions run, the error of a paid answer that has another shape or was withheld, the answer as a
table or as text.

All are made anew of signed bytes and compared, byte for byte.  What only the author's machine knew
(that somebody typed yes, that a function ran) is said in a note.  The browser does the same
(``labextension/src/audit/implied.ts``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from opg_magic.audit.findings import Level
from opg_magic.audit.notebook import Beside, Cell
from opg_magic.audit.sources import joined
from opg_magic.errors import (
    AnswerWithheld,
    CallFailed,
    MalformedMessage,
    ShapeMismatch,
    ToolsStopped,
    read_all_the_same,
)
from opg_magic.models import Charge, Verdict, strict_json
from opg_magic.receipt import calls
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face import formats
from opg_magic.receipt.face.figures import one_line, told
from opg_magic.receipt.thread import messages_of, thread_of
from opg_magic.shapes import misfit, rows_in
from opg_magic.shapes.shape import FROM_LEDGER
from opg_magic.verify.policy import POLICIES

Fault = tuple[Level, str, str]

#: All that is said of such outputs; the browser has the same (``scripts/vocabulary.py``).
BESIDE: Fault = ("incomplete", "beside", "This cell also shows output that no receipt covers.")
OTHER_QUESTION: Fault = (
    "failed",
    "shown-question",
    "The question that the cell shows is not about the calls that the receipt above it holds.",
)
OTHER_ANSWER: Fault = (
    "failed",
    "shown-question",
    "The cell shows a no to its question, and the next receipt holds what the calls returned.",
)
OTHER_ERROR: Fault = (
    "failed",
    "shown-error",
    "The error that the cell shows is not the one that its receipts lead to.",
)
WORDS_NOT_COMPARED: Fault = (
    "incomplete",
    "not-compared",
    "Why something does not fit is told in words of a library or a type of the author's; those "
    "were not compared with anything.",
)
TOOLS: Fault = (
    "note",
    "tools",
    "The host signed which functions the model asked for, and the next request holds what they "
    "returned. That they ran, and that somebody agreed, is the author's word.",
)
#: What is typed below a question; a front end puts a space of its own before it.
_YES, _NO = re.compile(r" *[yY](?:[eE][sS])? *\n"), re.compile(r" *(?:[nN][oO]?)? *\n")
#: Longest reason that a card tells whole.
_CARD = 160
#: Longest message of an error of which a library's words are a part.
MOST_WORDS = 1500


def beside_faults(cell: Cell, receipts: Sequence[Receipt | None]) -> list[Fault]:
    """Return what is to be said of a cell's outputs that bear no receipt, each thing once.

    ``receipts``: those of its displays, None where one cannot be read."""
    found: list[Fault] = []
    covered = False
    for other in cell.others:
        above = [receipt for receipt in receipts[: other.before] if receipt is not None]
        below = receipts[other.before] if other.before < len(receipts) else None
        fault = _fault(other, above, below)
        covered = covered or fault is None
        if fault is not None and fault not in found:
            found.append(fault)
    results = any(_results(receipt) for receipt in receipts if receipt is not None)
    questioned = any(_is_question(other) for other in cell.others)
    return [*found, TOOLS] if results or (covered and questioned) else found


def _fault(other: Beside, above: Sequence[Receipt], below: Receipt | None) -> Fault | None:
    """What is wrong with one output; None if the receipts imply it."""
    output = other.output
    if output is None:
        return BESIDE
    if below is not None and output.get("output_type") == "display_data":
        return None if _is_in_a_format(output, below) else BESIDE
    if not above:
        return BESIDE
    if set(output) == {"output_type", "name", "text"} and output["output_type"] == "stream":
        text = joined(output["text"])
        if text is None or not calls.looks_like_a_question(text):
            return BESIDE
        return _of_question(output["name"], text, above[-1], below)
    if output.get("output_type") == "error" and output.get("ename") in _ERRORS:
        return _of_error(output, above)
    if any(_is_of_withheld(output, receipt) for receipt in above):
        return None
    return BESIDE


def _is_question(other: Beside) -> bool:
    text = None if other.output is None else joined(other.output.get("text"))
    return text is not None and calls.looks_like_a_question(text)


def _is_in_a_format(output: Mapping[str, Any], receipt: Receipt) -> bool:
    """Whether an output is the answer of the card below it, as its text or as a table."""
    data, text = output.get("data"), receipt.document["response"]["text"]
    if not isinstance(data, dict) or output.get("metadata") != {}:
        return False
    if not text or receipt.withheld:
        return False
    shown = {type: joined(content) for type, content in data.items()}
    return shown in _formats(receipt.document["request"]["body"], text)


@lru_cache(maxsize=8)
def _formats(body: str, text: str) -> tuple[Mapping[str, str], ...]:
    """An answer in the formats that a cell may ask for."""
    found = rows_in(_read(body).get("response_format"), text)
    table = () if found is None else (formats.table_bundle(*found),)
    return (formats.text_bundle(text), *table)


# --------------------------------------------------------------------------------- the question


def _of_question(name: Any, text: str, asked: Receipt, below: Receipt | None) -> Fault | None:
    wanted = calls.read_calls(asked.document["response"]["tool_calls"])
    if name != "stdin" or wanted is None:
        return OTHER_QUESTION
    lines = text.split("\n")
    told = lines[1 : 1 + len(wanted)]
    if len(told) < len(wanted):
        return OTHER_QUESTION
    offered = _offered(asked)
    in_words = False
    for shown, call in zip(told, wanted, strict=True):
        whole = calls.call_text(call.name, call.arguments)
        if f"  {whole}" == shown and call.name in offered and _is_json(call.arguments):
            continue
        problem = misfit.call_problem(offered, call.name, call.arguments)
        if problem is not None and f"  {calls.unrun_text(whole, problem)}" == shown:
            continue
        if call.name not in offered or not shown.startswith(
            f"  {calls.unrun_text(whole, misfit.BY_TYPE)} "
        ):
            return OTHER_QUESTION
        in_words = True
    question = calls.question([line.removeprefix("  ") for line in told]).rstrip(" ")
    if not text.startswith(question):
        return OTHER_QUESTION
    typed = text.removeprefix(question)
    goes_on = below is not None and _continues(below, asked)
    if _NO.fullmatch(typed) and goes_on:
        return OTHER_ANSWER
    if not (_NO.fullmatch(typed) or (_YES.fullmatch(typed) and goes_on)):
        return BESIDE
    return WORDS_NOT_COMPARED if in_words else None


def _is_json(arguments: str) -> bool:
    try:
        strict_json.loads(arguments)
    except MalformedMessage:
        return False
    return True


def _body(receipt: Receipt) -> Mapping[str, Any]:
    return _read(receipt.document["request"]["body"])


def _read(body: str) -> Mapping[str, Any]:
    try:
        read = strict_json.loads(body)
    except MalformedMessage:
        return {}
    return read if isinstance(read, dict) else {}


def _offered(receipt: Receipt) -> dict[str, Any]:
    """The definitions of the functions that a request offers, by name."""
    tools = _body(receipt).get("tools")
    found: dict[str, Any] = {}
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found[function["name"]] = tool
    return found


def _continues(later: Receipt, earlier: Receipt) -> bool:
    """Whether a request sends on the answer of another call, with results."""
    thread = thread_of(later.document)
    last = thread.earlier[-1] if thread is not None and thread.earlier else None
    digest = earlier.original().computed_digest
    return last is not None and last.digest == digest and _results(later)


def _results(receipt: Receipt) -> bool:
    """Whether a request ends in what functions returned."""
    messages = messages_of(receipt.document)
    return bool(messages) and messages[-1].get("role") == "tool"


# ------------------------------------------------------------------------------------ the errors


def _of_error(output: Mapping[str, Any], above: Sequence[Receipt]) -> Fault | None:
    shown, text = dict(output), output.get("traceback")
    end = str(text[-1])[-40:] if isinstance(text, list) and text else ""
    makes = _ERRORS[output["ename"]]
    # It names its receipt: no other is made anew.
    named = [receipt for receipt in reversed(above) if end.endswith(f" {receipt.id}")]
    for receipt in named:
        for message, hint in makes(receipt, len(above)):
            if shown in _outputs(output["ename"], message, hint, receipt):
                return None
    value = output.get("evalue")
    if output["ename"] == ShapeMismatch.__name__ and isinstance(value, str):
        for hint in (None, FROM_LEDGER):
            message = value if hint is None else value.removesuffix(f"\n{hint}")
            if not message.startswith(misfit.IN_WORDS) or len(message) > MOST_WORDS:
                continue
            if "\n" not in message and any(
                shown in _outputs(output["ename"], message, hint, receipt) for receipt in named
            ):
                return WORDS_NOT_COMPARED
    return OTHER_ERROR


def _is_of_withheld(output: Mapping[str, Any], receipt: Receipt) -> bool:
    """Whether an output is the error below the card of this withheld answer.  Any other error of
    that name may be honest as well: what was learnt since is not in the receipt."""
    verdict = receipt.original().verdict_at_creation
    if verdict is None or not verdict.withheld or not _is_on_the_card(verdict):
        return False
    error = AnswerWithheld(
        verdict.withheld_because, hint=read_all_the_same(receipt.id), receipt_id=receipt.id
    )
    error.shown = True
    return dict(output) == _output(error)


def _is_on_the_card(verdict: Verdict) -> bool:
    """Whether the card says why, too: the error would else carry any words of the author's kernel
    past the reader."""
    failed = verdict.failed_claims
    known = any(verdict.policy == policy.name for policy in POLICIES)
    if not failed and (len(verdict.because) != 1 or not known):
        return False
    words = failed[0].reason or failed[0].sentence if failed else verdict.because[0]
    return one_line(words, len(words)) == words and told(words, _CARD) == told(words, len(words))


def _output(error: CallFailed) -> dict[str, Any]:
    return {
        "output_type": "error",
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": error._render_traceback_(),
    }


def _outputs(name: str, message: str, hint: str | None, receipt: Receipt) -> list[dict[str, Any]]:
    """An error as a cell shows it: of what was charged, the chain may have told more since."""
    kind: type[CallFailed] = ShapeMismatch if name == ShapeMismatch.__name__ else ToolsStopped
    return [
        _output(kind(message, hint=hint, charge=charge, receipt_id=receipt.id))
        for charge in _charges(receipt)
    ]


def _charges(receipt: Receipt) -> list[str]:
    payment = receipt.document["payment"]
    if payment is None:
        return [Charge.NONE]
    said = Charge(payment["charge"])
    first = Charge.CLAIMED if said is Charge.CHARGED else said
    return [first, Charge.CHARGED, Charge.NONE] if "settled" in payment else [first]


def _misfits(receipt: Receipt, _rounds: int) -> Iterator[tuple[str, str | None]]:
    message = _reason(
        receipt.document["request"]["body"], receipt.document["response"]["text"] or ""
    )
    if message is not None:
        yield message, None
        yield message, FROM_LEDGER


@lru_cache(maxsize=8)
def _reason(body: str, text: str) -> str | None:
    """Why an answer's text does not have the form that its request asks for."""
    response_format = _read(body).get("response_format")
    return None if response_format is None else misfit.reason(response_format, text)


def _stops(receipt: Receipt, rounds: int) -> Iterator[tuple[str, str | None]]:
    wanted = calls.read_calls(receipt.document["response"]["tool_calls"])
    if wanted is None:
        return
    yield calls.stopped(receipt.id, calls.NOT_CONFIRMED), None
    yield calls.stopped(receipt.id, calls.NOBODY), calls.UNASKED
    yield calls.stopped(receipt.id, calls.still_asks(rounds)), None
    shown = [calls.call_text(call.name, call.arguments) for call in wanted]
    if sum(map(len, shown)) > calls.MOST_SHOWN:
        yield calls.stopped(receipt.id, calls.TOO_LONG), None


_ERRORS = {ShapeMismatch.__name__: _misfits, ToolsStopped.__name__: _stops}
