"""Every receipt of the corpus comes to the verdict that it was made for, and the browser's verifier
says the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from corpus import generate
from corpus.build import Case
from corpus.cases import all_cases
from corpus.mutations import mutations

ROOT = Path(__file__).resolve().parents[2]
LABEXTENSION = ROOT / "labextension"
JLPM = Path(sys.executable).parent / "jlpm"

#: One worker: the corpus is made and judged once.
pytestmark = pytest.mark.xdist_group("corpus")

#: Attacks that a receipt by itself can carry; the others need a network, a ledger or a screen.
CARRIED = {
    1,
    2,
    3,
    4,
    5,
    6,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    22,
    23,
    24,
    25,
    30,
    *range(31, 36),
    40,
}


@cache
def judged() -> tuple[tuple[Case, dict[str, Any] | None], ...]:
    return tuple((case, generate.expected_of(case)) for case in all_cases())


@cache
def spoilt() -> tuple[tuple[Case, dict[str, Any] | None], ...]:
    return tuple(
        (case, generate.expected_of(case)) for case in mutations([case for case, _ in judged()])
    )


def test_each_receipt_comes_to_what_it_was_made_for() -> None:
    for case, found in judged():
        want = None if case.want is None else case.want.value
        status = None if found is None else found["status"]
        # On a simulated network VERIFIED is called SIMULATED.
        simulated = found is not None and found["simulated"] and want == "VERIFIED"
        assert status == ("SIMULATED" if simulated else want), case.name
        if case.fails and found is not None:
            failed = {
                name for name, claim in found["claims"].items() if claim["status"] == "failed"
            }
            assert failed == case.fails, case.name


def test_the_corpus_holds_every_attack_that_a_receipt_can_carry() -> None:
    names = [case.name for case, _ in judged()]
    assert len(names) >= 60
    assert not [name for name, count in Counter(names).items() if count > 1]
    assert {
        int(found) for name in names for found in re.findall(r"\battack_(\d\d)", name)
    } == CARRIED


def test_no_attack_is_green_for_a_stranger() -> None:
    for case, found in judged():
        if (
            case.trust.reader
            and not case.trust.asked
            and not case.trust.pinned_pcrs
            and found is not None
        ):
            assert found["status"] != "VERIFIED", case.name


def test_spoilt_receipts_are_judged_or_refused_in_words() -> None:
    """Something at random is replaced in some hundred receipts: only a verdict or a refusal comes
    of one."""
    statuses = Counter(None if found is None else found["status"] for _, found in spoilt())
    # Of each kind there are some, or the comparison below would be of refusals alone.
    assert min(statuses[None], statuses["FAILED"], statuses["VERIFIED"]) > len(spoilt()) // 20, (
        statuses
    )


def test_policies_that_name_two_routes_are_refused_and_others_are_not() -> None:
    for case in generate.policies():
        routes = {name.rpartition("+")[2] for name in case["names"]} & {"direct", "private"}
        assert (case["expected"] is None) == (len(routes) > 1), case
        if case["expected"] is not None:
            assert case["expected"]["route"] == next(iter(routes), None), case


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.skipif(
    not (LABEXTENSION / "node_modules").is_dir(),
    reason="labextension/ is not installed (make test)",
)
def test_the_browsers_verifier_says_the_same(tmp_path: Path) -> None:
    both = (*judged(), *spoilt())
    corpus = tmp_path / "receipts.jsonl"
    corpus.write_text(
        "".join(generate.line(case, found) + "\n" for case, found in both), encoding="utf-8"
    )
    from corpus import notebooks

    whole = tmp_path / "notebooks.jsonl"
    cases = list(notebooks.all_notebooks())
    whole.write_text("".join(notebooks.line(case) + "\n" for case in cases), encoding="utf-8")
    from corpus import files

    together = tmp_path / "files.jsonl"
    of_files = list(files.all_files())
    together.write_text(
        "".join(files.line(case, tmp_path) + "\n" for case in of_files), encoding="utf-8"
    )
    rules = tmp_path / "policies.json"
    rules.write_text(json.dumps(generate.policies()), encoding="utf-8")
    path = os.pathsep.join([str(JLPM.parent), os.environ.get("PATH", os.defpath)])
    report = tmp_path / "report.json"
    done = subprocess.run(
        [str(JLPM), "test", "corpus", "--silent", "--json", f"--outputFile={report}"],
        cwd=LABEXTENSION,
        env=os.environ
        | {
            "PATH": path,
            "OPG_CORPUS": str(corpus),
            "OPG_POLICIES": str(rules),
            "OPG_NOTEBOOKS": str(whole),
            "OPG_FILES": str(together),
        },
        capture_output=True,
        text=True,
    )
    assert report.exists(), done.stdout[-4000:] + done.stderr[-4000:]
    results = json.loads(report.read_text(encoding="utf-8"))
    different = [
        f"{test['fullName']}: {test['failureMessages'][0][:2000]}"
        for suite in results["testResults"]
        for test in suite["assertionResults"]
        if test["status"] != "passed"
    ]
    assert not different, "\n\n".join(different[:5])
    assert results["success"] and results["numPassedTests"] >= len(both) + len(cases) + len(
        of_files
    )
