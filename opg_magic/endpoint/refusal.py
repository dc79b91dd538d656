"""What a request is answered with instead of an answer, in the form that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opg_magic.models import Verdict

#: Says to OpenAI's clients, which repeat a request by themselves, whether to do so.
SHOULD_RETRY = "x-should-retry"
RECEIPT = "x-opg-receipt"
#: Under this name OpenAI's clients show the receipt beside an answer or an error.
REQUEST_ID = "x-request-id"
VERDICT = "x-opg-verdict"


@dataclass(eq=False)
class Refusal(Exception):
    """An HTTP status, and OpenAI's error object with a field ``opg`` of our own.

    ``param`` names the part of the request that is at fault."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    opg: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The body, as JSON has it."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        if self.opg:
            error["opg"] = dict(self.opg)
        return {"error": error}

    def all_headers(self) -> dict[str, str]:
        """The headers beside the body.  A client must not repeat what may have been paid for."""
        known = {REQUEST_ID: self.headers[RECEIPT]} if RECEIPT in self.headers else {}
        return {SHOULD_RETRY: "false", **known, **self.headers}


def bad_value(param: str, meant: str) -> Refusal:
    """A part of the request is not what it may be."""
    return Refusal(
        400, f"{param} must be {meant}. Nothing was sent.", code="invalid_value", param=param
    )


def unsupported(param: str, why: str = "") -> Refusal:
    """A part of the request that the network does not carry."""
    told = why or "the network's protocol does not carry it"
    return Refusal(
        400,
        f"{param} is not supported: {told}. Nothing was sent.",
        code="unsupported_parameter",
        param=param,
    )


def in_a_header(verdict: Verdict) -> str:
    """A verdict as a header may hold it."""
    return verdict.label.replace(" · ", " ")
