"""Claims, statuses and bases are said once: everything else that lists them agrees."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from opg_magic.models import (
    BASES,
    CLAIM_NAMES,
    CLAIMS,
    STATUSES,
    Basis,
    ClaimName,
    Evidence,
    Status,
)
from opg_magic.receipt.form import schema
from opg_magic.verify.policy import AUDIT, DEFAULT, STRICT

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "labextension" / "src"


def test_the_type_names_the_claims_of_the_table_in_its_order() -> None:
    assert get_args(ClaimName) == CLAIM_NAMES
    assert len(set(CLAIM_NAMES)) == len(CLAIM_NAMES)


def test_every_status_and_basis_has_its_words() -> None:
    assert list(STATUSES) == list(Status)
    assert list(BASES) == list(Basis)
    assert len({words.mark for words in STATUSES.values()}) == len(Status)


def test_the_published_schema_names_the_same_claims_statuses_and_bases() -> None:
    claim: Any = schema()["properties"]["checked"]["oneOf"][0]["properties"]["claims"]
    named = claim["items"]["properties"]
    assert tuple(named["name"]["enum"]) == CLAIM_NAMES
    assert named["status"]["enum"] == [status.value for status in Status]
    assert named["basis"]["enum"] == [*(basis.value for basis in Basis), None]
    assert len(CLAIM_NAMES) <= claim["maxItems"]


def test_every_claim_is_checked_by_the_module_of_its_name_in_both_languages() -> None:
    for name in CLAIM_NAMES:
        assert callable(import_module(f"opg_magic.verify.{name}").check)
        code = (EXTENSION / "verify" / f"{name}.ts").read_text("utf-8")
        assert re.search(r"^export (async )?function check\(", code, re.MULTILINE), name


def test_no_check_is_left_out_of_the_table() -> None:
    checks = {
        path.stem
        for path in (ROOT / "opg_magic" / "verify").glob("*.py")
        if re.search(
            r"^def check\(evidence: Evidence, trust: Trust\)", path.read_text("utf-8"), re.M
        )
    }
    assert checks == set(CLAIM_NAMES)


def test_the_part_of_a_claim_is_a_part_of_receipts_and_of_the_evidence() -> None:
    parts = {kind.part for kind in CLAIMS} - {None}
    assert parts <= set(schema()["properties"])
    assert parts <= set(Evidence.__dataclass_fields__)


def test_policies_require_what_the_table_says() -> None:
    default = {kind.name for kind in CLAIMS if kind.required_by == "default"}
    audit = {kind.name for kind in CLAIMS if kind.required_by == "audit"}
    assert DEFAULT.required == STRICT.required == default
    assert AUDIT.required == default | audit
    assert audit


def test_the_readme_lists_every_claim_in_the_words_of_the_table() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    rows = [f"| {kind.name} | {kind.says} |" for kind in CLAIMS]
    assert "\n".join(rows) in text, "\n".join(rows)
