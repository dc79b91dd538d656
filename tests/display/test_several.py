"""Several hosts: one headline, the answer once, a line a host; and answers that differ, side by
side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import chains, states
from support.inspecting import inspect
from support.signed_receipts import signed

from opg_magic.display import bundle
from opg_magic.display import several as module
from opg_magic.display.several import comparison_bundle, grouped
from opg_magic.models import Answer, Trust
from opg_magic.receipt import face
from opg_magic.receipt.document import Receipt, supplemented
from opg_magic.receipt.supplements import supplement_json
from opg_magic.verify import judge


def answer(text: str, id: str) -> Answer:
    return states.answer(text=text, id=id, simulated=True)


@pytest.fixture
def several() -> Receipt:
    one = signed(id="6FFFFFFFFF")
    return supplemented(one, {"agreement": supplement_json(chains.agreement(one))})


def test_one_headline_the_answer_once_and_a_line_a_host(several: Receipt) -> None:
    plain = face.face(several, show=True)["text/plain"]
    agreed = len(several.document["agreement"]["answers"])
    assert f"✓ {agreed} of " in plain
    assert " independent hosts say the same · " in plain
    assert plain.count("    ✓ host ") == agreed
    assert plain.count(several.document["response"]["text"]) == 1


def test_the_other_hosts_are_one_line_without_the_answer(several: Receipt) -> None:
    card = face.face(several, show=False)["text/plain"].splitlines()
    assert card[0].endswith("no answer is shown · card 3 ────")
    assert card[1].startswith("✓ All 7 checks pass · ")
    assert card[2:] == [f"  opg verify notebook.ipynb --receipt {several.id} --allow-simulated"]


def test_an_answer_of_another_group_says_that_hosts_disagree(several: Receipt) -> None:
    one = signed(id="6FFFFFFFFF")
    found = chains.agreement(one)
    other = {"text_sha256": "0" * 64, "normal_sha256": "1" * 64, "json_sha256": None}
    answers = (found.answers[0], *(replace(member, **other) for member in found.answers[1:]))
    differs = supplemented(one, {"agreement": supplement_json(replace(found, answers=answers))})
    plain = face.face(differs, show=True)["text/plain"]
    assert "! Hosts disagree: 1 of " in plain
    assert "another answer" in plain


def test_answers_that_differ_stand_side_by_side_with_the_difference_marked() -> None:
    made = comparison_bundle(
        [answer("561 is prime.", "A" * 10), answer("561 is not prime.", "B" * 10)]
    )
    assert "561 is «not »prime." in made["text/plain"]
    assert "[simulated network]" in made["text/plain"]
    assert made["text/html"].count("<td ") == 2
    assert "<mark>not </mark>" in made["text/html"]
    for id in ("A" * 10, "B" * 10):
        assert f"%opg show {id}" in made["text/plain"]
        assert f"%opg show {id}" in made["text/html"]


def test_a_claim_that_came_later_keeps_nobody_from_their_display() -> None:
    """Judged anew, an answer has claims that its receipt's version did not know."""
    made = states.answer()
    verdict = judge(made.receipt.evidence(), trust=Trust())
    verdict = replace(made.verdict, claims={**verdict.claims, **made.verdict.claims})
    assert set(verdict.claims) > set(made.verdict.claims)
    shown = bundle.answer_bundle(replace(made, verdict=verdict))
    assert "All 7 checks pass" in shown["text/plain"]


def test_the_same_answer_is_not_shown_twice() -> None:
    same = [answer("Yes.", "A" * 10), answer("No.", "B" * 10), answer("Yes.", "C" * 10)]
    assert [len(group) for group in grouped(same)] == [2, 1]
    assert comparison_bundle(same)["text/html"].count("<td ") == 2


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\x1b[2J", "$\\raise{5em}{x}$", ""])
def test_attack_27_what_hosts_say_is_inert_here_too(text: str) -> None:
    made = comparison_bundle([answer(text, "A" * 10), answer("No.", "B" * 10)])
    assert [wrong for wrong in inspect(made["text/html"]).wrong if wrong != "<mark>"] == []
    assert "\x1b" not in "".join(made.values())


def test_words_that_repeat_never_hold_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """For 2,000 of them the matcher would take many minutes: a liar can choose them."""
    monkeypatch.setattr(module, "difflib", None)
    made = comparison_bundle([answer("a " * 2_000, "A" * 10), answer("a x " * 2_000, "B" * 10)])
    assert "«" not in made["text/plain"].partition("\n\n")[2]


def test_of_very_many_words_the_lines_are_compared() -> None:
    same = "word " * 5_000 + "\n"
    made = comparison_bundle([answer(f"{same}yes\n", "A" * 10), answer(f"{same}no\n", "B" * 10)])
    assert "«yes\n»" in made["text/plain"].replace("    ", "")
    assert "<mark>no\n</mark>" in made["text/html"]


def test_very_long_answers_are_compared_in_time() -> None:
    long = "word " * 50_000
    made = comparison_bundle([answer(long, "A" * 10), answer(long + "x", "B" * 10)])
    assert "«" not in made["text/plain"].partition("\n\n")[2]
