"""Verifying one receipt by the default policy, beside the bare cryptography that it cannot do
without."""

from __future__ import annotations

import time
from collections.abc import Callable

from figures import Figure, figure, interleaved


def measure(rounds: int = 60) -> list[Figure]:
    """Milliseconds for a reader's verdict on one receipt, attestation and all, from its JSON
    text."""
    import opg_magic
    from opg_magic.models import Trust
    from opg_magic.network import profiles, simnet_client
    from opg_magic.receipt.document import Receipt
    from opg_magic.verify import judge

    answer = opg_magic.ask("What does a trusted execution environment protect against?")
    text = answer.receipt.to_json()
    state = simnet_client.read_state()
    assert state is not None
    trust = Trust(simulated_roots=profiles.of_state(state).simulated_roots)

    def verify() -> None:
        verdict = judge(Receipt.from_json(text).evidence(), trust=trust)
        assert verdict.simulated and not verdict.failed_claims

    samples = interleaved({"verify": _timed(verify), "bare": _timed(_bare_work(text))}, rounds)
    return [
        figure(
            "verification of one receipt",
            samples["verify"],
            "ms",
            peer="its bare cryptography",
            beside=samples["bare"],
        )
    ]


def proof(rounds: int = 200) -> list[Figure]:
    """Milliseconds for checking a settlement's Merkle proof in a tree of 20 leaves: leaf, path,
    root."""
    import secrets

    from opg_magic.protocol import merkle

    items = [
        merkle.BatchItem(
            secrets.token_bytes(32),
            secrets.token_bytes(32),
            secrets.token_bytes(32),
            secrets.token_bytes(256),
            n,
        )
        for n in range(20)
    ]
    tree = merkle.Tree([item.leaf for item in items])
    one = items[7]
    path = tree.proof(one.leaf)

    def check() -> None:
        assert merkle.verify_proof(tree.root, one.leaf, path)

    samples = interleaved({"proof": _timed(check)}, rounds)
    return [figure("batch proof in a tree of 20 leaves", samples["proof"], "ms")]


#: Receipts judged for the figure of many, and how many of them differ.
MANY, DISTINCT = 10_000, 100


def many() -> list[Figure]:
    """Seconds for 10,000 receipts on two processes, documents verified once by digest; beside bare
    cryptography alike.

    The peers do, for each receipt: its RSA-PSS check, its hashes, and every signature of its
    attestation; or the first two alone."""
    import opg_magic
    from opg_magic.network import profiles, simnet_client

    state = simnet_client.read_state()
    assert state is not None
    roots = profiles.of_state(state).simulated_roots
    texts = [
        opg_magic.ask(f"Is {n} prime?", max_tokens=4, stream=False).receipt.to_json()
        for n in range(DISTINCT)
    ]
    share = MANY // 2
    ours = _on_two(_judge_many, (texts, roots, share))
    whole = _on_two(_bare_many, (texts, True, share))
    signature_only = _on_two(_bare_many, (texts, False, share))
    name = f"{MANY:,} receipts again, two processes"
    return [
        Figure(name, ours, "s", peer="bare cryptography, attestation each time", peer_value=whole),
        Figure(
            name + " (signature alone)",
            ours,
            "s",
            peer="bare RSA-PSS and hashes alone",
            peer_value=signature_only,
        ),
    ]


def _on_two(work: Callable[..., float], arguments: tuple[object, ...]) -> float:
    """Seconds of the slower of two processes that do the same at once; their start-up is not
    counted."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(work, *([a, a] for a in (*arguments[:-1], 10))))
        return max(pool.map(work, *([a, a] for a in arguments)))


def _judge_many(texts: list[str], roots: frozenset[str], count: int) -> float:
    from opg_magic.models import Trust
    from opg_magic.receipt.document import Receipt
    from opg_magic.verify import judge

    trust = Trust(simulated_roots=roots)
    began = time.perf_counter()
    for n in range(count):
        verdict = judge(Receipt.from_json(texts[n % len(texts)]).evidence(), trust=trust)
        assert verdict.simulated and not verdict.failed_claims
    return time.perf_counter() - began


def _bare_many(texts: list[str], attestation: bool, count: int) -> float:
    work = _bare_work(texts[0], attestation=attestation)
    began = time.perf_counter()
    for _ in range(count):
        work()
    return time.perf_counter() - began


def _timed(work: Callable[[], None]) -> Callable[[], float]:
    def once() -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000

    return once


def _bare_work(text: str, *, attestation: bool = True) -> Callable[[], None]:
    """One RSA-PSS check, the COSE signature and each signature of the certificate path, and the
    hashes: nothing else.

    Keys are made for it, of the kinds and sizes that the receipt has; parsing is left out.
    """
    import hashlib

    from Crypto.Hash import keccak
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    digest = bytes(32)
    rsa_signature, rsa_public = rsa_key.sign(digest, pss, hashes.SHA256()), rsa_key.public_key()
    ec_key = ec.generate_private_key(ec.SECP384R1())
    document = bytes(4096)
    ec_signature, ec_public = ec_key.sign(document, ec.ECDSA(hashes.SHA384())), ec_key.public_key()
    certificates_in_path = 4  # leaf, two intermediates, root
    raw = text.encode()

    def work() -> None:
        rsa_public.verify(rsa_signature, digest, pss, hashes.SHA256())
        for _ in range(1 + certificates_in_path if attestation else 0):
            ec_public.verify(ec_signature, document, ec.ECDSA(hashes.SHA384()))
        for part in (
            raw[:400],
            raw[:2000],
            digest * 3,
            raw[:550],
        ):  # request, answer, signed message, key
            keccak.new(digest_bits=256, data=part).digest()
        hashlib.sha256(raw).digest()

    return work
