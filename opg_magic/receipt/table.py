"""The receipts of a table's calls in one value, small enough to travel in a notebook
(``docs/receipts.md``).

What many rows share (attestation, host, registry, payment) is kept once.  Nothing here judges: each
receipt comes out byte for byte as it went in, and its own digest covers what is put back."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opg_magic.errors import MalformedMessage, UnreadableReceipt
from opg_magic.models import strict_json
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.form import SAFE, canonical_bytes

#: MIME type of a table's receipts in a notebook's output; type and version of the value.
MIME_TYPE = "application/vnd.opg.receipts.v1+json"
TYPE = "opg-receipts"
VERSION = 1

#: Characters that a table's receipts, packed, may add to a notebook.
LIMIT = 1_000_000
#: More calls than this are not tried: the signatures and hashes of so many alone are longer.
MOST_TRIED = 2_500
#: So many digests are that long.
MOST_NAMED = LIMIT * 3 // 4 // 32
#: What is read: characters as they stand there, bytes unpacked, bytes of all receipts together, and
#: how many of them.
MOST_PACKED, MOST_UNPACKED, MOST_WHOLE, MOST = 2_000_000, 16 << 20, 64 << 20, 10_000

_N = "[0-9]{1,3}(?:,[0-9]{3}){0,5}"
_AMOUNT = r"[0-9]{1,40}(?:\.[0-9]{1,40})? [A-Za-z][A-Za-z0-9-]{0,11}"
#: The form of that line: figures, so that nothing else can be said by it.
FIGURES = re.compile(
    f"{_N} of {_N} prompts(?: · {_N} failed)?(?: · {_N} from the ledger)?"
    f"(?: · {_N} on record do not fit)?(?: · cost {_AMOUNT} of at most {_AMOUNT})?"
    r"(?: · [0-9.e+-]{1,12}/s)?"
)

#: Where a receipt's document holds what many rows share.
SHARED: tuple[tuple[str, ...], ...] = (
    *(("attestation",), ("channel",), ("host",), ("network",), ("notebook",), ("registry",)),
    *(("sealed",), ("signing_key",)),
    *(("checked", "because"), ("checked", "claims")),
    *(("payment", name) for name in ("authorisation", "basis", "cap", "cost", "estimate")),
    *(("payment", name) for name in ("price", "token")),
    *(("prompt", name) for name in ("source_sha256", "template", "variables")),
    ("response", "usage"),
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the author's kernel says of the table, and no receipt holds: its rows, its different
    prompts, and the last line of its progress, which has the form of :data:`FIGURES`."""

    rows: int
    prompts: int
    figures: str


@dataclass(frozen=True, slots=True)
class TableReceipts:
    """A value that was read.  ``receipts``: a document, or why it cannot be one; None where the
    value has the ``digests`` of receipts that are elsewhere."""

    counts: Counts
    receipts: tuple[Any, ...] | None = None
    digests: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------ writing


def packed(receipts: Iterable[Receipt], counts: Counts) -> dict[str, Any] | None:
    """The value that holds these receipts; None if it were longer than :data:`LIMIT`."""
    squeeze = zlib.compressobj(9)
    pieces: list[bytes] = []
    parts: dict[bytes, int] = {}
    length = 0
    for receipt in receipts:
        line = canonical_bytes(_without_shared(receipt.document, parts))
        pieces.append(squeeze.compress(line + b"\n"))
        length += len(pieces[-1])
        if length * 4 // 3 > LIMIT:
            return None
    pieces.append(squeeze.compress(b"\n" + b"\n".join(parts)) + squeeze.flush())
    text = base64.b64encode(b"".join(pieces)).decode()
    return None if not parts or len(text) > LIMIT else {**_head(counts), "packed": text}


def named(digests: Sequence[str], counts: Counts) -> dict[str, Any] | None:
    """The value that names receipts by their digests alone; None for none, and for more than
    :data:`MOST_NAMED`."""
    if not 0 < len(digests) <= MOST_NAMED:
        return None
    whole = b"".join(bytes.fromhex(one.removeprefix("sha256:")) for one in digests)
    return {**_head(counts), "digests": base64.b64encode(whole).decode()}


def _head(counts: Counts) -> dict[str, Any]:
    return {
        "type": TYPE,
        "version": VERSION,
        "rows": counts.rows,
        "prompts": counts.prompts,
        "figures": counts.figures,
    }


def _without_shared(document: Mapping[str, Any], parts: dict[bytes, int]) -> dict[str, Any]:
    slim = dict(document)
    for way in SHARED:
        holder: Any = slim
        for key in way[:-1]:
            inner = holder.get(key)
            holder[key] = inner = dict(inner) if isinstance(inner, dict) else inner
            holder = inner
        if isinstance(holder, dict) and holder.get(way[-1]):
            part = canonical_bytes(holder[way[-1]])
            holder[way[-1]] = {"part": parts.setdefault(part, len(parts))}
    return slim


# ------------------------------------------------------------------------------------------ reading


def read(value: Any) -> TableReceipts:
    """The value read strictly and within bounds.  Raises :class:`UnreadableReceipt` where the whole
    of it cannot be; a receipt in it that cannot be is that in its place."""
    if (
        not isinstance(value, dict)
        or value.get("type") != TYPE
        or _count(value.get("version")) != VERSION
    ):
        raise UnreadableReceipt("These are not a table's receipts of version 1.")
    held = "packed" if "packed" in value else "digests"
    if set(value) != {*_head(Counts(0, 0, "")), held} or not isinstance(value[held], str):
        raise UnreadableReceipt("A table's receipts do not have the documented form.")
    rows, prompts, figures = _count(value["rows"]), _count(value["prompts"]), value["figures"]
    if rows is None or prompts is None:
        raise UnreadableReceipt("A table's receipts are counted by what is no number.")
    if not isinstance(figures, str) or FIGURES.fullmatch(figures) is None:
        raise UnreadableReceipt("A table's receipts come with a line that is no line of figures.")
    if prompts > rows or not figures.partition(" prompts")[0].endswith(f" of {prompts:,}"):
        raise UnreadableReceipt("A table's receipts are counted in two ways that differ.")
    counts = Counts(rows, prompts, figures)
    content = _decoded(value[held])
    if held == "packed":
        return TableReceipts(counts, tuple(_unpacked(content)))
    if not content or len(content) % 32:
        raise UnreadableReceipt("A table's receipts are named by what are no digests.")
    digests = (f"sha256:{content[at : at + 32].hex()}" for at in range(0, len(content), 32))
    return TableReceipts(counts, None, tuple(dict.fromkeys(digests)))


def _count(value: Any) -> int | None:
    """A whole number that JSON carries; a browser cannot tell 1.0 from 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= SAFE else None


def _decoded(text: str) -> bytes:
    if len(text) > MOST_PACKED:
        raise UnreadableReceipt(f"A table's receipts are longer than {MOST_PACKED} characters.")
    try:
        content = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        content = b""
    if base64.b64encode(content).decode() != text:
        raise UnreadableReceipt("A table's receipts are not canonical base64.")
    return content


def _unpacked(content: bytes) -> Iterator[Any]:
    """The documents, or :class:`UnreadableReceipt` in a document's place."""
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(content, MOST_UNPACKED + 1)
    except zlib.error:
        text = b""
    if len(text) > MOST_UNPACKED:
        raise UnreadableReceipt(f"A table's receipts are longer than {MOST_UNPACKED} bytes.")
    if not inflate.eof or inflate.unused_data:
        raise UnreadableReceipt("A table's receipts cannot be unpacked: they are cut or damaged.")
    try:
        receipts, between, parts = text.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise UnreadableReceipt("A table's receipts are not UTF-8.") from None
    lines = receipts.split("\n")
    if not between or len(lines) > MOST:
        raise UnreadableReceipt(f"A table has 1 to {MOST} receipts, and what they share.")
    yield from _put_back(lines, parts.split("\n"))


def _put_back(lines: list[str], parts: list[str]) -> Iterator[Any]:
    sizes = [len(part.encode()) for part in parts]
    whole = len("".join(lines).encode())
    # Parsed when first needed, and once.
    shared: dict[int, Any] = {}
    for line in lines:
        try:
            document = strict_json.loads(line)
            for holder, key in _references(document):
                number = _count(holder[key]["part"])
                if number is None or number >= len(parts):
                    raise UnreadableReceipt("What this receipt shares with others is not there.")
                whole += sizes[number]
                if whole > MOST_WHOLE:
                    break
                if number not in shared:
                    shared[number] = strict_json.loads(parts[number])
                holder[key] = shared[number]
        except UnreadableReceipt as error:
            yield error
        except MalformedMessage as error:
            yield UnreadableReceipt(f"This receipt is not readable as JSON: {error.message}")
        else:
            yield document
        if whole > MOST_WHOLE:
            raise UnreadableReceipt(
                f"A table's receipts are longer than {MOST_WHOLE} bytes together."
            )


def _references(document: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a document holds a reference.  Only where one may stand: no receipt has such an object
    in these places."""
    for way in SHARED:
        holder: Any = document
        for key in way[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            found = holder.get(way[-1])
            if isinstance(found, dict) and set(found) == {"part"}:
                yield holder, way[-1]
