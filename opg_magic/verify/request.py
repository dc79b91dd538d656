"""The request claim: the host signed the request that we sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import Basis, Claim, Evidence, Problem, RequestEvidence, Trust, strict_json
from opg_magic.protocol import canonical
from opg_magic.verify._claims import failed, fields_of, missing, passed

SENTENCE = "The host signed the request that was sent."
#: So many parts that no signature covers are named in the sentence.
_MOST_NAMED = 12


def check(evidence: Evidence, trust: Trust) -> Claim:
    """Recompute the canonical request from the JSON text that was sent, and compare its hash with
    the signed one.

    All known versions of the rules are tried, the recorded one first.  Facts: ``canonicaliser``
    (which matched), ``request_hash``, ``not_signed`` (what the request asks and no signature
    covers), ``attachments_by_name`` (the hash covers attachments by type and file name only)."""
    request = evidence.request
    try:
        body = _body(request)
    except MalformedMessage as error:
        return failed(
            "request",
            Basis.PROVEN,
            "The request cannot be read in one way only.",
            error.code,
            error.message,
        )
    try:
        forms = {
            version: canonical.canonicalise(request.kind, body, version)
            for version in _versions(request, body)
        }
    except MalformedMessage as error:
        return failed(
            "request", Basis.PROVEN, "No host takes such a request.", error.code, error.message
        )
    if request.canonical not in forms.values():
        return failed(
            "request",
            Basis.PROVEN,
            "The recorded request does not fit itself.",
            "canonical-differs",
            "the canonical request kept is not that of the JSON kept",
        )
    fields = fields_of(evidence)
    if isinstance(fields, Problem):
        return missing(
            "request",
            "Nothing signed says which request was answered.",
            fields.code,
            fields.message,
        )
    return _compared(request, body, forms, fields.request_hash)


def _compared(
    request: RequestEvidence, body: dict[str, Any], forms: Mapping[str, str], signed: bytes
) -> Claim:
    """Passed by the first of the known forms whose hash is the signed one."""
    for version, text in forms.items():
        if canonical.request_hash(text) == signed:
            unsigned = canonical.unsigned_parts(request.kind, body, version)
            return passed(
                "request",
                Basis.PROVEN,
                sentence(unsigned),
                canonicaliser=version,
                request_hash=signed.hex(),
                not_signed=unsigned,
                attachments_by_name=canonical.rules_of(version) == canonical.NEWER
                and _has_attachments(body),
            )
    return failed(
        "request",
        Basis.PROVEN,
        "The host signed another request than the one that was sent.",
        "other-request",
        f"the host signed the hash {signed.hex()[:8]}…, which is not this request's",
        request_hash=signed.hex(),
    )


def sentence(unsigned: tuple[str, ...]) -> str:
    """What the claim says; what no signature covers is named, so that nobody takes it for
    signed."""
    names = [name for name in unsigned if name not in canonical.TRANSPORT]
    if not names:
        return SENTENCE
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    listed = ", ".join(names[:_MOST_NAMED])
    return f"The host signed the request, but not all of it: no signature covers {listed}{more}."


def _body(request: RequestEvidence) -> dict[str, Any]:
    body = strict_json.loads(request.body)
    if not isinstance(body, dict):
        raise MalformedMessage("the request is not a JSON object", code="request")
    return body


def _versions(request: RequestEvidence, body: dict[str, Any]) -> tuple[str, ...]:
    """All known versions, the recorded one first: where several agree, it is the one that is
    named."""
    known = canonical.canonicalisers(request.kind, body)
    first = tuple(version for version in known if version == request.canonicaliser)
    return first + tuple(version for version in known if version not in first)


def _has_attachments(body: dict[str, Any]) -> bool:
    contents = (message.get("content") for message in body["messages"])
    return any(
        not isinstance(part, dict) or part.get("type") != "text"
        for content in contents
        if isinstance(content, list)
        for part in content
    )
