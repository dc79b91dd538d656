"""The simulated attestation authority: documents of genuine shape under a root of its own, kept
privately."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from opg_magic.errors import SimnetError
from opg_magic.models import AWS_ROOT_SHA256
from opg_magic.simnet.host.nitro import Authority
from opg_magic.verify.attestation import attest_for_registry
from opg_magic.verify.examination import examine

NOW = datetime.now(UTC)
MS = int(NOW.timestamp() * 1000)
PCRS = {i: bytes([i + 1]) * 48 for i in range(3)}
KEY, CERTIFICATE = b"a signing key", b"a certificate"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


def bound(authority: Authority, timestamp_ms: int = MS, **changes: object) -> bytes:
    arguments: dict[str, object] = {
        "pcrs": PCRS,
        "signing_key_der": KEY,
        "tls_certificate_der": CERTIFICATE,
    }
    return authority.document(timestamp_ms=timestamp_ms, **(arguments | changes))  # type: ignore[arg-type]


def payload(document: bytes) -> dict[str, object]:
    return cbor2.loads(cbor2.loads(document)[2])


def path(document: bytes) -> list[x509.Certificate]:
    fields = payload(document)
    return [
        x509.load_der_x509_certificate(der) for der in [*fields["cabundle"], fields["certificate"]]
    ]


def test_document_has_the_genuine_fields_in_their_order(authority: Authority) -> None:
    fields = payload(bound(authority, nonce=b"n" * 20))
    assert list(fields) == [
        "module_id",
        "digest",
        "timestamp",
        "pcrs",
        "certificate",
        "cabundle",
        "public_key",
        "user_data",
        "nonce",
    ]
    assert fields["public_key"] == b"dummy"
    assert sorted(fields["pcrs"]) == list(range(16))
    assert not any(fields["pcrs"][3])


def test_path_has_genuine_depth_and_lives(authority: Authority) -> None:
    root, region, zonal, instance, leaf = path(bound(authority))
    assert root.public_bytes(Encoding.DER) == authority.root_der
    lives = [
        c.not_valid_after_utc - c.not_valid_before_utc for c in (region, zonal, instance, leaf)
    ]
    assert lives == [timedelta(days=20), timedelta(days=6), timedelta(days=1), timedelta(hours=3)]
    depths = [
        c.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        for c in (region, zonal)
    ]
    assert depths == [2, 1]
    # Genuine enclave certificates have no authority key identifier; a stricter shape would hide
    # that trap.
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)


def test_names_say_simulated_and_never_aws(authority: Authority) -> None:
    for certificate in path(bound(authority)):
        name = certificate.subject.rfc4514_string()
        assert "Simulated network" in name
        assert "Amazon" not in name
    assert authority.root_sha256 != AWS_ROOT_SHA256


def test_one_enclave_keeps_its_certificate_while_it_lasts(authority: Authority) -> None:
    first = payload(bound(authority))["certificate"]
    assert payload(bound(authority, MS + 60_000))["certificate"] == first
    assert payload(bound(authority, MS + 4 * 3_600_000))["certificate"] != first
    assert payload(bound(authority, module_id="i-1-enc2"))["certificate"] != first


@pytest.mark.parametrize("days", [-300, 0, 400, 29 * 365])
def test_documents_hold_at_their_own_time(authority: Authority, days: int) -> None:
    document = bound(authority, MS + days * 86_400_000)
    assert examine(document, simulated_roots={authority.root_sha256}).accepted


def test_saved_and_loaded_is_the_same_root(tmp_path: Path, authority: Authority) -> None:
    folder = tmp_path / "keys"
    authority.save(folder)
    again = Authority.load(folder)
    assert again.root_sha256 == authority.root_sha256
    assert examine(bound(again), simulated_roots={authority.root_sha256}).accepted


def test_kept_files_are_private(tmp_path: Path, authority: Authority) -> None:
    folder = tmp_path / "keys"
    authority.save(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_load_or_create_makes_one_root_per_installation(tmp_path: Path) -> None:
    first = Authority.load_or_create(tmp_path)
    assert Authority.load_or_create(tmp_path).root_sha256 == first.root_sha256
    assert Authority.load_or_create(tmp_path / "other").root_sha256 != first.root_sha256


def test_damaged_or_mixed_files_are_refused(tmp_path: Path, authority: Authority) -> None:
    authority.save(tmp_path)
    key_file = next(file for file in tmp_path.iterdir() if "key" in file.name)
    good = key_file.read_bytes()
    key_file.write_bytes(good[: len(good) // 2])
    with pytest.raises(SimnetError):
        Authority.load(tmp_path)
    Authority.create().save(tmp_path / "other")
    key_file.write_bytes((tmp_path / "other" / key_file.name).read_bytes())
    with pytest.raises(SimnetError):
        Authority.load(tmp_path)


def test_repr_shows_no_key(authority: Authority) -> None:
    assert "PRIVATE" not in repr(authority)
    assert f"{authority._key.private_numbers().private_value:x}" not in repr(authority)


class TestRegistration:
    def attest(self, authority: Authority, document: bytes, **changes: object) -> bytes | None:
        arguments: dict[str, object] = {
            "roots": {authority.root_sha256},
            "signing_key": KEY,
            "tls_certificate": CERTIFICATE,
            "now": NOW.timestamp(),
        }
        return attest_for_registry(document, **(arguments | changes))  # type: ignore[arg-type]

    def test_a_good_document_gives_the_code_hash(self, authority: Authority) -> None:
        document = bound(authority)
        report = examine(document)
        assert report.document is not None
        found = self.attest(authority, document)
        assert found is not None
        assert "0x" + found.hex() == report.document.pcr_hash

    @pytest.mark.parametrize(
        "changes",
        [
            {"roots": {AWS_ROOT_SHA256}},
            {"roots": set()},
            {"signing_key": b"another"},
            {"tls_certificate": b"another"},
            {"now": NOW.timestamp() + 25 * 3600},
            {"now": NOW.timestamp() - 600},
        ],
    )
    def test_a_foreign_or_stale_one_gives_nothing(
        self, authority: Authority, changes: dict[str, object]
    ) -> None:
        assert self.attest(authority, bound(authority), **changes) is None

    @pytest.mark.parametrize(
        ("seconds", "good"), [(-301, False), (-300, True), (86400, True), (86401, False)]
    )
    def test_a_clock_may_be_so_far_off_and_no_further(
        self, authority: Authority, seconds: int, good: bool
    ) -> None:
        document = bound(authority)
        made = examine(document).document
        assert made is not None
        found = self.attest(authority, document, now=made.timestamp.timestamp() + seconds)
        assert (found is not None) is good

    @pytest.mark.parametrize("document", [b"", b"\x80", b"\x84", b"hello", bytes(70_000)])
    def test_junk_gives_nothing(self, authority: Authority, document: bytes) -> None:
        assert self.attest(authority, document) is None

    def test_debug_code_gives_nothing(self, authority: Authority) -> None:
        assert self.attest(authority, bound(authority, pcrs={})) is None
