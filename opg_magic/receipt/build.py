"""A receipt out of one call: what was asked, the evidence, the verdict and the cost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from opg_magic import __version__
from opg_magic.models import Cost, Evidence, Prompt, Verdict, strict_json
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.receipt import parts
from opg_magic.receipt.document import TYPE, VERSION, Receipt
from opg_magic.receipt.form import MAX_BYTES, canonical_bytes, digest_of
from opg_magic.receipt.parts.checked import verdict_json
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import b64, clean, cleaned, clip, iso
from opg_magic.receipt.question import asked
from opg_magic.receipt.secret_scan import HoldsSecret, holds

#: Longest request body with which a receipt stays under :data:`MAX_BYTES`; refuse longer ones
#: before paying.
MAX_REQUEST_BYTES = 4 * 1024 * 1024


def build_receipt(
    *,
    id: str,
    created_at: datetime,
    network: Network,
    prompt: Prompt,
    evidence: Evidence,
    verdict: Verdict | None,
    cost: Cost | None = None,
    kernel: str | None = None,
    notebook: str | None = None,
    cell: int | None = None,
    model_sent: str | None = None,
    checked_at: datetime | None = None,
    software: str | None = None,
    secrets: Iterable[Secret[str]] = (),
) -> Receipt:
    """The receipt of one call, also of one that failed or was withheld.

    ``kernel`` is the kernel's id, ``notebook`` its file name where known, ``cell`` the execution
    count.  A call that got no response has a ``Problem`` in its evidence and no frame; ``verdict``
    is None where nothing was judged. :class:`HoldsSecret` if one of ``secrets`` (session id,
    payment signature) would stand in it: nothing is rewritten.

    Otherwise never fails because of what a host sent: text that is no Unicode and unsigned fields
    that are too long are mended, and a response that would make the receipt longer than
    :data:`MAX_BYTES` is kept by digest with the problem ``too-large``."""
    document = {
        "type": TYPE,
        "version": VERSION,
        "id": id,
        "created_at": iso(created_at),
        "software": software or f"opg_magic {__version__}",
        "network": _network(network),
        "notebook": {"name": clip(notebook, 1024), "kernel": clip(kernel, 256), "cell": cell},
        "prompt": _prompt(prompt, evidence),
        "request": _request(prompt, evidence, model_sent),
        **_thread(prompt),
        "sent_at": iso(evidence.sent_at),
        "received_at": iso(evidence.received_at),
        "signing_key": b64(evidence.signing_key),
        "checked": verdict_json(verdict, checked_at or datetime.now(UTC)),
        **parts.written(Judged(evidence, verdict, cost)),
    }
    document = cleaned(document)
    written = _checked(document, secrets)
    if len(written) > MAX_BYTES - 256:
        _leave_the_answer_out(document["response"])
        written = canonical_bytes(document)
    document["digest"] = digest_of(written)
    return Receipt(document)


def source_sha256(source: str) -> str:
    """SHA-256 (hex) of a cell's source, such that the notebook file and the running kernel give the
    same.

    Line ends, empty lines before and after, and the spaces around the magic's own line do not
    count: IPython changes them on the way from the cell to the magic."""
    first, newline, body = source.replace("\r\n", "\n").replace("\r", "\n").lstrip().partition("\n")
    name, _, line = first.strip().partition(" ")
    text = f"{name} {line.strip()}".strip() + newline + body
    return hashlib.sha256(clean(text).rstrip("\n").encode()).hexdigest()


def _network(network: Network) -> dict[str, Any]:
    return {
        "name": network.name,
        "simulated": network.simulated,
        "run_id": network.run_id,
        "registry_chain_id": network.registry_chain_id,
        "registry_address": network.registry_address,
        "payment_chain_id": network.payment_chain_id,
    }


def _prompt(prompt: Prompt, evidence: Evidence) -> dict[str, Any]:
    text = prompt.text
    if prompt.messages is not None:
        found = asked(evidence.request.kind, evidence.request.body)
        text = (found and found.prompt) or prompt.text
    return {
        "text": text,
        "template": prompt.template,
        "variables": list(prompt.variables),
        "source_sha256": source_sha256(prompt.source) if prompt.source is not None else None,
    }


def _request(prompt: Prompt, evidence: Evidence, model_sent: str | None) -> dict[str, Any]:
    request = evidence.request
    return {
        "kind": request.kind,
        "body": request.body,
        "canonical": request.canonical,
        "canonicaliser": request.canonicaliser,
        "model_requested": clip(prompt.model, 256),
        "model_sent": clip(model_sent if model_sent is not None else _model_in(request.body), 256),
        "stream": prompt.stream,
        "settlement": prompt.settle,
    }


def _thread(prompt: Prompt) -> dict[str, Any]:
    """The part of a call that continues a conversation; other receipts have the bytes that they
    always had."""
    if prompt.thread is None:
        return {}
    earlier = [
        {"receipt": one.receipt_id, "digest": one.digest, "messages": one.messages}
        for one in prompt.thread.earlier
    ]
    return {"thread": {"name": prompt.thread.name, "earlier": earlier}}


def _checked(document: dict[str, Any], secrets: Iterable[Secret[str]]) -> bytes:
    """The document's bytes; :class:`HoldsSecret` if one of ``secrets`` stands in it."""
    written = canonical_bytes(document)
    if holds(written, secrets):
        raise HoldsSecret
    return written


def _leave_the_answer_out(response: dict[str, Any]) -> None:
    response.update(text=None, tool_calls=None, frame=None, unsigned_text=None)
    response["problem"] = {
        "code": "too-large",
        "message": f"The answer is too long for a receipt (more than {MAX_BYTES} bytes); only "
        f"its digest is kept.",
    }


def _model_in(body: str) -> str | None:
    try:
        parsed = strict_json.loads_leniently(body)
    except ValueError:
        return None
    model = parsed.get("model") if isinstance(parsed, dict) else None
    return model if isinstance(model, str) else None
