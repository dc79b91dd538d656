"""The form of a receipt's document: strict JSON, the published schema, RFC 8785 bytes, the digest
over them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast

from opg_magic.errors import MalformedMessage, UnreadableReceipt
from opg_magic.models import strict_json

#: Longest receipt that is read or made, in bytes of UTF-8.
MAX_BYTES = 32 * 1024 * 1024

#: Integers that JSON carries exactly, whoever reads it.
SAFE = 2**53 - 1


def digest(document: Mapping[str, Any]) -> str:
    """``sha256:`` and the hex digest over the RFC 8785 bytes of ``document`` without its
    ``digest``."""
    return digest_of(canonical_bytes({k: v for k, v in document.items() if k != "digest"}))


def digest_of(body: bytes) -> str:
    """The digest of a document whose bytes without its ``digest`` are these."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def states_its_digest(document: Mapping[str, Any], written: bytes) -> bool:
    """Whether a document's ``digest`` is its own; ``written`` are its RFC 8785 bytes."""
    stated = str(document["digest"])
    member = b'"digest":"%b",' % stated.encode()
    if written.count(member) != 1:
        return digest(document) == stated
    return digest_of(written.replace(member, b"")) == stated


def canonical_bytes(document: Any) -> bytes:
    """RFC 8785 (JSON Canonicalization Scheme) bytes."""
    if _is_plain(document):
        # What a receipt is made of has one JSON form but for order and white space: the C encoder
        # writes the same bytes as the library, in a twentieth of the time (a property test compares
        # them).
        text = json.dumps(
            document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        return text.encode("utf-8")
    import rfc8785

    return rfc8785.dumps(document)


def _is_plain(value: Any) -> bool:
    """Only text, exact integers, true, false, null, lists, and objects whose keys sort alike in
    ASCII and UTF-16."""
    left, keys = [value], list[str]()
    # One list that grows, and no call a value: this is asked of every receipt several times.
    for one in left:
        kind = type(one)
        if kind is str or one is None or kind is bool:
            continue
        if kind is dict:
            keys += one
            left += [v for v in one.values() if type(v) is not str and v is not None]
        elif kind is list:
            left += one
        elif kind is not int or not -SAFE <= one <= SAFE:
            return False
    return set(map(type, keys)) <= {str} and "".join(keys).isascii()


@cache
def schema() -> dict[str, Any]:
    """The published JSON Schema (draft 2020-12) of receipts, version 1."""
    from importlib.resources import files

    text = files("opg_magic.receipt").joinpath("schema/receipt-v1.json").read_text(encoding="utf-8")
    return cast(dict[str, Any], json.loads(text))


def has_form(document: Any) -> bool:
    """Whether the schema holds, by the compiled validator: the other one takes longer than all of
    the cryptography."""
    try:
        return bool(_compiled().is_valid(document))
    except (ValueError, OverflowError, TypeError):
        # A number that it has no type for: no figure of a receipt is that large.
        return False


def fault(document: Any) -> str:
    """Where and how a document that does not have the form differs from it."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(document))
    if error is None:
        return "a value that cannot be"
    where = "".join(
        f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path
    ).lstrip(".")
    return f"{_problem(error)} at {where or 'top'}"


@cache
def _compiled() -> Any:
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(schema())


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_: Any, rule: str, instance: Any, __: Any) -> Iterator[ValidationError]:
        # In JSON Schema (ECMA 262) `$` is the end; in Python it is also the place before a last
        # line feed.
        if isinstance(instance, str) and not re.search(rule.replace("$", r"\Z"), instance):
            yield ValidationError(f"does not match {rule}")

    strict = validators.extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]
    return strict(schema())


def parse(text: str | bytes) -> Any:
    """JSON with one reading, of at most :data:`MAX_BYTES`; :class:`UnreadableReceipt` for any
    other."""
    if len(text) > MAX_BYTES:
        raise UnreadableReceipt(f"This receipt is longer than {MAX_BYTES} bytes.")
    try:
        return strict_json.loads(text)
    except MalformedMessage as error:
        raise UnreadableReceipt(f"This receipt is not readable as JSON: {error.message}") from None


def _problem(error: Any) -> str:
    if error.validator == "required":
        return short(error.message)
    if error.validator == "additionalProperties":
        return "an unknown key"
    return f"the rule {error.validator!r} does not hold for {short(error.instance)}"


def short(value: Any) -> str:
    """A value for a message: printable ASCII, at most 80 characters."""
    text = re.sub(r"[^\x20-\x7e]", "?", str(value))
    return text if len(text) <= 80 else text[:77] + "..."
