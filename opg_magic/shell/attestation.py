"""``opg attestation verify``: one attestation document, each step of its check in words."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import AWS_ROOT_SHA256, Status

if TYPE_CHECKING:
    from opg_magic.verify.examination import AttestationReport, Step

GENUINE, REFUSED, UNREADABLE, NOT_A_GATEWAYS = 0, 1, 2, 3

#: Base64 of the largest document, with line ends.
_MAX_FILE = 128 * 1024
_WORDS = {Status.PASSED: "ok", Status.FAILED: "FAILED", Status.MISSING: "missing"}
_HEX = frozenset(b"0123456789abcdefABCDEF")
_ALPHANUMERIC = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
#: An untagged COSE_Sign1 is an array of four; a tagged one begins with tag 18.
_COSE_STARTS = (0x84, 0xD2)
_BOM = b"\xef\xbb\xbf"


def command(argv: Sequence[str]) -> int:
    """``opg attestation …``: ``verify`` is its one command."""
    if argv[:1] == ["verify"]:
        return run(argv[1:])
    whole = argparse.ArgumentParser(
        prog="opg attestation", description="Check AWS Nitro attestation documents."
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("verify", help="check a document, step by step", add_help=False)
    whole.parse_args(argv)
    return UNREADABLE  # not reached: without a command argparse has ended


def run(argv: Sequence[str]) -> int:
    """Run the command; ``argv`` is what follows ``opg attestation verify``.

    Exit codes: 0 the document holds (under AWS' root, or under the root that ``--root`` names), 1
    it is refused, 2 it or a file given with it cannot be read, or the command line is wrong, 3 it
    holds and is of another application."""
    try:
        options = parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed help or what is wrong
        return stop.code if isinstance(stop.code, int) else UNREADABLE

    from opg_magic.verify.examination import examine

    try:
        root = _root(options.root) if options.root is not None else None
        signing_key = _public_key(options.signing_key) if options.signing_key is not None else None
        certificate = _certificate(options.tls_cert) if options.tls_cert is not None else None
        raw = _document(_read(options.file))
        # A root given on the command line takes the place of AWS': the document must chain to that
        # one.
        report = examine(
            raw,
            aws_root_sha256=AWS_ROOT_SHA256 if root in (None, AWS_ROOT_SHA256) else "",
            simulated_roots=frozenset() if root is None else {root},
            nonce=options.nonce,
            signing_key=signing_key,
            tls_certificate=certificate,
        )
    except MalformedMessage as error:
        if options.json:
            unreadable = {
                "result": "unreadable",
                "genuine": False,
                "simulated": False,
                "error": error.message,
            }
            print(json.dumps(unreadable, indent=2))
        print(f"unreadable: {_plain(error.message)}", file=sys.stderr)
        return UNREADABLE

    result = _result(report)
    print(
        json.dumps(_as_json(report, result), indent=2) if options.json else _as_text(report, result)
    )
    return {"refused": REFUSED, "not-a-gateways": NOT_A_GATEWAYS}.get(result, GENUINE)


def parser() -> argparse.ArgumentParser:
    """The options of ``opg attestation verify``."""
    whole = argparse.ArgumentParser(
        prog="opg attestation verify",
        description="Check a Nitro attestation document: who signed it, which code it names, which "
        "keys it binds.",
        epilog="Exit status: 0 genuine (or good under --root), 1 refused, 2 unreadable, 3 genuine "
        "but not a gateway's.",
        allow_abbrev=False,
    )
    whole.add_argument(
        "file", metavar="FILE", type=Path, help="the document: raw CBOR, base64, base64url or hex"
    )
    whole.add_argument(
        "--root",
        metavar="PEM",
        type=Path,
        help="require a chain to this root certificate instead of AWS'",
    )
    whole.add_argument(
        "--nonce",
        metavar="HEX",
        type=_hex,
        help="require this nonce, which the enclave signed",
    )
    whole.add_argument(
        "--signing-key",
        metavar="F",
        type=Path,
        help="require that the document binds this public key (PEM or DER)",
    )
    whole.add_argument(
        "--tls-cert",
        metavar="F",
        type=Path,
        help="require that the document binds this certificate (PEM or DER)",
    )
    whole.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return whole


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise argparse.ArgumentTypeError("not hex digits") from None


# ------------------------------------------------------------------------------------------ reading


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise MalformedMessage(f"{path}: {error.strerror or error}") from None
    if len(data) > _MAX_FILE:
        raise MalformedMessage(f"{path}: larger than {_MAX_FILE} bytes")
    if not data:
        raise MalformedMessage(f"{path}: empty")
    return data


def _document(data: bytes) -> bytes:
    """Raw COSE bytes from themselves, or from base64, base64url (both with or without padding) or
    hex.

    No COSE_Sign1 begins with an ASCII byte, so raw and text never mix; and of a text that is both
    hex and base64, only one begins as a COSE_Sign1."""
    data = data.removeprefix(_BOM)
    if data[:1] >= b"\x80":
        return data
    packed = b"".join(data.split())
    digits = packed.removeprefix(b"0x")
    if digits and len(digits) % 2 == 0 and _HEX.issuperset(digits):
        raw = bytes.fromhex(digits.decode("ascii"))
        if raw[0] in _COSE_STARTS:
            return raw
    letters = packed.rstrip(b"=")
    others = set(letters) - _ALPHANUMERIC
    if not letters or not (others <= set(b"+/") or others <= set(b"-_")):
        raise MalformedMessage("neither CBOR of a COSE_Sign1 nor base64, base64url or hex of it")
    padding = len(packed) - len(letters)
    if len(letters) % 4 == 1 or padding not in (0, -len(letters) % 4):
        raise MalformedMessage("not base64: its length is wrong, so something is missing")
    return base64.b64decode(
        letters.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(letters) % 4)
    )


def _root(path: Path) -> str:
    return hashlib.sha256(_certificate(path)).hexdigest()


def _certificate(path: Path) -> bytes:
    """The DER bytes of a certificate file, PEM or DER."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding

    data = _read(path)
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
        x509.load_der_x509_certificate(data)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise MalformedMessage(f"{path}: not a certificate in PEM or DER") from None
    return data


def _public_key(path: Path) -> bytes:
    """The DER SubjectPublicKeyInfo of a public key file, PEM or DER."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    data = _read(path)
    try:
        if b"-----BEGIN" not in data:
            serialization.load_der_public_key(data)
            return data
        return serialization.load_pem_public_key(data).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MalformedMessage(f"{path}: not a public key in PEM or DER") from None


# ------------------------------------------------------------------------------------------ showing


def _result(report: AttestationReport) -> str:
    if [(step.name, step.code) for step in report.failures] == [("binding", "no-binding")]:
        # Made by an enclave, and says nothing of a signing key and a certificate: another
        # application's.
        return "not-a-gateways"
    if not report.accepted:
        return "refused"
    return "genuine" if report.genuine else "other-root"


def _as_json(report: AttestationReport, result: str) -> dict[str, Any]:
    document = report.document
    shown: dict[str, Any] = {
        "result": result,
        "genuine": report.genuine,
        "simulated": report.simulated,
        "root_sha256": report.root_sha256,
    }
    if document is not None:
        shown |= {
            "module_id": document.module_id,
            "timestamp": document.timestamp.isoformat(timespec="milliseconds"),
            "pcrs": {str(index): value.hex() for index, value in document.pcrs.items()},
            "pcr_hash": document.pcr_hash,
            "nonce": document.nonce.hex() if document.nonce is not None else None,
            "user_data": document.user_data.hex() if document.user_data is not None else None,
            "signing_key_sha256": document.signing_key_sha256,
            "tls_certificate_sha256": document.tls_certificate_sha256,
        }
    shown["steps"] = [
        {
            "name": step.name,
            "status": step.status.value,
            "code": step.code,
            "detail": _plain(step.detail),
        }
        for step in report.steps
    ]
    return shown


def _as_text(report: AttestationReport, result: str) -> str:
    document = report.document
    lines = []
    if document is not None:
        lines += [
            f"module    {document.module_id}",
            f"time      {document.timestamp:%Y-%m-%d %H:%M:%S} UTC",
        ]
        unused = 0
        for index, value in document.pcrs.items():
            if index > 2 and not any(value):
                unused += 1
            else:
                lines.append(f"PCR{index:<6} {value.hex()}")
        if unused:
            lines.append(
                f"          {unused} further PCRs are zero, as they are where nothing was measured "
                f"into them"
            )
        lines += [f"pcrHash   {document.pcr_hash}", ""]
    lines += [
        f"{_word(step, result):<8} {step.name.replace('_', ' '):<16} {_plain(step.detail)}"
        for step in report.steps
    ]
    lines += ["", _conclusion(report, result)]
    return "\n".join(lines)


def _conclusion(report: AttestationReport, result: str) -> str:
    if result == "refused":
        return "REFUSED: " + "; ".join(_plain(step.detail) for step in report.failures)
    if result == "not-a-gateways":
        who = (
            "a simulated (or private) authority's"
            if report.simulated
            else "GENUINE, made by an AWS Nitro enclave"
        )
        return (
            f"NOT A GATEWAY'S, though consistent: {who}.  It binds no signing key and no TLS "
            f"certificate as\n"
            "OpenGradient's gateways do; another application made it, and it vouches for no answer "
            "of theirs."
        )
    if result == "other-root":
        return (
            "OTHER ROOT, not AWS': consistent under the root that was given, which is a simulated "
            "(or private)\n"
            "authority's and says nothing about real Nitro hardware."
        )
    text = "GENUINE: made by an AWS Nitro enclave."
    open_steps = [_title(step) for step in report.steps if step.status is Status.MISSING]
    if open_steps:
        text += f"  Not compared, as nothing was given to compare with: {', '.join(open_steps)}."
    return text


def _word(step: Step, result: str) -> str:
    return (
        "other"
        if result == "not-a-gateways" and step.status is Status.FAILED
        else _WORDS[step.status]
    )


def _title(step: Step) -> str:
    return "TLS certificate" if step.name == "tls_certificate" else step.name.replace("_", " ")


def _plain(text: str) -> str:
    """Text from outside, for a terminal: no control character survives."""
    return "".join(c if c.isprintable() else "�" for c in text)
