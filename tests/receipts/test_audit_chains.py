"""A reader asks the chains again: what was asked, what stays recorded, and a receipt read elsewhere
without network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import signing
from support.agreeing import Listed, by, told
from support.chains import BLOCK, agreed, batch, settled
from support.receipts import authorisation
from support.signed_receipts import jsonl, signed, verify

from opg_magic.audit.judgement import Report, Settlement
from opg_magic.errors import NetworkUnavailable, OpgError, RpcsDisagree
from opg_magic.models import (
    Authorisation,
    Basis,
    Claim,
    Evidence,
    Money,
    RegistryEvidence,
    SettlementTx,
    Status,
    Trust,
)
from opg_magic.network.profiles import OPENGRADIENT
from opg_magic.receipt.document import Receipt, supplemented
from opg_magic.receipt.form import digest
from opg_magic.receipt.supplements import supplement_json, supplement_kind
from opg_magic.verify import AUDIT

REVOKED = "PCR revoked on 2026-05-06 12:00 UTC"


class Registry:
    """A reader's RPC that answers with what it is given."""

    def __init__(
        self, answer: RegistryEvidence | OpgError, since: str | OpgError | None = None
    ) -> None:
        self.answer, self.since = answer, since

    def at_block(self, tee_id: str, block_number: int) -> RegistryEvidence:
        if isinstance(self.answer, OpgError):
            raise self.answer
        assert block_number == self.answer.block_number
        return self.answer

    def revoked_since(self, tee_id: str, block_number: int) -> str | None:
        if isinstance(self.since, OpgError):
            raise self.since
        return self.since


class Payments:
    def __init__(self, answer: SettlementTx | OpgError) -> None:
        self.answer, self.asked = answer, 0

    def settlement_of(self, authorisation: Authorisation) -> SettlementTx:
        self.asked += 1
        if isinstance(self.answer, OpgError):
            raise self.answer
        return self.answer


class Settlements:
    def __init__(self, change: dict[str, Any] | OpgError) -> None:
        self.change = change
        self.senders: tuple[str, ...] = ()

    def committed(self, recorded: Settlement) -> Settlement:
        if isinstance(self.change, OpgError):
            raise self.change
        return replace(recorded, **self.change)


def real(**parts: bool) -> Receipt:
    """A receipt of the real network as far as it says, with payment and batch known: AWS' part is
    played."""

    def whole(evidence: Evidence) -> Evidence:
        return replace(evidence, declared_simulated=False)

    one = signed(network=OPENGRADIENT, trust=signing.as_aws(), change=whole)
    evidence = one.evidence()
    found = [settled(evidence), batch(evidence)]
    return supplemented(one, {supplement_kind(f): supplement_json(f) for f in found})  # type: ignore[misc]


def as_reader(**changes: Any) -> Trust:
    return signing.as_aws(reader=True, **changes)


def claim(report: Report, name: str) -> Claim:
    (one,) = report.checked
    return one.verdict.claims[name]


def test_without_asking_they_stay_recorded_and_the_report_says_so(tmp_path: Path) -> None:
    report = verify(jsonl(tmp_path, real()), trust=as_reader(), policy=AUDIT)
    for name in ("registry", "channel", "payment", "settlement"):
        assert claim(report, name).passed and claim(report, name).basis is Basis.RECORDED
    names = ["freshness", "registry", "channel", "payment", "settlement"]
    assert report.recorded_claims == tuple(names) and report.to_json()["recorded_claims"] == names
    assert (
        f"Author's word, not asked here: {', '.join(names)}; not signed: times, notebook, cell."
        in report.to_text()
    )
    assert (report.label, report.exit_code) == ("PARTIAL", 3)


def test_asked_of_all_chains_audit_is_verified(tmp_path: Path) -> None:
    one = real()
    evidence = one.evidence()
    assert (
        evidence.registry is not None
        and evidence.payment is not None
        and evidence.payment.settled is not None
    )
    report = verify(
        jsonl(tmp_path, one),
        trust=as_reader(),
        policy=AUDIT,
        rpc_reader=Registry(evidence.registry),
        payment_reader=Payments(evidence.payment.settled),
        settlement_reader=Settlements({"rpcs": ("mine",)}),
    )
    assert [claim(report, n).basis for n in ("registry", "payment", "settlement")] == [
        Basis.ASKED
    ] * 3
    assert (report.label, report.exit_code, report.findings) == ("VERIFIED", 0, ())
    assert claim(report, "settlement").facts["rpcs"] == ("mine",)
    # What one's own RPCs were asked about is what one means.
    assert not any("that you name" in c.sentence for c in report.checked[0].verdict.claims.values())


def test_attack_24_the_reader_s_own_profile_says_who_may_commit(tmp_path: Path) -> None:
    reader = Settlements({})
    reader.senders = ("0x" + "fb" * 20,)
    report = verify(jsonl(tmp_path, real()), trust=as_reader(), settlement_reader=reader)
    assert claim(report, "settlement").code == "wrong-sender"


def test_attack_05_what_was_revoked_since_is_added_and_the_verdict_stays(tmp_path: Path) -> None:
    one = real()
    entry = one.evidence().registry
    assert entry is not None
    report = verify(jsonl(tmp_path, one), trust=as_reader(), rpc_reader=Registry(entry, REVOKED))
    assert (report.label, report.exit_code) == ("VERIFIED", 0)
    (note,) = report.findings
    assert (note.level, note.code) == ("note", "since-revoked")
    assert "was active at block 1234" in note.message and REVOKED in note.message
    assert REVOKED in claim(report, "registry").sentence
    assert REVOKED in report.to_text()


def test_attack_05_what_cannot_be_asked_about_later_is_only_noted(tmp_path: Path) -> None:
    one = real()
    entry = one.evidence().registry
    assert entry is not None
    report = verify(
        jsonl(tmp_path, one),
        trust=as_reader(),
        rpc_reader=Registry(entry, NetworkUnavailable("rpc unreachable")),
    )
    assert [f.code for f in report.findings] == ["since-not-asked"] and report.exit_code == 0


def test_attack_06_rpcs_that_disagree_fail_the_claim(tmp_path: Path) -> None:
    report = verify(
        jsonl(tmp_path, real()),
        trust=as_reader(),
        rpc_reader=Registry(RpcsDisagree("a says x, b says y")),
    )
    found = claim(report, "registry")
    assert (found.status, found.code, found.reason) == (
        Status.FAILED,
        "rpcs-disagree",
        "a says x, b says y",
    )
    assert (report.label, report.exit_code) == ("FAILED", 1)


def test_attack_23_the_chain_shows_another_payment(tmp_path: Path) -> None:
    one = real()
    payment = one.evidence().payment
    assert payment is not None and payment.settled is not None
    other = replace(payment.settled, tx_hash=BLOCK)
    report = verify(jsonl(tmp_path, one), trust=as_reader(), payment_reader=Payments(other))
    assert [f.code for f in report.findings] == ["other-payment"] and report.exit_code == 1
    (finding,) = report.findings
    sum_ = Money(payment.settled.amount, payment.token)
    assert finding.message.count(f" over {sum_}") == 2
    absent = SettlementTx("unspent", payment.authorisation.chain_id, seen_at_block=5)
    report = verify(jsonl(tmp_path, one), trust=as_reader(), payment_reader=Payments(absent))
    assert claim(report, "payment").code == "absent" and report.label == "FAILED"


@pytest.mark.parametrize("lie", [{"decimals": 12}, {"symbol": "USDC"}], ids=str)
def test_attack_23_a_sum_is_counted_in_the_token_that_was_asked_about(
    tmp_path: Path, lie: dict[str, Any]
) -> None:
    """How many base units make one token stands in no signature: an author could make a fortune of
    a millionth."""
    honest = real()
    told = json.loads(honest.original().to_json())
    told["payment"]["token"] |= lie
    told["digest"] = digest(told)
    evidence = honest.evidence()
    assert evidence.payment is not None and evidence.payment.settled is not None
    one = supplemented(
        Receipt.from_document(told), {"payment": supplement_json(evidence.payment.settled)}
    )
    payments = Payments(evidence.payment.settled)
    token = evidence.payment.token
    payments.token = token  # type: ignore[attr-defined]
    report = verify(jsonl(tmp_path, one), trust=as_reader(), payment_reader=payments)
    assert [f.code for f in report.findings if f.level == "failed"] == ["other-token"]
    assert report.exit_code == 1
    said = claim(report, "payment").sentence
    assert str(Money(evidence.payment.settled.amount or 0, token)) in said
    report = verify(jsonl(tmp_path, honest), trust=as_reader(), payment_reader=payments)
    assert not report.findings and claim(report, "payment").sentence == said


@pytest.mark.parametrize("problem", [NetworkUnavailable("down"), RpcsDisagree("a and b")])
def test_what_cannot_be_asked_stays_recorded(tmp_path: Path, problem: OpgError) -> None:
    report = verify(
        jsonl(tmp_path, real()),
        trust=as_reader(),
        payment_reader=Payments(problem),
        settlement_reader=Settlements(problem),
    )
    assert [claim(report, n).basis for n in ("payment", "settlement")] == [Basis.RECORDED] * 2
    lies = isinstance(problem, RpcsDisagree)
    codes = ["rpcs-disagree"] * 2 if lies else ["payment-not-asked", "settlement-not-asked"]
    assert [f.code for f in report.findings] == codes and (report.exit_code == 1) is lies


def test_attack_24_the_chain_has_no_such_batch(tmp_path: Path) -> None:
    report = verify(
        jsonl(tmp_path, real()),
        trust=as_reader(),
        settlement_reader=Settlements({"committed": False}),
    )
    assert claim(report, "settlement").code == "absent" and report.label == "FAILED"
    sender = {"sender": "0x" + "99" * 20}
    pinned = as_reader(relay_senders=frozenset({"0x" + "fa" * 20}))
    report = verify(jsonl(tmp_path, real()), trust=pinned, settlement_reader=Settlements(sender))
    assert claim(report, "settlement").code == "wrong-sender"


def test_a_simulated_chain_that_is_gone_fails_nobody(tmp_path: Path) -> None:
    one = signed()
    evidence = one.evidence()
    assert evidence.payment is not None
    found = [settled(evidence), batch(evidence)]
    version = supplemented(one, {supplement_kind(f): supplement_json(f) for f in found})  # type: ignore[misc]
    gone = SettlementTx("unspent", evidence.payment.authorisation.chain_id)
    report = verify(
        jsonl(tmp_path, version),
        payment_reader=Payments(gone),
        settlement_reader=Settlements({"committed": False}),
        allow_simulated=True,
    )
    assert [f.code for f in report.findings] == [
        "other-chain",
        "other-chain",
    ] and report.exit_code == 0
    assert [claim(report, n).basis for n in ("payment", "settlement")] == [Basis.RECORDED] * 2


def test_attack_23_two_receipts_with_one_transaction_under_two_nonces(tmp_path: Path) -> None:
    def under(nonce: int) -> Receipt:
        def change(evidence: Evidence) -> Evidence:
            assert evidence.payment is not None
            return replace(
                evidence,
                payment=replace(evidence.payment, authorisation=authorisation(nonce=nonce)),
            )

        one = signed(change=change)
        found = settled(one.evidence())
        return supplemented(one, {"payment": supplement_json(found)})

    same = verify(jsonl(tmp_path, under(7), under(7)), allow_simulated=True)
    assert same.exit_code == 0
    report = verify(jsonl(tmp_path, under(7), under(8)), allow_simulated=True)
    assert [c.verdict.claims["payment"].code for c in report.checked] == ["two-nonces"] * 2
    assert report.exit_code == 1

    class Decoding(Payments):
        """A chain on which the transaction does settle both, each for its own amount."""

        def settlement_of(self, authorisation: Authorisation) -> SettlementTx:
            return replace(super().settlement_of(authorisation), nonce=authorisation.nonce)

    told_one = settled(under(7).evidence())
    report = verify(
        jsonl(tmp_path, under(7), under(8)), payment_reader=Decoding(told_one), allow_simulated=True
    )
    assert [c.verdict.claims["payment"].status for c in report.checked] == [Status.PASSED] * 2
    # A chain on which it settles one of them says so of the other.
    report = verify(
        jsonl(tmp_path, under(7), under(8)), payment_reader=Payments(told_one), allow_simulated=True
    )
    assert sorted(c.verdict.claims["payment"].code or "" for c in report.checked) == [
        "",
        "two-nonces",
    ]
    assert report.exit_code == 1


def test_attack_30_an_agreement_whose_receipts_are_here_needs_nobodys_word(tmp_path: Path) -> None:
    receipts = [by(name) for name in ("anna", "boris")]
    members = [told(one) for one in receipts]
    bound = supplemented(receipts[0], {"agreement": supplement_json(agreed(members))})
    alone = verify(jsonl(tmp_path, bound), allow_simulated=True)
    assert claim(alone, "agreement").basis is Basis.RECORDED
    report = verify(jsonl(tmp_path, bound, receipts[1]), allow_simulated=True)
    both = {c.receipt.id: c.verdict.claims["agreement"] for c in report.checked}
    # Whose the hosts are is still its author's word.
    assert (
        both[bound.id].passed and both[bound.id].basis is Basis.RECORDED and report.exit_code == 0
    )
    report = verify(
        jsonl(tmp_path, bound, receipts[1]), allow_simulated=True, rpc_reader=Listed(*receipts)
    )
    both = {c.receipt.id: c.verdict.claims["agreement"] for c in report.checked}
    assert both[bound.id].passed and both[bound.id].basis is Basis.ASKED and report.exit_code == 0
    # Not all of the answers are here: their texts stay the author's word.
    report = verify(jsonl(tmp_path, bound), allow_simulated=True, rpc_reader=Listed(*receipts))
    assert claim(report, "agreement").basis is Basis.RECORDED

    forged = [members[0], replace(members[1], owner="0x" + "77" * 20)]
    lying = supplemented(receipts[0], {"agreement": supplement_json(agreed(forged))})
    report = verify(jsonl(tmp_path, lying, receipts[1]), allow_simulated=True)
    assert "agreement-differs" in [f.code for f in report.findings] and report.exit_code == 1


@pytest.mark.parametrize("file", ["all answers", "one answer"])
def test_attack_40_owners_are_those_of_the_registry_that_was_asked(
    tmp_path: Path, file: str
) -> None:
    receipts = [by(name) for name in ("anna", "boris")]
    bound = supplemented(
        receipts[0], {"agreement": supplement_json(agreed([told(one) for one in receipts]))}
    )
    held = [bound, receipts[1]] if file == "all answers" else [bound]
    hosts = [one.evidence().host for one in receipts]
    assert hosts[0] is not None and hosts[1] is not None
    # The registry lists one owner for both: two hosts of one owner are one.
    one_owner = Listed(*receipts, change={hosts[1].tee_id: replace(hosts[1], owner=hosts[0].owner)})
    report = verify(jsonl(tmp_path, *held), allow_simulated=True, rpc_reader=one_owner)
    found = {c.receipt.id: c.verdict.claims["agreement"] for c in report.checked}[bound.id]
    assert (found.status, found.code, found.basis) == (Status.FAILED, "other-owner", Basis.ASKED)
    assert hosts[0].owner in (found.reason or "") and report.exit_code == 1
    gone = Listed(*receipts, change={hosts[1].tee_id: None})
    report = verify(jsonl(tmp_path, *held), allow_simulated=True, rpc_reader=gone)
    found = {c.receipt.id: c.verdict.claims["agreement"] for c in report.checked}[bound.id]
    assert found.code == "other-owner" and "does not list" in (found.reason or "")
    for problem, code, level in (
        (NetworkUnavailable("down"), "registry-not-asked", "note"),
        (RpcsDisagree("a and b"), "rpcs-disagree", "failed"),
    ):
        silent = Listed(*receipts, change={hosts[1].tee_id: problem})
        report = verify(jsonl(tmp_path, bound), allow_simulated=True, rpc_reader=silent)
        assert claim(report, "agreement").basis is Basis.RECORDED
        assert (level, code) in [(f.level, f.code) for f in report.findings]


def test_attack_40_the_payee_by_the_registry_that_was_asked(tmp_path: Path) -> None:
    elsewhere = "0x" + "77" * 20

    def change(evidence: Evidence) -> Evidence:
        assert evidence.payment is not None and evidence.host is not None
        mine = replace(evidence.host, payment_address=elsewhere)
        auth = replace(evidence.payment.authorisation, pay_to=elsewhere)
        payment = replace(evidence.payment, authorisation=auth)
        return replace(evidence, host=mine, registry=signing.registry(mine), payment=payment)

    lying = signed(change=change)
    assert (
        claim(verify(jsonl(tmp_path, lying), allow_simulated=True), "payment").status
        is not Status.FAILED
    )
    true = signing.registry(signing.host())
    report = verify(jsonl(tmp_path, lying), allow_simulated=True, rpc_reader=Registry(true))
    assert (
        claim(report, "payment").code == "other-payee"
        and claim(report, "registry").code == "wrong-entry"
    )
    assert report.exit_code == 1


# ---------------------------------------------------------------------------------------- elsewhere

READ_ELSEWHERE = """
import socket, sys

def refuse(*_, **__):
    raise AssertionError("it went to the network")

for name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse

from opg_magic.shell.main import main
sys.exit(main(["verify", sys.argv[1], "--json"]))
"""


def test_a_receipt_read_elsewhere_without_network_and_ledger(tmp_path: Path) -> None:
    """The same status for every proven claim; the others recorded, and said so (another process, an
    empty home)."""
    one = real()
    path = tmp_path / "receipt.json"
    path.write_text(one.to_json(), encoding="utf-8")
    home = tmp_path / "another machine"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPG_")} | {
        "OPG_HOME": str(home)
    }
    done = subprocess.run(
        [sys.executable, "-c", READ_ELSEWHERE, str(path)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    report = json.loads(done.stdout)
    claims = report["receipts"][0]["claims"]
    here = verify(path, trust=Trust())
    for name, mine in here.checked[0].verdict.claims.items():
        assert (claims[name]["status"], claims[name]["basis"]) == (
            mine.status,
            mine.basis and mine.basis.value,
        )
    made = one.verdict_at_creation
    assert made is not None
    for name in ("request", "response", "signature"):
        assert (
            claims[name]["basis"] == "proven"
            and claims[name]["status"] == made.claims[name].status == "passed"
        )
    # The root that plays AWS' part here is nobody's there.
    assert claims["attestation"]["code"] == "unknown-root"
    for name in ("registry", "channel", "payment", "settlement"):
        assert (claims[name]["status"], claims[name]["basis"]) == ("passed", "recorded")
    assert report["recorded_claims"] == [
        "freshness",
        "registry",
        "channel",
        "payment",
        "settlement",
    ]
    assert not list(home.rglob("*.sqlite*")), "it made a ledger"


def test_a_simulated_receipt_read_elsewhere_keeps_every_proven_claim(tmp_path: Path) -> None:
    one = signed()
    live = one.verdict_at_creation
    assert live is not None
    report = verify(jsonl(tmp_path, one), trust=signing.reader())
    for name, mine in report.checked[0].verdict.claims.items():
        if name not in live.claims:
            assert (name, mine.code) == ("weights", "not-run")
        elif live.claims[name].basis is Basis.PROVEN:
            assert (mine.status, mine.basis) == (live.claims[name].status, Basis.PROVEN)
        elif name in ("registry", "channel"):
            assert (mine.status, mine.basis) == (live.claims[name].status, Basis.RECORDED)
