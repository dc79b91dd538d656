"""Attacks 14, 25, 28 and 36 (docs/trust.md), as far as receipts and the ledger answer for them."""

from __future__ import annotations

import json
import subprocess
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import signing
from support.receipts import NOW, SIM, authorisation
from support.signed_receipts import jsonl, redigested, signed, verify

from opg_magic.audit.judgement import RECORDED
from opg_magic.ledger.export import export
from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.models import SettlementTx, Status, VerdictStatus
from opg_magic.models.secret import Secret
from opg_magic.network.profiles import OBSERVED_CAP
from opg_magic.receipt.document import Receipt, new_id, supplemented
from opg_magic.receipt.secret_scan import HoldsSecret
from opg_magic.receipt.supplements import supplement_json
from opg_magic.settings.limits import Limits
from opg_magic.verify import judge

SECRET = "0x" + "5ec3e7" * 21 + "1b"


# ---------------------------------------------------------------------------------------- 14 replay


def test_attack_14_replayed_answer_is_found_through_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    first = signed()
    ledger.save(first)
    again = signed_again(first)
    seen = ledger.find_signature(again.signature)
    assert seen == (first.id,)
    verdict = judge(again.evidence(seen_in=seen), trust=signing.live())
    assert verdict.status is VerdictStatus.FAILED
    assert [c.name for c in verdict.failed_claims] == ["freshness"]


def signed_again(first: Receipt) -> Receipt:
    """The same answer, bytes and all, under another call's id."""
    return Receipt(redigested({**first.document, "id": new_id()}))


@pytest.mark.parametrize(
    "spelling", [lambda s: s, lambda s: s.rstrip("="), lambda s: s[:9] + "\n" + s[9:]]
)
def test_attack_14_another_spelling_of_the_signature_is_the_same(
    tmp_path: Path, spelling: Any
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    first = signed()
    ledger.save(first)
    assert first.signature is not None
    assert ledger.find_signature(spelling(first.signature)) == (first.id,)
    assert ledger.find_signature(signed(text="other").signature) == ()
    assert ledger.find_signature(None) == ledger.find_signature("") == ()


def test_attack_14_two_receipts_with_one_signature_fail_in_a_file(tmp_path: Path) -> None:
    first = signed()
    report = verify(
        jsonl(tmp_path, first, signed_again(first), signed(text="another")), allow_simulated=True
    )
    assert report.exit_code == 1
    assert [c.verdict.claims["freshness"].code for c in report.checked] == [
        "replayed",
        "replayed",
        None,
    ]


# ----------------------------------------------------------------------------- 25 an edited receipt

SIGNED_EDITS = {
    "response": lambda d: d["response"].update(text="I confess."),
    "request": lambda d: d["request"].update(
        canonical=d["request"]["canonical"].replace("Say hi", "Say no")
    ),
    "body": lambda d: d["request"].update(body=d["request"]["body"].replace("Say hi", "Say no")),
    "frame": lambda d: d["response"].update(
        frame=d["response"]["frame"].replace('"tee_timestamp": 1', '"tee_timestamp": 2')
    ),
    "key": lambda d: d.update(signing_key=signed_by_another()),
    "attestation": lambda d: d["attestation"].update(nonce="00" * 20),
    "certificate": lambda d: d["channel"].update(certificate_sha256="00" * 32),
    "sent later": lambda d: d.update(
        sent_at="2026-05-04T13:00:00.000000Z", received_at="2026-05-04T13:00:01.000000Z"
    ),
    "prompt": lambda d: d["prompt"].update(text="Say no"),
}


def signed_by_another() -> str:
    import base64

    return base64.b64encode(signing.signer("mallory").der).decode()


@pytest.mark.parametrize("edit", SIGNED_EDITS)
def test_attack_25_receipt_edited_in_what_is_signed_fails_even_with_a_new_digest(
    tmp_path: Path, edit: str
) -> None:
    document = json.loads(signed().to_json())
    before = json.dumps(document)
    SIGNED_EDITS[edit](document)
    assert json.dumps(document) != before
    report = verify(jsonl(tmp_path, json.dumps(redigested(document))), allow_simulated=True)
    assert report.exit_code == 1, report.to_text()
    assert report.label == "SIMULATED · FAILED"


@pytest.mark.parametrize(
    "field", ["software", "payment.cost_usd", "response.model", "checked.verdict", "notebook.name"]
)
def test_attack_25_edit_without_a_new_digest_is_told_whatever_the_field(
    tmp_path: Path, field: str
) -> None:
    document = json.loads(signed().to_json())
    *way, key = field.split(".")
    holder = document
    for step in way:
        holder = holder[step]
    holder[key] = "0.5" if key == "cost_usd" else "PARTIAL" if key == "verdict" else "x"
    report = verify(jsonl(tmp_path, json.dumps(document)), allow_simulated=True)
    assert report.exit_code == 1
    assert [f.code for f in report.findings] == ["altered"]


def test_attack_25_unsigned_field_with_a_new_digest_is_only_recorded(tmp_path: Path) -> None:
    document = json.loads(signed().to_json())
    document["response"].update(model="gpt-99", usage={"prompt_tokens": 1})
    document["payment"]["cost_usd"] = "0"
    report = verify(jsonl(tmp_path, json.dumps(redigested(document))), allow_simulated=True)
    assert report.exit_code == 0
    assert {"response.model", "response.usage", "payment"} <= set(report.to_json()["recorded"])
    assert "not signed" in report.to_text()


def test_attack_25_stored_verdict_is_history_and_never_the_answer(tmp_path: Path) -> None:
    liar = signed(change=lambda e: replace(e, response=replace(e.response, text="something else")))
    document = json.loads(liar.to_json())
    document["checked"].update(verdict="VERIFIED", simulated=False, withheld=False, because=[])
    for claim in document["checked"]["claims"]:
        claim.update(status="passed", basis="proven", reason=None, code=None)
    report = verify(jsonl(tmp_path, json.dumps(redigested(document))), allow_simulated=True)
    assert report.exit_code == 1
    assert report.checked[0].verdict.claims["response"].status is Status.FAILED


def test_attack_25_simulated_flag_taken_out_changes_nothing(tmp_path: Path) -> None:
    document = json.loads(signed().to_json())
    document["network"].update(simulated=False, name="opengradient", run_id=None)
    document["checked"]["simulated"] = False
    report = verify(jsonl(tmp_path, json.dumps(redigested(document))))
    assert report.exit_code == 3
    assert report.simulated
    assert report.to_json()["verdict"] != "VERIFIED"


def test_every_recorded_field_is_a_field_of_the_document() -> None:
    document = signed().document
    for path in RECORDED:
        holder: Any = document
        for step in path.split("."):
            holder = holder[step]


# --------------------------------------------------------------------------------------- 28 secrets


def test_attack_28_no_secret_reaches_receipt_ledger_or_export(tmp_path: Path) -> None:
    """The host echoes payment signature and session id wherever it can; nothing on disk or in a
    message holds them."""
    session = "5f0c7e0a-1111-2222-3333-444455556666"
    echo = f"thanks for {SECRET} and {session}"

    def echoed(e: Any) -> Any:
        return replace(
            e,
            response=replace(
                e.response,
                text=echo,
                frame=json.dumps({"x": echo}),
                model=echo,
                finish_reason=echo[:60],
            ),
        )

    ledger = Ledger(tmp_path / "ledger.sqlite")
    call = CallIntent(new_id(), NOW, SIM, "k1", "m", authorisation=authorisation(1))
    ledger.begin(call, reserve=True, limits=Limits(OBSERVED_CAP, OBSERVED_CAP, OBSERVED_CAP))
    secrets = [Secret(SECRET), Secret(session)]
    with pytest.raises(HoldsSecret) as refused:
        signed(id=call.id, change=echoed, secrets=secrets)
    receipt = signed(id=call.id, secrets=secrets)
    ledger.save(receipt)
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        export(ledger, tmp_path / name, include_withheld=name != "a.jsonl")
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) >= 5  # with -wal and -shm
    for file in files:
        # Never opened in this process, which has the ledger open.
        content = subprocess.run(["cat", file], capture_output=True, check=True).stdout
        for secret in (SECRET, session):
            assert secret.encode() not in content, file.name
    for shown in (
        repr(receipt),
        repr(ledger),
        str(receipt.answer(include_withheld=True)),
        str(refused.value),
    ):
        assert SECRET not in shown
        assert session not in shown


def test_attack_28_event_with_a_secret_is_refused_and_not_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    call = CallIntent(new_id(), NOW, SIM, "k1", "m", authorisation=authorisation(1))
    ledger.begin(call, reserve=True, limits=Limits(OBSERVED_CAP, OBSERVED_CAP, OBSERVED_CAP))
    with pytest.raises(TypeError) as raised:
        ledger.record(call.id, "sent", {"session": Secret(SECRET)})
    assert SECRET not in "".join(
        traceback.TracebackException.from_exception(raised.value, capture_locals=True).format()
    )
    assert ledger.unfinished(include_running=True)[0].events == ()


def test_attack_28_receipt_has_no_place_for_a_signature_of_a_payment() -> None:
    payment = signed().document["payment"]
    assert set(payment["authorisation"]) == set(authorisation().__slots__)
    assert not [key for key in payment if "sign" in key or "session" in key]


# --------------------------------------------------------------- 36 a stated digest decides nothing


def invented(id: str, **changes: Any) -> str:
    """A receipt of no call at all: no key, no frame."""
    document = json.loads(signed(text="Yes: 561 is prime.").to_json())
    document.update(id=id, signing_key=None, attestation=None, registry=None)
    document["response"]["frame"] = None
    return json.dumps(redigested(document) | changes)


def later_version(original: Receipt) -> Receipt:
    found = SettlementTx(status="open", chain_id=8453, seen_at_block=7, rpcs=("a.example",))
    return supplemented(original, {"payment": supplement_json(found)})


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("id", ["2BBBBBBBBB", "1AAAAAAAAA"])
def test_attack_36_invented_receipt_cannot_hide_behind_what_another_supersedes(
    tmp_path: Path, id: str, turned: bool
) -> None:
    later = later_version(signed(id="1AAAAAAAAA"))
    both = [later, invented(id, digest=later.supersedes)]
    report = verify(jsonl(tmp_path, *(reversed(both) if turned else both)), allow_simulated=True)
    assert report.exit_code == 1
    assert len(report.checked) == 2 and "later-version" not in [f.code for f in report.findings]


@pytest.mark.parametrize("turned", [False, True])
def test_attack_36_invented_receipt_cannot_hide_behind_the_stated_digest_of_another(
    tmp_path: Path, turned: bool
) -> None:
    good = signed()
    both = [good, invented(good.id, digest=good.digest)]
    report = verify(jsonl(tmp_path, *(reversed(both) if turned else both)), allow_simulated=True)
    assert report.exit_code == 1 and len(report.checked) == 2


def test_attack_36_a_receipt_that_claims_to_supersede_another_excuses_only_its_own_original(
    tmp_path: Path,
) -> None:
    """A later version that is itself altered, or whose own digest is wrong, lets none stand
    aside."""
    one = signed()
    for changes in ({"software": "another"}, {"digest": one.digest}):
        document = json.loads(later_version(one).to_json()) | changes
        report = verify(jsonl(tmp_path, one, json.dumps(document)), allow_simulated=True)
        assert report.exit_code == 1 and len(report.checked) == 2, report.to_text()


def test_attack_36_a_failed_receipt_never_stands_aside(tmp_path: Path) -> None:
    failed = signed(
        change=lambda e: replace(e, response=replace(e.response, text="something else"))
    )
    report = verify(jsonl(tmp_path, failed, later_version(failed)), allow_simulated=True)
    assert report.exit_code == 5 and len(report.checked) == 2
