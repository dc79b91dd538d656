"""``opg attestation verify``: exit codes, forms of input, and what it says."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from opg_magic.shell.attestation import run
from opg_magic.simnet.host.nitro import Authority

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "nitro"
NOW = datetime.now(UTC)
PCRS = {i: bytes([i + 1]) * 48 for i in range(3)}
NONCE = b"\xab" * 20
AUTHORITY = Authority.create()
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_TLS = ec.generate_private_key(ec.SECP256R1())
_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "host")])
_CERTIFICATE = (
    x509.CertificateBuilder()
    .subject_name(_NAME)
    .issuer_name(_NAME)
    .public_key(_TLS.public_key())
    .serial_number(1)
    .not_valid_before(NOW - timedelta(days=1))
    .not_valid_after(NOW + timedelta(days=1))
    .sign(_TLS, hashes.SHA256())
)
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER


def key_bytes(encoding: serialization.Encoding) -> bytes:
    return _KEY.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def document(**changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "pcrs": PCRS,
        "nonce": NONCE,
        "signing_key_der": key_bytes(DER),
        "tls_certificate_der": _CERTIFICATE.public_bytes(DER),
        "timestamp_ms": int(NOW.timestamp() * 1000),
    }
    return AUTHORITY.document(**(arguments | changes))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "good.bin").write_bytes(document())
    (tmp_path / "root.pem").write_bytes(AUTHORITY.root_pem)
    (tmp_path / "other.pem").write_bytes(Authority.create().root_pem)
    for name, encoding in (("pem", PEM), ("der", DER)):
        (tmp_path / f"key.{name}").write_bytes(key_bytes(encoding))
        (tmp_path / f"cert.{name}").write_bytes(_CERTIFICATE.public_bytes(encoding))
    return tmp_path


def arguments(files: Path, *words: str) -> list[str]:
    """Words with a dot name files in the folder."""
    return [str(files / word) if "." in word else word for word in words]


def test_unknown_root_is_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments(files, "good.bin")) == 1
    out = capsys.readouterr().out
    assert "REFUSED" in out
    assert AUTHORITY.root_sha256 in out
    assert "GENUINE" not in out


def test_own_root_is_good_and_never_called_genuine(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(files, "good.bin", "--root", "root.pem")) == 0
    out = capsys.readouterr().out
    assert "OTHER ROOT" in out
    assert "simulated" in out
    assert "GENUINE" not in out


def test_another_own_root_is_refused(files: Path) -> None:
    assert run(arguments(files, "good.bin", "--root", "other.pem")) == 1


def test_shows_module_time_measurements_and_every_step(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(arguments(files, "good.bin", "--root", "root.pem"))
    out = capsys.readouterr().out
    assert "i-00000000000000000-enc0000000000000000" in out
    assert f"{NOW:%Y-%m-%d %H:%M:%S} UTC" in out
    for value in PCRS.values():
        assert value.hex() in out
    for name in (
        "form",
        "root",
        "path",
        "signature",
        "measurements",
        "nonce",
        "binding",
        "signing key",
        "TLS cert",
    ):
        assert name in out


@pytest.mark.parametrize("form", ["pem", "der"])
def test_given_keys_are_compared(
    files: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(files, "good.bin", "--root", "root.pem", "--signing-key", f"key.{form}")
    words += arguments(files, "--tls-cert", f"cert.{form}", "--nonce", NONCE.hex(), "--json")
    assert run(words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {step["status"] for step in shown["steps"]} == {"passed"}


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["--nonce", "00" * 20], "nonce"),
        (["--signing-key", "other-key.der"], "signing_key"),
        (["--tls-cert", "other.pem"], "tls_certificate"),
    ],
)
def test_wrong_nonce_or_key_is_refused(
    files: Path, words: list[str], step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = _TLS.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    (files / "other-key.der").write_bytes(other)
    assert run(arguments(files, "good.bin", "--root", "root.pem", "--json", *words)) == 1
    shown = json.loads(capsys.readouterr().out)
    assert [s["name"] for s in shown["steps"] if s["status"] == "failed"] == [step]


def test_json_holds_what_a_program_needs(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(arguments(files, "good.bin", "--root", "root.pem", "--json"))
    shown = json.loads(capsys.readouterr().out)
    assert shown["result"] == "other-root"
    assert shown["genuine"] is False
    assert shown["simulated"] is True
    assert shown["root_sha256"] == AUTHORITY.root_sha256
    assert shown["pcrs"]["1"] == PCRS[1].hex()
    assert shown["pcr_hash"].startswith("0x")
    assert shown["nonce"] == NONCE.hex()


FORMS: dict[str, Any] = {
    "raw": lambda raw: raw,
    "base64": base64.b64encode,
    "base64 in lines": base64.encodebytes,
    "base64 unpadded": lambda raw: base64.b64encode(raw).rstrip(b"="),
    "base64url": base64.urlsafe_b64encode,
    "base64url unpadded": lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=") + b"\r\n",
    "hex": lambda raw: raw.hex().encode(),
    "HEX": lambda raw: b"0x" + raw.hex().upper().encode() + b"\n",
    "hex in lines": lambda raw: raw.hex("\n", 32).encode(),
    "a byte order mark before it": lambda raw: b"\xef\xbb\xbf" + base64.b64encode(raw),
}


@pytest.mark.parametrize("length", [0, 1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_of_a_document_is_read(files: Path, form: str, length: int) -> None:
    # Of three lengths that follow each other, one needs no padding, one a sign, one two.
    raw = document(fields={"module_id": "i-" + "0" * length + "-enc0"})
    (files / "good.any").write_bytes(FORMS[form](raw))
    assert run(arguments(files, "good.any", "--root", "root.pem")) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: (len(text) - 8) // 4 * 4 + 1],
        lambda text: text.rstrip(b"=") + b"====",
        lambda text: b"=" + text,
        lambda text: text[:40] + b"+" + text[40:80] + b"_" + text[80:],
        lambda text: text[:40] + b"!" + text[40:],
        lambda text: b"0x" + text,
    ],
)
def test_a_text_that_is_none_of_the_forms_is_unreadable(files: Path, spoil: Any) -> None:
    (files / "bad.b64").write_bytes(spoil(base64.b64encode(document())))
    assert run(arguments(files, "bad.b64", "--root", "root.pem")) == 2


# ----------------------------------------------------------------------- of somebody else's program


@pytest.mark.parametrize(
    "user_data", [None, b"", b"another application's", b"\x12\x20" + b"\x01" * 32]
)
@pytest.mark.parametrize("genuine", [True, False])
def test_a_genuine_document_of_another_application_is_no_gateways_and_not_refused(
    files: Path,
    user_data: bytes | None,
    genuine: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if genuine:
        monkeypatch.setattr("opg_magic.shell.attestation.AWS_ROOT_SHA256", AUTHORITY.root_sha256)
    (files / "theirs.bin").write_bytes(document(fields={"user_data": user_data}))
    words = arguments(files, "theirs.bin", *([] if genuine else ["--root", "root.pem"]))
    assert run(words) == 3
    out = capsys.readouterr().out
    assert "NOT A GATEWAY'S" in out and "REFUSED" not in out and "FAILED" not in out
    assert ("GENUINE" in out) == genuine
    assert run([*words, "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert (shown["result"], shown["genuine"], shown["simulated"]) == (
        "not-a-gateways",
        False,
        not genuine,
    )


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["--signing-key", "key.der"], {}),
        (["--tls-cert", "cert.pem"], {}),
        (["--nonce", "00" * 20], {}),
        ([], {"expired": True}),
        ([], {"trailing": b"\0"}),
        ([], {"pcrs": {i: bytes(48) for i in range(3)}}),
    ],
)
def test_another_applications_document_with_a_fault_is_refused(
    files: Path, words: list[str], changes: dict[str, Any]
) -> None:
    (files / "theirs.bin").write_bytes(document(fields={"user_data": b"theirs"}, **changes))
    assert run(arguments(files, "theirs.bin", "--root", "root.pem", *words)) == 1
    assert run(arguments(files, "theirs.bin", *words)) == 1


def test_the_group_of_commands_has_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    from opg_magic.shell import main

    for words in (["--help"], ["-h"], ["verify", "--help"]):
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(main.main(["attestation", *words]))
        assert ended.value.code == 0
        assert "verify" in capsys.readouterr().out
    for words in ([], ["nonsense"]):
        with pytest.raises(SystemExit) as ended:
            main.main(["attestation", *words])
        assert ended.value.code == 2
        assert "usage: opg attestation" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"trailing": b"\0"},
        {"trailing_payload": b"\0"},
        {"duplicate_key": "pcrs"},
        {"pcrs": {}},
        {"expired": True},
        {"signing_key_der": None},
        {"fields": {"digest": "SHA256"}},
        {"fields": {"module_id": "\x1b[2J"}},
    ],
)
def test_documents_that_break_a_rule_are_refused(
    files: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "bad.bin").write_bytes(document(**changes))
    assert run(arguments(files, "bad.bin", "--root", "root.pem")) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, world!",
        b"abcd\x00",
        b"\x84\x00",
        b"\xff" * 100,
        b"A" * 200_000,
        cbor2.dumps([1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_is_no_document_is_unreadable(
    files: Path, content: bytes, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "junk.bin").write_bytes(content)
    assert run(arguments(files, "junk.bin", *flags)) == 2
    captured = capsys.readouterr()
    assert "unreadable" in captured.err
    if flags:
        assert json.loads(captured.out)["result"] == "unreadable"


def test_files_that_are_not_what_they_should_be_are_unreadable(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(files, "absent.bin")) == 2
    assert run([str(files)]) == 2
    assert run(arguments(files, "good.bin", "--root", "key.pem")) == 2
    assert run(arguments(files, "good.bin", "--signing-key", "cert.pem")) == 2
    assert run(arguments(files, "good.bin", "--tls-cert", "key.der")) == 2
    assert capsys.readouterr().err.count("unreadable") == 5


def test_a_private_key_by_mistake_is_not_shown(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pem = _KEY.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (files / "private.pem").write_bytes(pem)
    assert run(arguments(files, "good.bin", "--signing-key", "private.pem")) == 2
    captured = capsys.readouterr()
    assert pem.splitlines()[1].decode() not in captured.out + captured.err


@pytest.mark.parametrize("words", [[], ["--no-such-flag", "x"], ["x", "--nonce", "zz"], ["x", "y"]])
def test_a_wrong_command_line_exits_with_two(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert "usage" in capsys.readouterr().err


def test_help_exits_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "--signing-key" in capsys.readouterr().out


def test_module_is_light_until_it_runs() -> None:
    heavy = "{'cryptography', 'cbor2', 'Crypto'} & set(sys.modules)"
    code = f"import sys, opg_magic.shell.attestation; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -------------------------------------------------------------------------------- genuine documents


def recorded(name: str) -> str:
    if not (VECTORS / name).exists():
        pytest.skip("the recorded documents are not here")
    return str(VECTORS / name)


def test_genuine_recorded_document_exits_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([recorded("opengradient_2026-02-12.bin")]) == 0
    out = capsys.readouterr().out
    assert "GENUINE" in out
    assert "0x8082af22" in out
    assert "missing  signing key" in out


def test_genuine_recorded_document_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([recorded("opengradient_2026-02-12.bin"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["result"], shown["genuine"], shown["simulated"]) == ("genuine", True, False)
    assert {s["name"]: s["status"] for s in shown["steps"]}["signing_key"] == "missing"


def test_genuine_recorded_document_under_another_root_is_refused(files: Path) -> None:
    assert run([recorded("opengradient_2026-02-12.bin"), "--root", str(files / "root.pem")]) == 1


def test_genuine_recorded_document_under_the_aws_root_itself_is_genuine(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = base64.b64decode(Path(recorded("opengradient_2026-02-12.bin")).read_bytes())
    root = x509.load_der_x509_certificate(cbor2.loads(cbor2.loads(raw)[2])["cabundle"][0])
    (files / "aws.pem").write_bytes(root.public_bytes(PEM))
    assert run([recorded("opengradient_2026-02-12.bin"), "--root", str(files / "aws.pem")]) == 0
    assert "GENUINE" in capsys.readouterr().out


def test_recorded_debug_document_exits_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([recorded("debug_mode_2022.bin")]) == 1
    assert "debug mode" in capsys.readouterr().out
