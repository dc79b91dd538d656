"""A receipt as the ledger stores it: its document without the bytes that many receipts share, and
those bytes once.

What is read is compared with the digest under which it was saved, and the row's columns with the
document: a row that was edited behind the ledger's back is never taken for the receipt that it was.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from opg_magic.receipt.document import signature_key, signature_of
from opg_magic.receipt.form import digest
from opg_magic.receipt.supplements import SupplementKind

#: Where a receipt's document holds bytes that many receipts share.
_SHARED = (
    ("signing_key",),
    ("host", "public_key"),
    ("host", "tls_certificate"),
    ("registry", "entry", "public_key"),
    ("registry", "entry", "tls_certificate"),
    ("attestation", "document"),
)


#: Such a reference in a stored document's text.
_REFERENCE = re.compile(r'\{"blob":"([0-9a-f]{64})"\}')

#: Gives the bytes with a SHA-256 (hex) as base64; None if they are not there.
Content = Callable[[str], str | None]


class Damaged(ValueError):
    """The row is not as it was saved; the message says in what."""


def columns_of(d: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in columns beside the document, so that SQL can search and add up; all of it is
    in the document."""
    run_id, payment, checked = d["network"]["run_id"], d["payment"], d["checked"]
    return {
        "id": d["id"],
        "created_at": d["created_at"],
        "kernel": d["notebook"]["kernel"],
        "network": f"{d['network']['name']}:{run_id}" if run_id else d["network"]["name"],
        "simulated": int(d["network"]["simulated"]),
        "notebook": d["notebook"]["name"],
        "model": d["request"]["model_requested"],
        "verdict": checked["verdict"] if checked else None,
        "charge": payment["charge"] if payment else None,
        "token": f"{payment['token']['chain_id']}:{payment['token']['address'].lower()}"
        if payment
        else None,
        "cost": payment["cost"]["amount"] if payment and payment["cost"] else None,
        "digest": d["digest"],
    }


def slim(row: Mapping[str, Any], content: Content) -> dict[str, Any]:
    """The document of a row of ``receipts``, checked, without the shared bytes; raises
    :class:`Damaged`."""
    document = _document(row)
    if not _is_as_saved(row, document, content):
        whole(row, content)
    _compare(row, document)
    return document


def whole(row: Mapping[str, Any], content: Content) -> dict[str, Any]:
    """The whole document of a row of ``receipts``, checked; raises :class:`Damaged`."""
    document = _document(row)
    for holder, key in shared_places(document):
        reference = holder[key]
        if isinstance(reference, dict):
            bytes_there = content(str(reference.get("blob")))
            if bytes_there is None:
                raise Damaged("bytes that it refers to are missing")
            holder[key] = bytes_there
    if not document.get("digest") == digest(document) == row["digest"]:
        raise Damaged("its document is not the one that was saved")
    _compare(row, document)
    if row["signature_sha256"] != signature_key(signature_of(document["response"]["frame"])):
        raise Damaged("its column signature_sha256 is not what its document says")
    return document


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        document = json.loads(row["document"])
    except (ValueError, TypeError, RecursionError):
        raise Damaged("its document is not JSON") from None
    if not isinstance(document, dict):
        raise Damaged("its document is not the one that was saved")
    return document


def _is_as_saved(row: Mapping[str, Any], document: dict[str, Any], content: Content) -> bool:
    """Whether the stored text is that of the saved digest.  No is not yet damaged: :func:`whole`
    looks again, slowly.

    The text is canonical, so the bytes that were digested come of it by putting the shared ones
    back in."""
    stated = f'"digest":"{row["digest"]}",'
    text: str = row["document"]
    references = _REFERENCE.findall(text)
    there = [content(sha256) for sha256 in references]
    if None in there or text.count(stated) != 1 or document.get("digest") != row["digest"]:
        return False
    # A reference anywhere else would be read as something else than what was digested.
    if len(references) != sum(
        isinstance(holder[key], dict) for holder, key in shared_places(document)
    ):
        return False
    pieces = iter(there)
    text = _REFERENCE.sub(lambda _: f'"{next(pieces)}"', text.replace(stated, ""))
    return (
        str(row["digest"])
        == "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    )


def _compare(row: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    try:
        wanted = columns_of(document)
    except (KeyError, TypeError, AttributeError):
        raise Damaged("its document is not a receipt") from None
    for name, value in wanted.items():
        if row[name] != value:
            raise Damaged(f"its column {name} is not what its document says")


def later_parts(
    rows: list[Mapping[str, Any]], document: Mapping[str, Any]
) -> dict[SupplementKind, dict[str, Any]]:
    """The last of each kind that was learnt later, of a receipt's rows of ``supplements``; raises
    :class:`Damaged`."""
    payment = document.get("payment")
    nonce = payment["authorisation"]["nonce"] if payment else None
    parts: dict[SupplementKind, dict[str, Any]] = {}
    for row in rows:
        try:
            evidence = json.loads(row["evidence"])
        except (ValueError, TypeError, RecursionError):
            evidence = None
        if not isinstance(evidence, dict) or row["kind"] not in get_args(SupplementKind):
            raise Damaged("what was learnt later cannot be read")
        if row["tx_hash"] != evidence.get("tx_hash") or row["nonce"] != nonce:
            raise Damaged("what was learnt later is not what its columns say")
        parts[row["kind"]] = evidence
    return parts


def deflate(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A document with the bytes that many receipts share taken out of it, and those bytes by their
    SHA-256.  The document itself stays as it is."""
    slim = dict(document)
    for way in _SHARED:
        _own_holders(slim, way)
    blobs: dict[str, bytes] = {}
    for holder, key in shared_places(slim):
        text = holder[key]
        if not isinstance(text, str):
            continue
        content = base64.b64decode(text)
        if base64.b64encode(content).decode() == text:
            sha256 = hashlib.sha256(content).hexdigest()
            blobs[sha256] = content
            holder[key] = {"blob": sha256}
    return slim, blobs


def _own_holders(document: dict[str, Any], way: tuple[str, ...]) -> None:
    """Copy the objects on the way to a place, so that it can be written without changing others'
    documents."""
    holder = document
    for step in way[:-1]:
        inner = holder.get(step)
        if not isinstance(inner, dict):
            return
        holder[step] = holder = dict(inner)


def with_parts(
    document: dict[str, Any], parts: Mapping[SupplementKind, dict[str, Any]] | None
) -> dict[str, Any]:
    for kind, part in (parts or {}).items():
        if kind == "payment":
            document["payment"] = {**(document["payment"] or {}), "settled": part}
        else:
            document[kind] = part
    return document


def shared_places(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for *way, key in _SHARED:
        holder: Any = document
        for step in way:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.get(key) is not None:
            yield holder, key
