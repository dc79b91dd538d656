"""A library that does not do its work says nothing about anyone's document: an error of its own,
never a claim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import verification
from support.signed_receipts import jsonl, signed, verify
from support.signing import CHAT, SIGNED, authority, evidence, host, live, reply, signer

from opg_magic.errors import InstallationError, MalformedMessage
from opg_magic.models import Status
from opg_magic.verify import (
    _cbor,
    _cose,
    _works,
    _x509,
    examination,
    judge,
    signature,
    verify_exchange,
)

#: One call, signed and attested before anything is broken.
CALL = evidence(reply(signer()))


@pytest.fixture(autouse=True)
def afresh() -> Any:
    """Documents and keys that were looked at are remembered: not here."""
    examination._inspect.cache_clear()
    signature.load_key.cache_clear()
    yield
    examination._inspect.cache_clear()
    signature.load_key.cache_clear()


def refuses(error: Exception) -> Callable[..., Any]:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    return broken


BROKEN: dict[str, tuple[Any, str, Exception]] = {
    "an option that is not known": (cbor2, "CBORDecoder", TypeError("unexpected keyword argument")),
    "every document": (cbor2, "CBORDecoder", cbor2.CBORDecodeError("no")),
    "a bug": (cbor2, "CBORDecoder", ZeroDivisionError("a bug")),
    "certificates": (x509, "load_der_x509_certificate", ValueError("no")),
    "certificates, by a bug": (x509, "load_der_x509_certificate", AttributeError("no such name")),
    "a policy that is not known": (verification, "PolicyBuilder", AttributeError("no attribute")),
    "every path": (verification, "Store", ValueError("no")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_decoder_is_no_verdict(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = jsonl(tmp_path, signed())
    examination._inspect.cache_clear()
    module, name, error = BROKEN[what]
    monkeypatch.setattr(module, name, refuses(error))
    with pytest.raises(InstallationError) as told:
        judge(CALL, trust=live())
    assert "does not work in this installation" in told.value.message and told.value.hint
    # Nor is it one for a whole file: nothing comes out that could be taken for a report.
    with pytest.raises(InstallationError):
        verify(path)


class Refusing:
    """A key for which no signature holds."""

    def verify(self, *_: Any) -> None:
        raise InvalidSignature


def test_signatures_that_nothing_passes_are_the_library_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = signature.load_key(signer().der)
    monkeypatch.setattr(signature, "load_key", lambda _: Refusing())
    with pytest.raises(InstallationError):
        signature.pss_holds(Refusing(), b"message", b"signature")  # type: ignore[arg-type]
    monkeypatch.undo()
    assert not signature.pss_holds(good, b"message", b"x" * 256)
    monkeypatch.setattr(x509, "load_der_x509_certificate", refuses(ValueError("no")))
    envelope = _cose.Sign1(b"p", b"q", b"\x01" * 96, 0)
    with pytest.raises(InstallationError):
        _cose.signature_holds(envelope, ec.generate_private_key(ec.SECP384R1()).public_key())


def test_keys_that_nothing_reads_are_the_library_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives import serialization

    monkeypatch.setattr(serialization, "load_der_public_key", refuses(ValueError("no")))
    with pytest.raises(InstallationError):
        judge(CALL, trust=live())
    with pytest.raises(InstallationError):
        verify_exchange(CHAT, reply(signer()), signing_key=signer().der, sent_at=1, received_at=2)


def test_what_must_be_taken_is_taken() -> None:
    assert (
        _cbor._takes_what_it_must() and _x509._takes_what_it_must() and _cose._takes_what_it_must()
    )
    key = signature.load_key(_works.rsa_key())
    assert isinstance(key, rsa.RSAPublicKey)
    assert signature.pss_holds(key, _works.RSA_MESSAGE, _works.rsa_signature())
    _works.insist("it", lambda: True, ValueError("no"))
    for probe in (lambda: False, refuses(KeyError("x"))):
        with pytest.raises(InstallationError, match="ValueError: no"):
            _works.insist("it", probe, ValueError("no"))


def test_a_bug_in_reading_is_not_the_document_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cbor, "_check_keys", refuses(ZeroDivisionError("a bug")))
    # The probe meets the same bug: it is told as what it is, a program that does not work here.
    with pytest.raises(InstallationError):
        _cbor.decode(b"\x01", indefinite=False)
    monkeypatch.undo()
    with pytest.raises(MalformedMessage):
        _cbor.decode(b"\xff", indefinite=False)
    with pytest.raises(KeyError):
        _x509._insist(KeyError("a bug"))
    with pytest.raises(MalformedMessage):
        _x509._insist(MalformedMessage("not a certificate"))


def test_a_document_that_is_bad_stays_bad() -> None:
    """The probes take nothing back: what a working library refuses is refused."""
    entry = host()
    document = authority().document(
        pcrs={0: b"\x0a" * 48, 1: b"\x0b" * 48, 2: b"\x0c" * 48},
        nonce=b"n",
        timestamp_ms=(SIGNED - 60) * 1000,
        signing_key_der=entry.public_key,
        tls_certificate_der=entry.tls_certificate,
    )
    bad = document[:-1] + bytes([document[-1] ^ 1])
    report = examination.examine(bad, simulated_roots=[authority().root_sha256])
    assert [step.name for step in report.failures] == ["signature"]
    assert judge(CALL, trust=live()).claims["signature"].status is Status.PASSED
