"""What the published schema says of a call on the private route, and the reader with it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from corpus.build import document_of
from jsonschema import Draft202012Validator
from support.signing import sealed_call

from opg_magic.errors import UnreadableReceipt
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.form import digest, schema
from opg_magic.shell.main import main

PRIVATE = document_of(sealed_call())


def bent(**changes: Any) -> dict[str, Any]:
    """The receipt with another sealing; a value of ``...`` is left out."""
    document = copy.deepcopy(PRIVATE)
    document["sealed"] = {
        key: value for key, value in {**PRIVATE["sealed"], **changes}.items() if value is not ...
    }
    return {**document, "digest": digest(document)}


def faults(document: dict[str, Any]) -> list[str]:
    found = Draft202012Validator(schema()).iter_errors(document)
    return ["/".join(map(str, fault.absolute_path)) for fault in found]


def test_a_private_call_has_the_published_form_and_comes_back_as_it_was() -> None:
    assert faults(PRIVATE) == []
    read = Receipt.from_json(json.dumps(PRIVATE))
    assert read.digest_matches and read.evidence().sealed == sealed_call().sealed
    assert (PRIVATE["channel"], PRIVATE["payment"]) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"relay": ...},
        {"header": ...},
        {"public_key": ...},
        {"relay": ""},
        {"relay": "r" * 257},
        {"relay": None},
        {"header": "0100200001000"},
        {"header": "010020000100030"},
        {"header": "0100200001000G"},
        {"header": "0100200001000A"},
        {"public_key": "not base64!"},
        {"public_key": None},
        {"token": "secret"},
        {"url": "https://relay.example/?key=1"},
    ],
    ids=str,
)
def test_a_sealing_of_another_form_is_refused_by_schema_and_reader(changes: Any) -> None:
    document = bent(**changes)
    assert any(fault.startswith("sealed") for fault in faults(document))
    with pytest.raises(UnreadableReceipt):
        Receipt.from_json(json.dumps(document))


def test_a_sealing_is_left_out_and_never_null() -> None:
    without = {**PRIVATE, "sealed": None}
    assert faults(without) == ["sealed"]
    with pytest.raises(UnreadableReceipt):
        Receipt.from_document(without)


@pytest.mark.parametrize(
    ("options", "setting", "said"),
    [
        ([], None, False),
        (["--route", "private"], None, False),
        (["--route", "direct"], None, True),
        ([], "private", False),
        ([], "direct", True),
        (["--route", "direct"], "any", True),
        (["--policy", "strict", "--route", "direct"], "direct", True),
    ],
)
def test_a_reader_can_require_the_route(
    tmp_path: Path, opg_home: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], options: list[str], setting: str | None, said: bool,
) -> None:  # fmt: skip
    if setting is not None:
        monkeypatch.setenv("OPG_REQUIRED_ROUTE", setting)
    file = tmp_path / "one.json"
    # The tests' own root is known to no reader.
    file.write_text(json.dumps(document_of(replace(sealed_call(), attestation=None))))
    assert main(["verify", str(file), *options, "--json"]) == 3
    (one,) = json.loads(capsys.readouterr().out)["receipts"]
    told = "route: the call took the private route, required is direct"
    assert (told in one["because"]) == said


def test_two_required_routes_contradict_each_other(
    tmp_path: Path, opg_home: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("OPG_REQUIRED_ROUTE", "private")
    file = tmp_path / "one.json"
    file.write_text(json.dumps(PRIVATE))
    assert main(["verify", str(file), "--route", "direct"]) == 2
    assert "requires the direct route, another the private" in capsys.readouterr().err
