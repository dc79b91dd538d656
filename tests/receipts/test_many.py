"""A file of many receipts: a summary, failures that were honest when made told apart from what was
altered since, a table."""

from __future__ import annotations

import copy
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support import signing
from support.signed_receipts import jsonl, redigested, signed, verify

from opg_magic.audit.findings import Finding
from opg_magic.audit.judgement import Report
from opg_magic.models import Evidence, RegistryEvidence
from opg_magic.receipt.document import Receipt
from opg_magic.shell.main import main
from opg_magic.verify import policy


def lied(evidence: Evidence) -> Evidence:
    """What a host does that signs another text than it sends."""
    return replace(evidence, response=replace(evidence.response, text="something else"))


def altered(receipt: Receipt) -> str:
    """The answer changed after the call, with a digest that fits."""
    document = copy.deepcopy(dict(receipt.document))
    document["response"]["text"] = "something else"
    return json.dumps(redigested(document))


AUDIT = policy("audit")
GOOD = [signed() for _ in range(3)]
LIARS = [signed(change=lied) for _ in range(2)]


def accepted(tmp_path: Path, *receipts: Receipt | str) -> Report:
    return verify(jsonl(tmp_path, *receipts), allow_simulated=True)


# ------------------------------------------------------------------- failed when made, or altered


def test_an_honest_ledger_with_caught_liars_is_not_failed(tmp_path: Path) -> None:
    report = accepted(tmp_path, *GOOD, *LIARS)
    assert (report.exit_code, report.label) == (5, "SIMULATED · FAILED WHEN MADE")
    assert report.summary.failed_when_made == tuple(one.id for one in LIARS)
    assert report.summary.altered == ()
    head = report.to_text(verbose=False).splitlines()[0]
    assert head.endswith("(5 receipts, policy default; 2 failed when made, 0 altered)")


def test_one_that_was_altered_since_is_failed_whatever_else_there_is(tmp_path: Path) -> None:
    spoilt = signed()
    report = accepted(tmp_path, *GOOD, *LIARS, altered(spoilt))
    assert (report.exit_code, report.label) == (1, "SIMULATED · FAILED")
    assert report.summary.altered == (spoilt.id,)
    assert len(report.summary.failed_when_made) == 2
    text = report.to_text(verbose=False)
    assert "2 failed when made, 1 altered" in text
    assert "✗ 1 × response, failing although recorded otherwise: " in text and spoilt.id in text


def test_a_failure_is_not_excused_by_one_of_another_check(tmp_path: Path) -> None:
    """The kernel saw a liar; the registry that is asked now does not list the host either."""

    class Gone:
        def at_block(self, tee_id: str, block_number: int) -> RegistryEvidence:
            return signing.registry(None)

    report = verify(jsonl(tmp_path, LIARS[0]), allow_simulated=True, rpc_reader=Gone())
    assert report.exit_code == 1 and report.summary.failed_when_made == ()


def test_a_failed_receipt_with_another_digest_than_its_own_was_altered(tmp_path: Path) -> None:
    document = {**LIARS[0].document, "digest": GOOD[0].digest}
    report = accepted(tmp_path, json.dumps(document))
    assert report.exit_code == 1 and report.summary.altered == (LIARS[0].id,)


def test_who_alters_a_receipt_and_its_verdict_gains_no_acceptance(tmp_path: Path) -> None:
    """It cannot be told from an honest failure, which is why that is never exit code 0."""
    document = copy.deepcopy(dict(signed().document))
    document["response"]["text"] = "something else"
    document["checked"] = copy.deepcopy(LIARS[0].document["checked"])
    report = accepted(tmp_path, *GOOD, json.dumps(redigested(document)))
    assert report.exit_code == 5 and not report.checked[-1].accepted


@pytest.mark.parametrize(
    ("more", "options", "code"),
    [("{}", {"allow_simulated": True}, 2), ("", {}, 3), ("", {"allow_simulated": True}, 5)],
    ids=["unreadable", "simulated, not allowed", "allowed"],
)
def test_what_is_worse_than_an_honest_failure(
    tmp_path: Path, more: str, options: dict[str, bool], code: int
) -> None:
    assert verify(jsonl(tmp_path, *GOOD, *LIARS, more), **options).exit_code == code


# ----------------------------------------------------------------------------------- the summary


def test_the_summary_counts_and_sums(tmp_path: Path) -> None:
    report = accepted(tmp_path, *GOOD, *LIARS)
    told = report.to_json()["summary"]
    assert told["receipts"] == 5 and told["accepted"] == 3
    assert told["verdicts"] == {"SIMULATED · PARTIAL": 3, "SIMULATED · FAILED": 2}
    response = {"status": {"passed": 3, "failed": 2}, "basis": {"proven": 5}}
    assert told["claims"]["response"] == response
    (sums,) = told["sums"]
    costs = [one.cost.amount.amount for one in (*GOOD, *LIARS) if one.cost.amount is not None]
    assert (sums["claimed"], sums["claimed_calls"]) == (str(sum(costs)), len(costs))
    assert (sums["settled"], sums["settled_calls"]) == ("0", 0)
    moments = sorted(one.document["created_at"] for one in (*GOOD, *LIARS))
    assert told["period"] == [moments[0], moments[-1]]
    assert told["models"] == {"openai/gpt-5": 5} and sum(told["hosts"].values()) == 5


def test_hundreds_of_receipts_fit_on_a_screen_and_say_where_the_rest_is(tmp_path: Path) -> None:
    many = [signed(change=lied) if n % 8 == 0 else signed() for n in range(48)]
    report = accepted(tmp_path, *many, *many[:3])
    lines = report.to_text(verbose=False).splitlines()
    assert len(lines) < 45
    assert any(line.startswith("○ 3 × twice: ") for line in lines)
    assert any(line.startswith("✗ 6 × response, failed when made: ") for line in lines)
    assert "--verbose" in lines[-1] and "--receipt ID" in lines[-1]
    whole = report.to_text(verbose=True)
    assert all(f"receipt {one.id} (" in whole for one in many)


def test_one_receipt_is_told_in_full_without_being_asked_for(tmp_path: Path) -> None:
    text = accepted(tmp_path, GOOD[0]).to_text(verbose=False)
    assert f"receipt {GOOD[0].id} (line 1)" in text and "signature" in text
    assert "--verbose" not in text


# ----------------------------------------------------------------------------- what to do about it


def _head(report: Report) -> list[str]:
    """The lines before the first empty one: those that are read in ten seconds."""
    return report.to_text(verbose=False).split("\n\n")[0].splitlines()[1:]


def test_what_is_wrong_stands_before_what_is_well(tmp_path: Path) -> None:
    """An altered receipt among hundreds was told of below the whole summary."""
    text = accepted(tmp_path, *GOOD, altered(signed())).to_text(verbose=False)
    assert text.splitlines()[1].startswith("Do not rely on what is marked ✗")
    assert text.index("✗ 1 × response") < text.index("check    ")


def test_why_it_is_no_more_and_what_answers_it_is_said_first(tmp_path: Path) -> None:
    path = jsonl(tmp_path, *GOOD)
    assert _head(verify(path, allow_simulated=False)) == [
        "Nothing fails, but not everything that policy default requires is met:",
        "→ 3 receipts of this installation's simulated network: --allow-simulated accepts them",
    ]
    assert _head(verify(path, allow_simulated=True)) == [
        "Accepted by --allow-simulated: everything that policy default requires passed, registry "
        "by the author's word alone."
    ]
    assert _head(verify(path, policy=AUDIT, allow_simulated=True)) == [
        "Nothing fails, but not everything that policy audit requires is met:",
        "→ payment: missing in 3 receipts",
        "→ settlement: not applicable in 3 receipts",
    ]


def test_a_real_network_s_lack_names_the_option_that_asks(tmp_path: Path) -> None:
    report = verify(jsonl(tmp_path, *GOOD), policy=AUDIT)
    real = [replace(one, verdict=replace(one.verdict, simulated=False)) for one in report.checked]
    assert _head(replace(report, checked=tuple(real)))[1:] == [
        "→ registry: the author's word in 3 receipts; --rpc URL asks the host registry",
        "→ payment: missing in 3 receipts; --rpc URL --payment-rpc URL look the payment up",
        "→ settlement: not applicable in 3 receipts; a call with --settle batch has one, and "
        "--rpc URL asks for it",
    ]


def test_an_honest_failure_says_what_else_is_good(tmp_path: Path) -> None:
    (line,) = _head(accepted(tmp_path, *GOOD, *LIARS))
    assert line.startswith("What fails here failed when it was made")
    first, *steps = _head(verify(jsonl(tmp_path, *GOOD, *LIARS)))
    assert first.startswith(line.partition(" Everything")[0]) and "not everything" in first
    assert steps == [
        "→ 3 receipts of this installation's simulated network: --allow-simulated accepts them"
    ]


def test_a_file_without_receipts_says_whom_to_ask(tmp_path: Path) -> None:
    path = tmp_path / "plain.ipynb"
    path.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    assert _head(verify(path)) == [
        "Nothing here can be verified.",
        "→ ask the author for the receipts: opg receipts export receipts.jsonl",
    ]


def test_places_to_look_at_are_few_and_in_order(tmp_path: Path) -> None:
    report = verify(jsonl(tmp_path, GOOD[0]))
    beside = [Finding("incomplete", "beside", "b", f"cell {n}") for n in (12, 9, 41, 33, 50)]
    step = _head(replace(report, findings=tuple(beside)))[-1]
    assert "(cell 9, cell 12, cell 33, cell 41 and 1 more)" in step


def test_a_lack_stands_beside_its_receipt_under_a_heading(tmp_path: Path) -> None:
    """It stood among the checks that do not apply."""
    lines = verify(jsonl(tmp_path, GOOD[0])).to_text().splitlines()
    told = lines.index("  Not enough for policy default")
    assert lines[told + 1] == "    ○ registry: only recorded by the author of the receipt"


# ------------------------------------------------------------------------------------- the table


def test_the_table_has_a_row_a_receipt_and_no_cell_that_runs(tmp_path: Path) -> None:
    evil = signed(model_sent="gpt-5", prompt="Say hi")
    document = copy.deepcopy(dict(evil.document))
    document["request"]["model_requested"] = "=cmd|' /C calc'!A0"
    report = accepted(tmp_path, *GOOD, *LIARS, json.dumps(redigested(document)))
    rows = list(csv.DictReader(io.StringIO(report.to_csv(), newline="")))
    assert [row["id"] for row in rows] == [one.receipt.id for one in report.checked]
    assert [row["state"] for row in rows] == ["accepted"] * 3 + ["failed when made"] * 2 + [
        "accepted"
    ]
    assert rows[0]["response"] == "passed:proven" and rows[3]["response"].startswith("failed")
    assert rows[0]["claimed_base_units"] == str(GOOD[0].cost.amount.amount)  # type: ignore[union-attr]
    assert rows[-1]["model"] == "'=cmd|' /C calc'!A0"


def test_the_command_has_them_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    path = str(jsonl(tmp_path, *GOOD, *LIARS))
    # The root of these receipts is not this installation's own: they stay open.
    assert main(["verify", path]) == 3
    brief = capsys.readouterr().out
    assert main(["verify", path, "--verbose"]) == 3
    assert len(capsys.readouterr().out.splitlines()) > 2 * len(brief.splitlines())
    assert main(["verify", path, "--csv"]) == 3
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert main(["verify", path, "--receipt", GOOD[1].id]) == 3
    assert f"receipt {GOOD[1].id}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["verify", path, "--csv", "--json"])
