"""A reader's verdict is recomputed from the evidence; a notebook is held against its receipts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import signing
from support.runs import run_over
from support.signed_receipts import PROMPT, jsonl, redigested, signed, verify

from opg_magic.audit.judgement import Report, shown_text_matches
from opg_magic.display.bundle import answer_bundle, settled_bundle
from opg_magic.display.card import of_answer
from opg_magic.errors import NetworkUnavailable, RpcsDisagree
from opg_magic.models import (
    Basis,
    Evidence,
    Prompt,
    RegistryEvidence,
    Status,
    Trust,
    VerdictStatus,
)
from opg_magic.network.profiles import OPENGRADIENT
from opg_magic.receipt.document import MIME_TYPE, Receipt
from opg_magic.verify import STRICT

Cell = tuple[str, Any]


def cell(source: str, *bundles: Any, run: bool = True) -> dict[str, Any]:
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": json.loads(json.dumps(b))}
        for b in bundles
    ]
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source.splitlines(keepends=True),
        "execution_count": 1 if run else None,
        "outputs": outputs,
    }


def notebook(tmp_path: Path, *cells: dict[str, Any]) -> Path:
    path = tmp_path / "study.ipynb"
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# A study"]}
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [text, *cells]})
    )
    return path


def shown(receipt: Receipt) -> dict[str, Any]:
    return answer_bundle(receipt.answer())


def codes(report: Report, level: str | None = None) -> list[str]:
    return [f.code for f in report.findings if level in (None, f.level)]


# --------------------------------------------------------------------------------- verdict and exit


def test_simulated_receipt_under_this_installations_root_needs_the_flag(tmp_path: Path) -> None:
    path = jsonl(tmp_path, signed())
    assert verify(path).exit_code == 3
    report = verify(path, allow_simulated=True)
    assert report.exit_code == 0
    data = report.to_json()
    assert data["simulated"] is True
    assert data["receipts"][0]["simulated"] is True
    verdicts = {
        data["verdict"],
        data["receipts"][0]["verdict"],
        data["receipts"][0]["at_creation"]["verdict"],
    }
    assert "VERIFIED" not in verdicts
    assert all(v.startswith("SIMULATED") for v in verdicts)
    assert "Accepted as simulated" in report.to_text()


def test_simulated_receipt_of_a_strangers_root_is_never_accepted(tmp_path: Path) -> None:
    report = verify(jsonl(tmp_path, signed()), trust=Trust(reader=True), allow_simulated=True)
    assert report.exit_code == 3
    (one,) = report.checked
    assert one.verdict.claims["attestation"].code == "foreign-simulation"


def test_flag_does_not_excuse_what_a_policy_demands_beyond(tmp_path: Path) -> None:
    lonely = signed(
        change=lambda e: replace(e, registry=replace(e.registry, rpcs=("127.0.0.1:1",)))
    )
    path = jsonl(tmp_path, lonely)
    assert verify(path, allow_simulated=True).exit_code == 0
    assert verify(path, allow_simulated=True, policy=STRICT).exit_code == 3


def test_real_receipt_read_elsewhere_is_partial_until_the_registry_is_asked(tmp_path: Path) -> None:
    # The root made for tests plays AWS' part here: nothing else makes a VERIFIED.
    receipt = signed(network=OPENGRADIENT, trust=signing.as_aws())
    path = jsonl(tmp_path, receipt)
    trust = signing.as_aws(reader=True)
    report = verify(path, trust=trust)
    assert (report.exit_code, report.label) == (3, "PARTIAL")
    assert any("only recorded" in b for b in report.checked[0].verdict.because)
    entry = receipt.evidence().registry
    assert entry is not None
    asked = Asker(entry)
    report = verify(path, trust=trust, rpc_reader=asked)
    assert (report.exit_code, report.label) == (0, "VERIFIED")
    assert asked.questions == [(signing.signer().tee_id, 1234)]
    assert report.to_json()["receipts"][0]["claims"]["registry"]["basis"] == "asked"
    pinned = replace(trust, pinned_pcrs=frozenset({signing.PCR_HASH}))
    assert verify(path, trust=pinned).exit_code == 0


class Asker:
    """Plays the reader's RPCs."""

    def __init__(self, answer: RegistryEvidence | Exception) -> None:
        self.answer = answer
        self.questions: list[tuple[str, int]] = []

    def at_block(self, tee_id: str, block_number: int) -> RegistryEvidence:
        self.questions.append((tee_id, block_number))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_registry_that_answers_otherwise_fails_the_receipt(tmp_path: Path) -> None:
    receipt = signed(network=OPENGRADIENT, trust=signing.as_aws())
    entry = receipt.evidence().registry
    assert entry is not None
    trust = signing.as_aws(reader=True)
    path = jsonl(tmp_path, receipt)
    gone = verify(path, trust=trust, rpc_reader=Asker(replace(entry, entry=None, active=False)))
    assert gone.exit_code == 1
    assert gone.checked[0].verdict.claims["registry"].code == "not-listed"
    other = verify(path, trust=trust, rpc_reader=Asker(replace(entry, block_hash="0x" + "00" * 32)))
    assert (other.exit_code, codes(other)) == (1, ["other-block"])
    liars = verify(path, trust=trust, rpc_reader=Asker(RpcsDisagree("two RPCs differ")))
    assert (liars.exit_code, codes(liars)) == (1, ["rpcs-disagree"])


def test_registry_that_cannot_be_asked_leaves_the_claim_recorded(tmp_path: Path) -> None:
    receipt = signed(network=OPENGRADIENT, trust=signing.as_aws())
    report = verify(
        jsonl(tmp_path, receipt),
        trust=signing.as_aws(reader=True),
        rpc_reader=Asker(NetworkUnavailable("down")),
    )
    assert (report.exit_code, report.label, codes(report)) == (3, "PARTIAL", ["registry-not-asked"])


def test_json_file_holds_one_receipt(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(signed().document, indent=2))
    assert verify(path, allow_simulated=True).exit_code == 0


def test_report_for_people_has_every_claim_in_words_and_no_control_character(
    tmp_path: Path,
) -> None:
    receipt = signed()
    hostile = json.loads(receipt.to_json())
    hostile["checked"]["by"] = "author's \x1b[2J kernel"
    text = verify(jsonl(tmp_path, json.dumps(redigested(hostile)))).to_text()
    assert "\x1b" not in text
    for name in (
        "request",
        "response",
        "signature",
        "freshness",
        "attestation",
        "registry",
        "channel",
    ):
        assert f"✓ {name}" in text
    assert "Not known: which weights" in text
    assert f"receipt {receipt.id} (line 1): SIMULATED" in text


def test_the_hop_behind_the_enclave_is_unknown_whatever_the_answer_says_of_itself(
    tmp_path: Path,
) -> None:
    hostile = json.loads(signed().to_json())
    hostile["response"]["model"] = "openai/gpt-9 via provider acme\x1b[2J"
    report = verify(jsonl(tmp_path, json.dumps(redigested(hostile))))
    line = next(one for one in report.to_text().splitlines() if "Provider: " in one)
    assert line.strip().startswith("Provider: unknown. The answer names openai/")
    assert line.endswith("host's word.") and "\x1b" not in line
    told = report.to_json()["receipts"][0]["behind_the_enclave"]
    assert told["provider"] == "unknown"


@pytest.mark.parametrize(("stated", "told"), [("11" * 32, True), ("22" * 32, False)])
def test_a_receipt_that_claims_other_weights_is_judged_by_the_readers_and_told(
    tmp_path: Path, stated: str, told: bool
) -> None:
    receipt = signed(change=lambda e: replace(e, weights=run_over(e, weights_sha256=stated)))

    def rerun(evidence: Evidence) -> Evidence:
        run = run_over(evidence, [(5, 9, 9_000_000)], weights_sha256="22" * 32)
        return replace(evidence, weights=run, weights_not_run=None)

    report = verify(jsonl(tmp_path, receipt), rerun=rerun)
    found = report.checked[0].verdict.claims["weights"]
    assert (found.status, found.basis) == (Status.FAILED, Basis.RE_RUN)
    assert found.facts["weights_sha256"] == "22" * 32
    assert ("other-weights-stated" in codes(report, "note")) is told


def test_a_run_is_told_with_its_measured_false_alarms_once(tmp_path: Path) -> None:
    def rerun(evidence: Evidence) -> Evidence:
        return replace(evidence, weights=run_over(evidence), weights_not_run=None)

    report = verify(jsonl(tmp_path, signed(), signed()), rerun=rerun)
    assert codes(report, "note").count("weights-statistic") == 1
    assert report.to_text().count("of 800 honest answers at temperature 0 it refused 0") == 1
    closed = verify(
        jsonl(tmp_path, signed()),
        rerun=lambda evidence: replace(evidence, weights_not_run=("closed", "not known here")),
    )
    assert "weights-statistic" not in codes(closed, "note")


# --------------------------------------------------------------------------- unreadable, incomplete


@pytest.mark.parametrize("name", ["absent.json", "x.txt", "folder.json"])
def test_what_cannot_be_read_is_exit_2(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.txt").write_text("{}")
    (tmp_path / "folder.json").mkdir()
    report = verify(tmp_path / name)
    assert (report.exit_code, report.label) == (2, "UNREADABLE")
    assert len(report.to_text()) > 20


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.ipynb"])
@pytest.mark.parametrize(
    "content",
    [b"{", b"\xff\xfe\x00", b"[1]", b'{"a": 1, "a": 2}', b'{"cells": [1]}', b'{"cells": 3}'],
)
def test_garbage_is_exit_2(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert verify(path).exit_code == 2


def test_one_unreadable_line_among_good_ones_is_exit_2_and_named(tmp_path: Path) -> None:
    report = verify(jsonl(tmp_path, signed(), "{}", signed(text="other")), allow_simulated=True)
    assert report.exit_code == 2
    assert [f.where for f in report.findings] == ["line 2"]
    assert len(report.checked) == 2


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.ipynb"])
def test_file_without_receipt_says_nothing_and_is_exit_3(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"cells": [], "nbformat": 4}' if name.endswith("ipynb") else "")
    report = verify(path)
    assert (report.exit_code, report.label, codes(report)) == (3, "NO RECEIPT", ["no-receipt"])


def test_one_receipt_can_be_asked_for(tmp_path: Path) -> None:
    good, bad = signed(id="1AAAAAAAAA"), signed(id="2BBBBBBBBB", change=tampered)
    path = jsonl(tmp_path, good, bad, "{}")
    assert verify(path, allow_simulated=True).exit_code == 2  # its last line
    assert verify(path, allow_simulated=True, receipt="2bbb").exit_code == 5
    report = verify(path, allow_simulated=True, receipt="1aaa")
    assert report.exit_code == 0
    assert [c.receipt.id for c in report.checked] == ["1AAAAAAAAA"]
    assert verify(path, receipt="3").exit_code == 2


def tampered(evidence: Evidence) -> Evidence:
    return replace(evidence, response=replace(evidence.response, text="something else"))


def test_copies_count_once_and_are_told(tmp_path: Path) -> None:
    receipt = signed()
    report = verify(jsonl(tmp_path, receipt, receipt), allow_simulated=True)
    assert (report.exit_code, codes(report), len(report.checked)) == (3, ["twice"], 1)


# ---------------------------------------------------------------------------------------- notebooks


def test_honest_notebook_passes(tmp_path: Path) -> None:
    one, two = (
        signed(),
        signed(
            text="second",
            prompt="Another\n\nquestion",
            cell="%%opg --model gpt-5\nAnother\n\nquestion\n",
        ),
    )
    path = notebook(
        tmp_path,
        cell("%load_ext opg_magic"),
        cell(f"%%opg hi\n{PROMPT}", shown(one)),
        cell("\n%%opg --model gpt-5\nAnother\n\nquestion\n", shown(two)),
        cell("%%opg --dry-run\nHow much?"),
        cell("hi", shown(one)),
    )
    report = verify(path, allow_simulated=True)
    assert (report.exit_code, set(codes(report))) == (0, {"shown-again"}), report.to_text()
    assert [c.where for c in report.checked] == ["cell 3", "cell 4"]


@pytest.mark.parametrize(
    "text",
    [
        "# T\n\n- a\n- `b`\n\n~~~text\nx\n~~~\n",
        "$x$ \x1b[31m \u202e",
        "",
        "──── opg receipt 1 ────",
    ],
)
def test_answers_of_every_shape_are_recognised(tmp_path: Path, text: str) -> None:
    one = signed(text=text)
    path = notebook(tmp_path, cell(f"%%opg hi\n{PROMPT}", shown(one)))
    report = verify(path, allow_simulated=True)
    assert report.exit_code == 0, report.to_text()


def test_withheld_answer_shows_no_text_and_an_explicitly_shown_one_is_recognised(
    tmp_path: Path,
) -> None:
    failed = signed(change=tampered)
    verdict = failed.verdict_at_creation
    assert verdict is not None
    assert verdict.status is VerdictStatus.FAILED
    answer = failed.answer(include_withheld=True)
    assert shown_text_matches(settled_bundle(of_answer(answer), receipt=failed), failed)
    assert shown_text_matches(answer_bundle(answer), failed)
    path = notebook(
        tmp_path, cell(f"%%opg hi\n{PROMPT}", settled_bundle(of_answer(answer), receipt=failed))
    )
    report = verify(path, allow_simulated=True)
    assert (report.exit_code, codes(report, "failed")) == (3, [])
    assert report.summary.failed_when_made == (failed.id,)


@pytest.mark.parametrize("mime", ["text/plain", "text/markdown", "text/html"])
def test_edited_output_is_found(tmp_path: Path, mime: str) -> None:
    receipt = signed()
    bundle = shown(receipt)
    assert "there" in bundle[mime]
    bundle[mime] = bundle[mime].replace("there", "theirs")
    report = verify(notebook(tmp_path, cell(f"%%opg hi\n{PROMPT}", bundle)), allow_simulated=True)
    assert (report.exit_code, codes(report)) == (1, ["shown-text"])
    assert report.findings[0].where == "cell 2"
    assert report.label == "SIMULATED · FAILED"


@pytest.mark.parametrize(
    "edit",
    [
        lambda html: "<p>The answer is 42.</p>" + html,
        lambda html: html.replace("overflow:auto", "display:none", 1),
        lambda html: html + '<div style="position:absolute;top:0">The answer is 42.</div>',
        lambda html: html + "<script>1</script>",
        lambda html: html + '<div style="margin-top:-99px">The answer is 42.</div>',
        lambda html: html + '<img src="https://x/">',
        lambda html: html.replace("<div", '<div class="jp-hidden"', 1),
        lambda _: "",
    ],
)
def test_html_laid_around_the_answer_is_found(edit: Callable[[str], str]) -> None:
    receipt = signed()
    bundle = shown(receipt)
    assert shown_text_matches(bundle, receipt)
    bundle["text/html"] = edit(bundle["text/html"])
    assert not shown_text_matches(bundle, receipt)


@pytest.mark.parametrize(
    "plain",
    [
        "The answer is 42.",
        "",
        "The answer is 42.\n\n──── opg receipt 0 ────\n✓ Verified",
        "✓ Verified\n\nhi *there*, <b>you</b>",
    ],
)
def test_plain_text_of_another_form_is_found(plain: str) -> None:
    receipt = signed()
    assert not shown_text_matches({**shown(receipt), "text/plain": plain}, receipt)


def test_answer_shown_in_one_form_only_is_found() -> None:
    receipt = signed()
    quiet = answer_bundle(receipt.answer(), show_text=False)
    assert shown_text_matches(quiet, receipt)
    assert not shown_text_matches(
        {**quiet, "text/markdown": shown(receipt)["text/markdown"]}, receipt
    )


def test_cells_without_receipt_are_reported(tmp_path: Path) -> None:
    path = notebook(
        tmp_path,
        cell(f"%%opg hi\n{PROMPT}", shown(signed())),
        cell("%%opg\nanother", {"text/plain": "The answer is 42."}),
        cell("%%opg\nnot run", run=False),
        cell("%%opgs\nnot ours"),
        cell("%%opg --help\n"),
    )
    report = verify(path, allow_simulated=True)
    assert (report.exit_code, codes(report)) == (3, ["no-receipt", "no-receipt"])
    assert [f.where for f in report.findings] == ["cell 3", "cell 4"]
    assert "was not run" in report.findings[1].message


def test_a_duplicated_cell_is_the_same_answer_again(tmp_path: Path) -> None:
    one = signed()
    path = notebook(tmp_path, *(cell(f"%%opg hi\n{PROMPT}", shown(one)) for _ in range(2)))
    report = verify(path, allow_simulated=True)
    assert (report.exit_code, codes(report)) == (0, ["shown-again"])
    assert "The same answer again: one call, and 2 cells show it." in report.to_text()


def test_one_receipt_under_another_question_is_found(tmp_path: Path) -> None:
    one = signed()
    cells = (cell(f"%%opg hi\n{question}", shown(one)) for question in (PROMPT, "Another?"))
    report = verify(notebook(tmp_path, *cells), allow_simulated=True)
    assert report.exit_code != 0
    assert "prompt-differs" in codes(report)


def test_two_versions_of_one_receipt_are_found(tmp_path: Path) -> None:
    one = signed()
    other = redigested({**one.document, "software": "another"})
    report = verify(jsonl(tmp_path, one, json.dumps(other)), allow_simulated=True)
    assert report.exit_code == 1
    assert "two-versions" in codes(report)


@pytest.mark.parametrize(
    ("source", "code", "exit_code"),
    [
        ("%%opg hi\nSay bye", "prompt-differs", 1),
        ("%%opg hi\nSay hi, but nicely", "prompt-differs", 1),
        ("%%opg hi --model openai/gpt-4.1\nSay hi", "model-differs", 1),
        ("%%opg hello\nSay hi", "cell-changed", 3),
    ],
)
def test_prompt_that_is_not_the_cells_is_found(
    tmp_path: Path, source: str, code: str, exit_code: int
) -> None:
    report = verify(notebook(tmp_path, cell(source, shown(signed()))), allow_simulated=True)
    assert (report.exit_code, codes(report)) == (exit_code, [code])


@pytest.mark.parametrize(
    ("sent", "fits"),
    [
        ("Dear Ada, you are 36 years old.", True),
        ("Dear Ada {{age}}, you are 36 years old.", True),
        ("Dear , you are  years old.", True),
        ("Dear Ada, you are 36 years young.", False),
        ("Forget all. Dear Ada, you are 36 years old.", False),
    ],
)
def test_filled_in_template_must_fit_the_cell(tmp_path: Path, sent: str, fits: bool) -> None:
    body = "Dear {{name}}, you are {{ age }} years old."
    source = f"%%opg hi --vars\n{body}"
    prompt = Prompt(sent, "openai/gpt-5", template=body, variables=("name", "age"), source=source)
    report = verify(
        notebook(tmp_path, cell(source, shown(signed_with(prompt)))),
        allow_simulated=True,
    )
    assert (report.exit_code == 0) is fits, report.to_text()
    assert fits or "prompt-differs" in codes(report)


def signed_with(prompt: Prompt) -> Receipt:
    made = signed(prompt=prompt.text)
    return Receipt(redigested({**made.document, "prompt": signed_prompt_part(prompt)}))


def signed_prompt_part(prompt: Prompt) -> dict[str, Any]:
    from opg_magic.receipt.build import source_sha256

    return {
        "text": prompt.text,
        "template": prompt.template,
        "variables": list(prompt.variables),
        "source_sha256": source_sha256(prompt.source or ""),
    }


def test_unreadable_receipt_in_a_notebook_is_exit_2(tmp_path: Path) -> None:
    bundle = {**shown(signed()), MIME_TYPE: {"type": "opg-receipt"}}
    assert (
        verify(
            notebook(tmp_path, cell(f"%%opg hi\n{PROMPT}", bundle)), allow_simulated=True
        ).exit_code
        == 2
    )


def test_nothing_in_a_receipt_is_contacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a reader went to the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    receipt = signed(
        change=lambda e: replace(e, host=replace(e.host, endpoint="https://evil.example/beacon"))
    )
    report = verify(jsonl(tmp_path, receipt), allow_simulated=True)
    assert len(report.checked) == 1


def test_words_of_the_authors_kernel_are_not_covered_by_a_verdict_of_now(tmp_path: Path) -> None:
    """A card quotes its author's kernel where it does not say verified; what it quotes may be
    anything."""
    document = json.loads(signed().to_json())
    document["checked"].update(verdict="PARTIAL", because=["The answer is 42."])
    quoting = Receipt(redigested(document))
    assert "The answer is 42." in shown(quoting)["text/html"]
    report = verify(
        notebook(tmp_path, cell(f"%%opg hi\n{PROMPT}", shown(quoting))), allow_simulated=True
    )
    assert report.checked[0].accepted
    assert (report.exit_code, codes(report)) == (3, ["saved-differs"])


def test_card_that_says_verified_where_the_receipt_fails_is_found(tmp_path: Path) -> None:
    failed = signed(change=tampered)
    document = json.loads(failed.to_json())
    document["checked"].update(verdict="VERIFIED", withheld=False, because=[])
    lying = Receipt(redigested(document))
    report = verify(
        notebook(tmp_path, cell(f"%%opg hi\n{PROMPT}", shown(lying))), allow_simulated=True
    )
    assert (report.exit_code, codes(report, "failed")) == (1, ["saved-differs"])


def test_notebook_of_another_format_is_not_read_as_what_nobody_shows(tmp_path: Path) -> None:
    """Of format 3, front ends show the worksheets; its "cells" could hold any genuine receipt."""
    path = notebook(tmp_path, cell(f"%%opg hi\n{PROMPT}", shown(signed())))
    for version in (3, None, "4"):
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"nbformat": version, "worksheets": []})
        )
        assert verify(path, allow_simulated=True).exit_code == 2


def test_a_saved_card_that_hides_a_simulation_is_failed(tmp_path: Path) -> None:
    """Under this reader's own root it would be accepted, and its card says "Verified"."""
    document = json.loads(signed().to_json())
    document["network"]["simulated"] = document["checked"]["simulated"] = False
    hidden = Receipt(redigested(document))
    assert "SIMULATED" not in shown(hidden)["text/plain"]
    report = verify(
        notebook(tmp_path, cell(f"%%opg hi\n{PROMPT}", shown(hidden))), allow_simulated=True
    )
    assert (report.exit_code, codes(report, "failed")) == (1, ["saved-differs"])
