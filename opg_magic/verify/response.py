"""The response claim: the text shown is the text that was signed."""

from __future__ import annotations

from opg_magic.errors import MalformedMessage
from opg_magic.models import Basis, Claim, Evidence, Problem, ResponseEvidence, Trust, strict_json
from opg_magic.protocol import canonical, reply
from opg_magic.protocol.reply import BadShape, is_tool_call_text
from opg_magic.verify._claims import NOTHING_SIGNED, failed, fields_of, missing, passed

#: What an answer carries beside its signed bytes: the host's word.
NOT_SIGNED = ("finish_reason", "model", "usage")

_WHY = {
    "truncated": "The answer was cut short before it was signed.",
    "framing": "The answer does not have the form of an answer.",
    "ambiguous-json": "The answer could be read in more than one way.",
    "too-large": "The answer is too large to be read.",
    "format": "The answer's signed fields do not have the right form.",
    "host-failure": "The host reports failure: there is no answer.",
    "http-status": "The host refused the request: there is no answer.",
    "timeout": "The answer did not come in time.",
    "interrupted": "The call was stopped before the answer was complete.",
    "unsigned": "The answer is complete but not signed.",
}


def check(evidence: Evidence, trust: Trust) -> Claim:
    """Compare the hash of what is shown with the signed one; what is shown must have exactly one
    reading.

    Facts: ``output_hash``, ``reading`` (``text`` or ``tool_calls``), ``not_signed`` (the host's
    word)."""
    response = evidence.response
    problem = response.problem
    if problem is not None:
        sentence = _WHY.get(problem.code, "The answer could not be read.")
        if problem.code in NOTHING_SIGNED:
            return missing("response", sentence, problem.code, problem.message)
        return failed("response", Basis.PROVEN, sentence, problem.code, problem.message)
    fields = fields_of(evidence)
    if isinstance(fields, Problem):
        # Unreadable signed fields are the signature's fault, and named there.
        return missing(
            "response", "Nothing signed says what was answered.", fields.code, fields.message
        )
    fault = _ambiguity(evidence) or _frame_differs(evidence)
    if fault is not None:
        code, reason = fault
        return failed(
            "response",
            Basis.PROVEN,
            "What is shown is not the one reading of the answer.",
            code,
            reason,
        )
    shown = response.text if response.tool_calls is None else response.tool_calls
    try:
        digest = canonical.output_hash(shown or "")
    except UnicodeEncodeError:
        return failed(
            "response",
            Basis.PROVEN,
            _WHY["ambiguous-json"],
            "ambiguous-json",
            "a lone surrogate in the text",
        )
    if digest != fields.output_hash:
        return failed(
            "response",
            Basis.PROVEN,
            "The answer shown is not the answer that was signed.",
            "other-output",
            "the text received is not the text that the host signed",
            output_hash=digest.hex(),
        )
    reading = "text" if response.tool_calls is None else "tool_calls"
    beside = ("text beside tool calls",) if response.unsigned_text else ()
    return passed(
        "response",
        Basis.PROVEN,
        "The answer shown is, byte for byte, the answer that was signed.",
        output_hash=digest.hex(),
        reading=reading,
        not_signed=NOT_SIGNED + beside,
    )


def _ambiguity(evidence: Evidence) -> tuple[str, str] | None:
    """Signed bytes do not say whether they are text or tool calls, and the finish reason is
    unsigned (attack 17).

    The rule that leaves one reading: bytes that are a host's rendering of tool calls are tool calls
    where the request offered tools, and text where it did not; all other bytes are text."""
    response = evidence.response
    calls = response.tool_calls is not None
    if calls == (response.text is not None):
        return "ambiguous-reading", "there must be either text or tool calls"
    if calls != (response.finish_reason == "tool_calls"):
        told, found = ("text", "tool calls") if calls else ("tool calls", "text")
        return "ambiguous-reading", f"the finish reason says {told}, the answer is {found}"
    offered = _tools_offered(evidence)
    if response.tool_calls is not None:
        if not offered:
            return "ambiguous-reading", "the answer calls tools, but the request offered none"
        if not is_tool_call_text(response.tool_calls):
            return "ambiguous-reading", "what is shown as tool calls is not one"
    elif offered and is_tool_call_text(response.text or ""):
        return (
            "ambiguous-reading",
            "the text is a list of tool calls, and the request offered tools",
        )
    return None


def _tools_offered(evidence: Evidence) -> bool:
    try:
        body = strict_json.loads(evidence.request.body)
    except MalformedMessage:
        return False
    return evidence.request.kind == "chat" and isinstance(body, dict) and bool(body.get("tools"))


def _frame_differs(evidence: Evidence) -> tuple[str, str] | None:
    """What is shown beside the frame must be what the frame says, as far as it says it."""
    response = evidence.response
    message = strict_json.loads(response.frame or "")  # parsed before: fields_of() has read it
    try:
        told = (
            _told_by_stream(response, message)
            if response.stream
            else _told_by_reply(evidence, message)
        )
    except BadShape as error:
        return "framing", str(error)
    shown = (response.text, response.tool_calls, response.finish_reason)
    return (
        None
        if told == shown
        else ("frame-differs", "what is shown is not what the signed frame says")
    )


def _told_by_stream(
    response: ResponseEvidence, message: dict[str, object]
) -> tuple[str | None, str | None, str | None]:
    # Of a stream the last chunk alone is kept: it tells the finish reason, where it does.
    choice = reply.only_choice(message)
    finish = None if choice is None else reply.finish_reason_of(choice)
    return response.text, response.tool_calls, response.finish_reason if finish is None else finish


def _told_by_reply(
    evidence: Evidence, message: dict[str, object]
) -> tuple[str | None, str | None, str | None]:
    return reply.read_message(message, evidence.request.kind)[:3]
