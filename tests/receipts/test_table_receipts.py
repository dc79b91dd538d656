"""A table's receipts in a notebook: kept small, given back byte for byte, checked with a second
file where they are too many."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chains import settled
from support.signed_receipts import jsonl, redigested, signed, verify

from opg_magic.models import VerdictStatus
from opg_magic.receipt import table
from opg_magic.receipt.document import Receipt, supplemented
from opg_magic.receipt.face.table import table_text
from opg_magic.receipt.supplements import supplement_json

COUNTS = table.Counts(3, 3, "3 of 3 prompts · 3 from the ledger")


@pytest.fixture(scope="module")
def receipts() -> list[Receipt]:
    from corpus.notebooks_tables import rows

    return [*rows()]


def test_each_receipt_comes_out_byte_for_byte(receipts: list[Receipt]) -> None:
    value = table.packed(receipts, COUNTS)
    found = table.read(json.loads(json.dumps(value)))
    assert found.counts == COUNTS
    assert found.receipts is not None
    again = [Receipt.from_document(one).to_json() for one in found.receipts]
    assert again == [one.to_json() for one in receipts]
    # What rows share stands once.
    assert len(value["packed"]) < len(receipts[0].to_json())


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["part", "total_tokens", "é"]),
        st.one_of(st.integers(0, 9), st.none(), st.text(max_size=5), st.just({"part": 0})),
    )
)
def test_what_a_host_says_of_its_usage_is_never_taken_for_a_reference(
    receipts: list[Receipt], usage: dict[str, object]
) -> None:
    document = receipts[0].document
    odd = Receipt({**document, "response": {**document["response"], "usage": usage}})
    found = table.read(table.packed([odd, receipts[1]], COUNTS))
    assert found.receipts is not None
    assert [Receipt(one).to_json() for one in found.receipts] == [
        odd.to_json(),
        receipts[1].to_json(),
    ]


def test_too_many_are_named_by_their_digests(receipts: list[Receipt], monkeypatch) -> None:
    monkeypatch.setattr(table, "LIMIT", 500)
    assert table.packed(receipts, COUNTS) is None
    value = table.named([one.digest for one in receipts], COUNTS)
    assert table.read(value).digests == tuple(one.digest for one in receipts)
    assert table.named([], COUNTS) is None
    assert table.named(["sha256:" + "0" * 64] * (table.MOST_NAMED + 1), COUNTS) is None


def digests_only(receipts: list[Receipt], folder: Path, source: str) -> Path:
    from corpus.notebooks import cell, notebook, output

    held = table.named([one.digest for one in receipts], COUNTS)
    text = table_text(COUNTS, None, len(receipts))
    document = notebook(cell(source, output({"text/plain": text, table.MIME_TYPE: held})))
    path = folder / "study.ipynb"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_second_file_has_the_receipts_that_a_notebook_names(
    receipts: list[Receipt], tmp_path: Path
) -> None:
    from corpus.notebooks_tables import ASKED

    path = digests_only(receipts, tmp_path, ASKED)
    alone = verify(path, allow_simulated=True)
    assert (alone.exit_code, alone.label) == (3, "NO RECEIPT")
    assert [one.code for one in alone.findings] == ["receipts-elsewhere"]

    whole = verify(path, allow_simulated=True, receipts=jsonl(tmp_path, *receipts))
    assert whole.exit_code == 0, whole.to_text()
    assert [one.where for one in whole.checked] == ["cell 2"] * 3
    assert {one.code for one in whole.findings} == {"table", "from-variables"}

    some = verify(path, allow_simulated=True, receipts=jsonl(tmp_path, *receipts[:2]))
    assert some.exit_code == 3
    assert "some.jsonl lacks 1 of the 3 receipts" in some.to_text()

    other = signed(id="9ZZZZZZZZZ")
    more = verify(path, allow_simulated=True, receipts=jsonl(tmp_path, *receipts, other))
    assert more.exit_code == 0
    assert len(more.checked) == 3
    assert "some.jsonl holds 1 more receipts" in more.to_text()


def test_an_altered_receipt_in_the_second_file_is_not_the_one_that_is_named(
    receipts: list[Receipt], tmp_path: Path
) -> None:
    from corpus.notebooks_tables import ASKED

    path = digests_only(receipts, tmp_path, ASKED)
    document = receipts[0].document
    # Its digest as it was, and made anew.
    for edited in ({**document, "software": "x"}, redigested({**document, "software": "x"})):
        file = jsonl(tmp_path, Receipt(edited), *receipts[1:])
        report = verify(path, allow_simulated=True, receipts=file)
        assert report.exit_code == 3
        assert "lacks 1 of the 3" in report.to_text()


@pytest.mark.parametrize("first", [True, False])
def test_each_version_of_a_receipt_in_the_second_file_is_judged(
    first: bool, receipts: list[Receipt], tmp_path: Path
) -> None:
    """A forged version hides behind no honest one, and no honest one behind a forged one."""
    from corpus.notebooks_tables import ASKED

    path = digests_only(receipts, tmp_path, ASKED)
    paid = settled(receipts[0].evidence())
    forged = supplemented(receipts[0], {"payment": supplement_json(replace(paid, amount=10**30))})
    # Its digest says that it is the honest one.
    posing = Receipt({**forged.document, "digest": receipts[0].digest})
    honest = supplemented(receipts[0], {"payment": supplement_json(paid)})

    left = receipts[1:]
    for wrong, others, count in (
        (forged, [honest, *left], 4),
        (posing, receipts, 4),
        # The version as it was made stands aside for the later one, and that is said.
        (forged, receipts, 3),
    ):
        both = [wrong, *others] if first else [*others, wrong]
        report = verify(path, allow_simulated=True, receipts=jsonl(tmp_path, *both))
        assert report.exit_code == 1, report.to_text()
        assert len(report.checked) == count
        assert sum(one.verdict.status is VerdictStatus.FAILED for one in report.checked) == 1

    both = [honest, *receipts] if first else [*receipts, honest]
    report = verify(path, allow_simulated=True, receipts=jsonl(tmp_path, *both))
    assert report.exit_code == 0, report.to_text()
    # The later version stands for both, and that is said.
    assert [one.receipt.digest for one in report.checked if one.receipt.id == honest.id] == [
        honest.digest
    ]
    assert "later-version" in {one.code for one in report.findings}
    assert "A table's 3 receipts" in report.to_text()


def test_one_receipt_for_a_version_of_it_hides_no_lacking_prompt(
    receipts: list[Receipt], tmp_path: Path
) -> None:
    """Two versions of one call in the cell are one call: the third prompt has no receipt."""
    from corpus.notebooks import cell, notebook, output
    from corpus.notebooks_tables import ASKED

    later = supplemented(receipts[0], {"payment": supplement_json(settled(receipts[0].evidence()))})
    two = [receipts[0], later, receipts[1]]
    bundle = {"text/plain": table_text(COUNTS, two), table.MIME_TYPE: table.packed(two, COUNTS)}
    path = tmp_path / "study.ipynb"
    path.write_text(json.dumps(notebook(cell(ASKED, output(bundle)))), encoding="utf-8")
    report = verify(path, allow_simulated=True)
    assert report.exit_code == 3
    assert "1 of 3 prompts have no receipt here" in report.to_text()


def test_a_replay_by_a_receipt_that_is_not_judged_is_seen(
    receipts: list[Receipt], tmp_path: Path
) -> None:
    from corpus.notebooks_tables import ASKED

    path = digests_only(receipts, tmp_path, ASKED)
    copy = Receipt(redigested({**receipts[0].document, "id": "9ZZZZZZZZZ"}))
    report = verify(path, allow_simulated=True, receipts=jsonl(tmp_path, *receipts, copy))
    assert report.exit_code == 1
    (failed,) = [one for one in report.checked if one.failed]
    assert [claim.name for claim in failed.verdict.failed_claims] == ["freshness"]


@pytest.mark.parametrize("names", [("some.jsonl", "some.jsonl"), ("study.ipynb", "study.ipynb")])
def test_two_files_are_a_notebook_and_its_receipts(
    receipts: list[Receipt], tmp_path: Path, names: tuple[str, str]
) -> None:
    digests_only(receipts, tmp_path, "%%opg")
    jsonl(tmp_path, *receipts)
    report = verify(tmp_path / names[0], receipts=tmp_path / names[1])
    assert report.exit_code == 2
    assert "Two files are checked together" in report.to_text()
