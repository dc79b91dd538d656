"""Batches of the settlement relay: OpenZeppelin's ``StandardMerkleTree`` over signed exchanges.

A leaf is ``keccak256(keccak256(abi.encode(bytes32, bytes32, bytes32, bytes, uint256)))``, leaves
are sorted, and a node is the Keccak-256 of its two children, the smaller first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import strict_json
from opg_magic.protocol.keccak import keccak256

FORMAT = "standard-v1"
#: ``[teeId, inputHash, outputHash, teeSignature, timestamp]``.
LEAF_ENCODING = ("bytes32", "bytes32", "bytes32", "bytes", "uint256")

#: Longest dump that is read, in bytes; most items in it; longest signature in an item, in bytes
#: (that of a key of 16384 bits).  A facilitator's batch has 20 items and about 30 kB.
MAX_DUMP_BYTES = 4 * 1024 * 1024
MAX_ITEMS = 4096
MAX_SIGNATURE_BYTES = 2048
#: Longest proof that is checked: a tree with more leaves cannot be built.
MAX_PROOF = 64

_WORD = re.compile(r"0x[0-9a-fA-F]{64}")
_BYTES = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}")
_SAFE = 2**53 - 1


def leaf_hash(
    tee_id: bytes, input_hash: bytes, output_hash: bytes, signature: bytes, timestamp: int
) -> bytes:
    """The 32 bytes that stand for one exchange in a batch.

    The first three are 32 bytes each, ``timestamp`` is Unix seconds as a uint256; ValueError
    otherwise."""
    if not len(tee_id) == len(input_hash) == len(output_hash) == 32:
        raise ValueError("host id and hashes have 32 bytes each")
    if not 0 <= timestamp < 2**256:
        raise ValueError("the timestamp is no uint256")
    head = (
        tee_id
        + input_hash
        + output_hash
        + (5 * 32).to_bytes(32, "big")
        + timestamp.to_bytes(32, "big")
    )
    tail = len(signature).to_bytes(32, "big") + signature + bytes(-len(signature) % 32)
    return keccak256(keccak256(head + tail))


def node_hash(one: bytes, other: bytes) -> bytes:
    """The parent of two nodes; their order does not matter."""
    return keccak256(min(one, other) + max(one, other))


class Tree:
    """The tree over some leaves (32 bytes each), in any order.  ValueError without leaves, or for
    other lengths."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        ordered = sorted(bytes(leaf) for leaf in leaves)
        if not ordered or any(len(leaf) != 32 for leaf in ordered):
            raise ValueError("a tree needs leaves, of 32 bytes each")
        count = len(ordered)
        # OpenZeppelin's layout: the root first, the leaves last and backwards.
        nodes = [b""] * (count - 1) + ordered[::-1]
        for index in range(count - 2, -1, -1):
            nodes[index] = node_hash(nodes[2 * index + 1], nodes[2 * index + 2])
        self.nodes = tuple(nodes)
        self.size = count

    @property
    def root(self) -> bytes:
        """The hash that a batch is committed by."""
        return self.nodes[0]

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {self.nodes[i]: i for i in range(len(self.nodes) - 1, self.size - 2, -1)}

    def proof(self, leaf: bytes) -> tuple[bytes, ...]:
        """The siblings on the way from ``leaf`` to the root; ValueError for a leaf that is not in
        the tree."""
        index = self._places.get(leaf)
        if index is None:
            raise ValueError("this leaf is not in the tree")
        path = []
        while index > 0:
            path.append(self.nodes[index + 1 if index % 2 else index - 1])
            index = (index - 1) // 2
        return tuple(path)


def verify_proof(root: bytes, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` leads from ``leaf`` to ``root``.  ``leaf`` must come from
    :func:`leaf_hash`."""
    if (
        len(root) != 32
        or len(leaf) != 32
        or len(proof) > MAX_PROOF
        or any(len(sibling) != 32 for sibling in proof)
    ):
        return False
    node = leaf
    for sibling in proof:
        node = node_hash(node, sibling)
    return node == root


# ------------------------------------------------------------------------------------------ batches


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One exchange in a batch.  ``timestamp`` is Unix seconds; an unsigned one has the placeholder
    signature ``d3``."""

    tee_id: bytes
    input_hash: bytes
    output_hash: bytes
    signature: bytes
    timestamp: int

    @property
    def leaf(self) -> bytes:
        """This answer's hash in the tree."""
        return leaf_hash(
            self.tee_id, self.input_hash, self.output_hash, self.signature, self.timestamp
        )


@dataclass(frozen=True)
class BatchDump:
    """A batch as its blob tells it: the items, and the tree recomputed from them."""

    items: tuple[BatchItem, ...]
    tree: Tree

    @property
    def root(self) -> bytes:
        """The recomputed root."""
        return self.tree.root


def read_dump(text: str | bytes) -> BatchDump:
    """Read ``JSON.stringify(tree.dump())`` and recompute the whole tree; nothing that the dump says
    of it is believed.

    Raises :class:`MalformedMessage`: ``too-large`` beyond the bounds of this module,
    ``ambiguous-json`` or ``not-json``, ``format`` for another form, ``wrong-tree`` where the nodes
    are not those of the values."""
    if len(text) > MAX_DUMP_BYTES:
        raise MalformedMessage(f"the batch is longer than {MAX_DUMP_BYTES} bytes", code="too-large")
    dump = strict_json.loads(text)
    if not isinstance(dump, dict) or dump.get("format") != FORMAT:
        raise _bad(f"the batch is not a dump of format {FORMAT}")
    if dump.get("leafEncoding") != list(LEAF_ENCODING):
        raise _bad("the batch has other leaves than the relay's")
    nodes, values = dump.get("tree"), dump.get("values")
    if not isinstance(nodes, list) or not isinstance(values, list) or not values:
        raise _bad("the batch has no tree or no values")
    if len(values) > MAX_ITEMS:
        raise MalformedMessage(f"the batch has more than {MAX_ITEMS} items", code="too-large")
    if len(nodes) != 2 * len(values) - 1:
        raise _wrong("the batch's tree has not one leaf a value")
    items = tuple(_item(value) for value in values)
    tree = Tree(item.leaf for item in items)
    if tuple(_word(node) for node in nodes) != tree.nodes:
        raise _wrong("the batch's nodes are not those of its values")
    # A place that is named twice would leave another leaf without its value.
    if len({_place(value, item, tree) for value, item in zip(values, items, strict=True)}) != len(
        values
    ):
        raise _wrong("two of the batch's values claim one place")
    return BatchDump(items, tree)


def write_dump(items: Sequence[BatchItem]) -> str:
    """The text that ``JSON.stringify(tree.dump())`` gives for these items, in this order
    (timestamps as text)."""
    tree = Tree(item.leaf for item in items)
    free: dict[bytes, list[int]] = {}
    for index in range(tree.size - 1, len(tree.nodes)):
        free.setdefault(tree.nodes[index], []).append(index)
    values = [
        {
            "value": [
                *(_hex(v) for v in (i.tee_id, i.input_hash, i.output_hash, i.signature)),
                str(i.timestamp),
            ],
            "treeIndex": free[i.leaf].pop(),
        }
        for i in items
    ]
    dump = {
        "format": FORMAT,
        "leafEncoding": list(LEAF_ENCODING),
        "tree": [_hex(node) for node in tree.nodes],
        "values": values,
    }
    return json.dumps(dump, separators=(",", ":"))


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _bad(message: str) -> MalformedMessage:
    return MalformedMessage(message, code="format")


def _wrong(message: str) -> MalformedMessage:
    return MalformedMessage(message, code="wrong-tree")


def _word(value: object) -> bytes:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise _bad("the batch holds something else where 32 bytes in hex should be")
    return bytes.fromhex(value[2:])


def _item(entry: object) -> BatchItem:
    value = entry.get("value") if isinstance(entry, Mapping) else None
    if not isinstance(value, list) or len(value) != len(LEAF_ENCODING):
        raise _bad("the batch holds a value of another form")
    tee_id, input_hash, output_hash, signature, timestamp = value
    if not isinstance(signature, str) or not _BYTES.fullmatch(signature):
        raise _bad("a signature in the batch is not hex")
    if len(signature) > 2 + 2 * MAX_SIGNATURE_BYTES:
        raise MalformedMessage(
            f"a signature in the batch is longer than {MAX_SIGNATURE_BYTES} bytes", code="too-large"
        )
    return BatchItem(
        _word(tee_id),
        _word(input_hash),
        _word(output_hash),
        bytes.fromhex(signature[2:]),
        _seconds(timestamp),
    )


def _seconds(value: Any) -> int:
    """A uint256 as JavaScript writes one: a safe integer, or decimal text."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = int(value)
    elif type(value) is int and abs(value) <= _SAFE:
        number = value
    else:
        raise _bad("a timestamp in the batch is no whole number")
    if not 0 <= number < 2**256:
        raise _bad("a timestamp in the batch is no uint256")
    return number


def _place(entry: Mapping[str, Any], item: BatchItem, tree: Tree) -> int:
    index = entry.get("treeIndex")
    if type(index) is not int or not tree.size - 1 <= index < len(tree.nodes):
        raise _bad("a value of the batch has no place among the leaves")
    if tree.nodes[index] != item.leaf:
        raise _wrong("a value of the batch is not at its place in the tree")
    return index
