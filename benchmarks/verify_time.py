"""Verifying one receipt by the default policy, beside the bare cryptography that it cannot do without."""

from __future__ import annotations

import time
from collections.abc import Callable

from figures import Figure, figure, interleaved


def measure(rounds: int = 60) -> list[Figure]:
    """Milliseconds for a reader's verdict on one receipt, attestation and all, from its JSON text."""
    import opg_magic
    from opg_magic import simlink
    from opg_magic.models import Trust
    from opg_magic.receipts.receipt import Receipt
    from opg_magic.verify import judge

    answer = opg_magic.ask("What does a trusted execution environment protect against?")
    text = answer.receipt.to_json()
    state = simlink.read_state()
    assert state is not None
    trust = Trust(simulated_roots=simlink.network(state).simulated_roots)

    def verify() -> None:
        verdict = judge(Receipt.from_json(text).evidence(), trust=trust)
        assert verdict.simulated and not verdict.failed_claims

    samples = interleaved({"verify": _timed(verify), "bare": _timed(_bare_work(text))}, rounds)
    return [
        figure(
            "verification of one receipt", samples["verify"], "ms", peer="its bare cryptography", beside=samples["bare"]
        )
    ]


def _timed(work: Callable[[], None]) -> Callable[[], float]:
    def once() -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000

    return once


def _bare_work(text: str) -> Callable[[], None]:
    """One RSA-PSS check, the COSE signature and each signature of the certificate path, and the hashes: nothing else.

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
        for _ in range(1 + certificates_in_path):
            ec_public.verify(ec_signature, document, ec.ECDSA(hashes.SHA384()))
        for part in (raw[:400], raw[:2000], digest * 3, raw[:550]):  # request, answer, signed message, key
            keccak.new(digest_bits=256, data=part).digest()
        hashlib.sha256(raw).digest()

    return work
