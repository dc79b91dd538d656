"""One exchange by itself: what its bytes and a key prove, without registry and attestation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import (
    Evidence,
    Kind,
    Problem,
    RequestEvidence,
    ResponseEvidence,
    Trust,
    Verdict,
    arguments,
)
from opg_magic.protocol.canonical import CANONICALISER, request_evidence
from opg_magic.protocol.reply import read_reply
from opg_magic.protocol.sse import read_stream
from opg_magic.verify.verdict import judge

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----")


def verify_exchange(
    request: Mapping[str, Any],
    response: Mapping[str, Any] | str,
    *,
    signing_key: bytes | str,
    sent_at: float,
    received_at: float,
    kind: Kind = "chat",
) -> Verdict:
    """Check one exchange that you recorded yourself against a host's signing key.

    ``request`` is the JSON object that was sent; ``response`` is the JSON object that came back,
    its text, or the raw text of an event stream.  ``signing_key`` is DER (SubjectPublicKeyInfo) or
    PEM; times are Unix seconds.

    The verdict is FAILED or UNVERIFIED, because neither registry nor attestation is checked; read
    its claims.  Malformed messages fail a claim and do not raise.  Raises
    :class:`opg_magic.errors.ArgumentError`, a ValueError, for an argument that has the wrong type
    or is not a known kind or a time."""
    arguments.choice("kind", kind, arguments.KINDS)
    if not isinstance(request, Mapping):
        arguments.refuse("request", "the JSON object that was sent (a dict)", request)
    if not isinstance(response, Mapping | str):
        arguments.refuse("response", "a JSON object (a dict) or a text", response)
    if not isinstance(signing_key, bytes | str):
        arguments.refuse("signing_key", "DER bytes or PEM text", signing_key)
    evidence = Evidence(
        request=_request(request, kind),
        response=_response(response, kind),
        sent_at=_moment("sent_at", sent_at),
        received_at=_moment("received_at", received_at),
        signing_key=_der(signing_key),
    )
    # The times are the caller's own word, not an author's.
    return judge(evidence, trust=Trust(asked=frozenset({"freshness"})))


def _request(request: Mapping[str, Any], kind: Kind) -> RequestEvidence:
    try:
        body = json.dumps(request)
    except (TypeError, ValueError, RecursionError):
        body = ""  # no JSON: the request claim says so
    try:
        return request_evidence(body, kind)
    except MalformedMessage:
        return RequestEvidence(kind, body, "", CANONICALISER)


def _response(response: Mapping[str, Any] | str, kind: Kind) -> ResponseEvidence:
    if isinstance(response, str):
        return (
            read_reply(response, kind)
            if response.lstrip().startswith("{")
            else read_stream(response)
        )
    try:
        return read_reply(json.dumps(response), kind)
    except (TypeError, ValueError, RecursionError) as error:
        problem = Problem("framing", f"the answer is not JSON: {error}")
        return ResponseEvidence(
            False, None, None, None, None, hashlib.sha256(b"").hexdigest(), 0, problem=problem
        )


def _moment(name: str, seconds: float) -> datetime:
    moment = arguments.number(name, seconds, 0, math.inf, unit="seconds")
    try:
        return datetime.fromtimestamp(moment, UTC)
    except (OverflowError, OSError, ValueError):
        arguments.refuse(name, "a time in Unix seconds", seconds)


def _der(key: bytes | str) -> bytes:
    """DER as it is; the inside of PEM.  What is neither stays as it is, and the signature claim
    refuses it."""
    text = key if isinstance(key, str) else key.decode("latin-1")
    match = _PEM.fullmatch(text.strip())
    if match is not None:
        try:
            return base64.b64decode("".join(match[1].split()), validate=True)
        except binascii.Error:
            pass
    return key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")
