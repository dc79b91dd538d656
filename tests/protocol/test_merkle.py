"""The relay's Merkle tree: OpenZeppelin's own package, golden values, and whatever a blob may
hold."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opg_magic.errors import MalformedMessage
from opg_magic.protocol import merkle
from opg_magic.protocol.keccak import keccak256
from opg_magic.protocol.merkle import (
    BatchItem,
    Tree,
    leaf_hash,
    node_hash,
    read_dump,
    verify_proof,
    write_dump,
)

ROOT = Path(__file__).parents[2]
PEER = ROOT / "tests" / "support" / "merkle_peer"
CACHE = ROOT / ".venvs" / "npm-merkle"

WORDS = st.binary(min_size=32, max_size=32)
ITEMS = st.builds(
    BatchItem,
    WORDS,
    WORDS,
    WORDS,
    st.binary(max_size=300),
    st.integers(0, 2**256 - 1) | st.just(1_777_777_777),
)


def item(number: int, signature: bytes = b"\x01" * 256) -> BatchItem:
    return BatchItem(
        *(bytes([k]) * 31 + bytes([number]) for k in (1, 2, 3)), signature, 1_777_000_000 + number
    )


def refused(text: str | bytes, code: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        read_dump(text)
    assert caught.value.code == code


# ----------------------------------------------------------------------------------------- the tree


def test_a_leaf_is_the_double_hash_of_its_abi_encoding() -> None:
    from eth_abi.abi import encode

    for signature in (b"", b"\xd3", b"s" * 31, b"s" * 32, b"s" * 33, b"s" * 256):
        one = item(7, signature)
        values = (one.tee_id, one.input_hash, one.output_hash, signature, one.timestamp)
        assert one.leaf == keccak256(keccak256(encode(merkle.LEAF_ENCODING, values)))


def test_golden_values() -> None:
    items = [item(n) for n in range(5)]
    assert items[0].leaf.hex() == "06fa4d7b40c5fcbc2878680478574051eace58546e0ba454b3659f6988c7d4cc"
    assert (
        Tree(i.leaf for i in items).root.hex()
        == "282820784426ca6a47d4aafbc80511f8d33b0b867b68874d46c2e9daeaac3f31"
    )
    assert (
        item(0, b"\xd3").leaf.hex()
        == "b292feee6c3e512e704fb41c027f2d3728d50e953f92e5984347689447ac7cab"
    )


def test_a_tree_of_one_leaf_is_that_leaf() -> None:
    leaf = item(1).leaf
    assert Tree([leaf]).root == leaf and Tree([leaf]).proof(leaf) == ()
    assert verify_proof(leaf, leaf, ())


@given(st.lists(WORDS, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_every_leaf_has_a_proof_and_the_order_given_does_not_matter(
    leaves: list[bytes], by: random.Random
) -> None:
    tree = Tree(leaves)
    shuffled = list(leaves)
    by.shuffle(shuffled)
    assert Tree(shuffled).nodes == tree.nodes
    for leaf in leaves:
        assert verify_proof(tree.root, leaf, tree.proof(leaf))


@given(st.sets(WORDS, min_size=2, max_size=20), st.data())
def test_an_altered_proof_leads_elsewhere(leaves: set[bytes], data: st.DataObject) -> None:
    tree = Tree(leaves)
    leaf = data.draw(st.sampled_from(sorted(leaves)))
    proof = list(tree.proof(leaf))
    position = data.draw(st.integers(0, 32 * len(proof) - 1))
    sibling = bytearray(proof[position // 32])
    sibling[position % 32] ^= data.draw(st.integers(1, 255))
    proof[position // 32] = bytes(sibling)
    assert not verify_proof(tree.root, leaf, proof)
    assert not verify_proof(tree.root, leaf, tree.proof(leaf)[:-1])
    assert not verify_proof(tree.root, leaf, (*tree.proof(leaf), bytes(32)))
    assert not verify_proof(tree.root, keccak256(leaf), tree.proof(leaf))


def test_a_proof_is_bounded_and_of_words() -> None:
    leaf = item(1).leaf
    assert not verify_proof(leaf, leaf, (bytes(32),) * (merkle.MAX_PROOF + 1))
    assert not verify_proof(node_hash(leaf, b"x"), leaf, (b"x",))
    assert not verify_proof(leaf[:31], leaf[:31], ())


def test_what_is_no_tree_is_refused() -> None:
    for leaves in ([], [b"short"], [bytes(32), bytes(31)]):
        with pytest.raises(ValueError, match="a tree needs leaves"):
            Tree(leaves)
    with pytest.raises(ValueError, match="not in the tree"):
        Tree([bytes(32)]).proof(b"\x01" * 32)
    # An inner node is no leaf: it has no proof of its own.
    tree = Tree(item(n).leaf for n in range(3))
    with pytest.raises(ValueError, match="not in the tree"):
        tree.proof(tree.nodes[1])
    for bad in ((b"", b"", b"", b"", 1), (bytes(32), bytes(32), bytes(32), b"", -1)):
        with pytest.raises(ValueError):
            leaf_hash(*bad)


# ----------------------------------------------------------------------------------------- the dump


@settings(deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=12))
def test_a_dump_is_read_as_it_was_written(items: list[BatchItem]) -> None:
    dump = read_dump(write_dump(items))
    assert dump.items == tuple(items)
    assert dump.root == Tree(i.leaf for i in items).root


def test_unsigned_items_may_be_in_a_batch() -> None:
    items = [item(1), item(2, b"\xd3"), item(3, b"")]
    assert read_dump(write_dump(items)).items[1].signature == b"\xd3"


def test_one_item_twice_is_read_with_both_places() -> None:
    assert len(read_dump(write_dump([item(1), item(1), item(2)])).items) == 3


def changed(**edit: Any) -> str:
    dump = json.loads(write_dump([item(n) for n in range(4)]))
    for key, value in edit.items():
        dump[key] = value(dump[key]) if callable(value) else value
    return json.dumps(dump)


def with_value(position: int, value: Any, entry: int = 0) -> str:
    dump = json.loads(write_dump([item(n) for n in range(4)]))
    dump["values"][entry]["value"][position] = value
    return json.dumps(dump)


def test_attack_24_a_dump_whose_tree_is_not_its_values() -> None:
    root = "0x" + "11" * 32
    refused(changed(tree=lambda t: [root, *t[1:]]), "wrong-tree")
    refused(changed(tree=lambda t: [*t[:-1], root]), "wrong-tree")
    refused(changed(tree=lambda t: t[:-1]), "wrong-tree")
    refused(changed(tree=lambda t: [*t[:3], *t[3:][::-1]]), "wrong-tree")
    refused(changed(values=lambda v: v[:-1]), "wrong-tree")
    refused(changed(values=lambda v: [*v[:-1], v[0]]), "wrong-tree")
    refused(with_value(4, "1777000009"), "wrong-tree")
    refused(with_value(3, "0xd3"), "wrong-tree")


def test_attack_24_places_that_are_not_the_values_own() -> None:
    dump = json.loads(write_dump([item(n) for n in range(4)]))
    values = dump["values"]
    values[0]["treeIndex"], values[1]["treeIndex"] = values[1]["treeIndex"], values[0]["treeIndex"]
    refused(json.dumps(dump), "wrong-tree")
    twice = json.loads(write_dump([item(1), item(1)]))
    twice["values"][0]["treeIndex"] = twice["values"][1]["treeIndex"]
    refused(json.dumps(twice), "wrong-tree")
    for index in (0, -1, 7, True, 3.0, "3", None):
        dump["values"][0]["treeIndex"] = index
        refused(json.dumps(dump), "format")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not-json"),
        ("[]", "format"),
        ("{}", "format"),
        ('{"format": "standard-v1", "format": "standard-v1"}', "ambiguous-json"),
        (b"\xff", "ambiguous-json"),
        ("[" * 100_000, "ambiguous-json"),
        (changed(format="simple-v1"), "format"),
        (changed(leafEncoding=["bytes32"] * 5), "format"),
        (changed(values=[]), "format"),
        (changed(values={}), "format"),
        (changed(tree=None), "format"),
        (changed(values=lambda v: [None] * len(v)), "format"),
        (with_value(0, "0x" + "11" * 31), "format"),
        (with_value(0, 17), "format"),
        (with_value(3, "0xabc"), "format"),
        (with_value(3, {"0": 1}), "format"),
        (with_value(3, "0x" + "00" * (merkle.MAX_SIGNATURE_BYTES + 1)), "too-large"),
        (with_value(4, -1), "format"),
        (with_value(4, 1.5), "format"),
        (with_value(4, True), "format"),
        (with_value(4, 2**53), "format"),
        (with_value(4, str(2**256)), "format"),
        (with_value(4, "007"), "format"),
        (" " * (merkle.MAX_DUMP_BYTES + 1), "too-large"),
        (changed(values=[None] * (merkle.MAX_ITEMS + 1)), "too-large"),
    ],
)
def test_what_is_no_dump_is_refused_by_name(text: str | bytes, code: str) -> None:
    refused(text, code)


# ------------------------------------------------------------------------------------------- a peer


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which npm has put OpenZeppelin's package, by the lock file; kept between
    runs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are needed to ask OpenZeppelin's own package")
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = (PEER / "package-lock.json").read_text()
    stamp = CACHE / ".installed"
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(PEER / name, CACHE / name)
            done = subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=CACHE,
                capture_output=True,
                text=True,
                timeout=300,
            )
            if done.returncode:
                pytest.skip(f"npm could not install the package: {done.stderr.strip()[-300:]}")
            stamp.write_text(wanted)
    return CACHE


def test_the_tree_agrees_with_openzeppelins_on_random_batches(peer: Path) -> None:
    by = random.Random(20260504)
    sizes = [
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        9,
        16,
        19,
        20,
        20,
        33,
        64,
        *(by.randint(1, 40) for _ in range(26)),
    ]
    batches = [[random_item(by) for _ in range(size)] for size in sizes]
    asked = json.dumps([[as_values(one) for one in batch] for batch in batches])
    run = subprocess.run(
        ["node", str(PEER / "trees.mjs"), str(peer)],
        input=asked,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    answers = json.loads(run.stdout)
    assert len(answers) == len(batches)
    for batch, answer in zip(batches, answers, strict=True):
        tree = Tree(i.leaf for i in batch)
        assert "0x" + tree.root.hex() == answer["root"]
        for one, proof in zip(batch, answer["proofs"], strict=True):
            assert ["0x" + p.hex() for p in tree.proof(one.leaf)] == proof
        dump = read_dump(answer["dump"])
        assert dump.items == tuple(batch) and dump.tree.nodes == tree.nodes
        # And what we write is, byte for byte, what the package would store.
        assert write_dump(batch) == answer["dump"]


def as_values(one: BatchItem) -> list[str]:
    words = (one.tee_id, one.input_hash, one.output_hash, one.signature)
    return [*("0x" + word.hex() for word in words), str(one.timestamp)]


def random_item(by: random.Random) -> BatchItem:
    signature = by.choice([b"\xd3", by.randbytes(256), by.randbytes(by.randint(0, 100))])
    seconds = by.choice([0, 1_777_000_000 + by.randint(0, 10**6), by.getrandbits(256)])
    return BatchItem(by.randbytes(32), by.randbytes(32), by.randbytes(32), signature, seconds)


def test_a_proof_has_at_most_so_many_steps() -> None:
    """A tree of 2^64 leaves is none that anyone could make."""
    leaf = merkle.keccak256(b"leaf")
    siblings = [merkle.keccak256(bytes([n])) for n in range(merkle.MAX_PROOF + 1)]
    roots = [leaf]
    for sibling in siblings:
        roots.append(merkle.node_hash(roots[-1], sibling))
    assert merkle.verify_proof(roots[-2], leaf, siblings[:-1])
    assert not merkle.verify_proof(roots[-1], leaf, siblings)
