"""What a card says, in every state: the verdict in words, on what basis, by whom and when, and what
is not proven."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from support import states
from support.inspecting import inspect

from opg_magic.display import bundle, card, dry_run, plain, words
from opg_magic.models import (
    Answer,
    Basis,
    Charge,
    Claim,
    Cost,
    Money,
    Problem,
    Status,
    Trust,
    VerdictStatus,
    plain_text,
)
from opg_magic.network.profiles import OBSERVED_CAP, OPG
from opg_magic.verify._claims import waiting

EVERY_MIME = ("text/plain", "text/markdown", "text/html")


def says(made: dict[str, object], mime: str) -> str:
    """The visible words of one rendering, spaces made plain."""
    shown_words = str(made[mime])
    if mime == "text/html":
        shown_words = inspect(shown_words).text
    if mime == "text/markdown":
        shown_words = shown_words.replace("\\", "").replace("**", "")
    return " ".join(shown_words.replace("\xa0", " ").split())


@pytest.mark.parametrize("mime", EVERY_MIME)
def test_verified_says_who_checked_and_when(mime: str) -> None:
    words_shown = says(bundle.answer_bundle(states.answer()), mime)
    checked = "checked by the author's kernel, 2026-11-20 22:10 UTC"
    figures = "gpt-5 · host 27e3…6328 · 0.0041 OPG claimed ≈ $0.00041 · 1.8 s"
    assert f"✓ All 7 checks pass · {checked} · {figures}" in words_shown
    if mime != "text/markdown":
        assert "Not known: which weights ran; whether the answer is true." in words_shown
    assert "opg verify notebook.ipynb --receipt 7Q4K2M9XTB" in words_shown


@pytest.mark.parametrize("mime", ["text/plain", "text/html"])
@pytest.mark.parametrize(
    ("status", "basis", "known"),
    [
        (Status.PASSED, Basis.RE_RUN, True),
        (Status.PASSED, Basis.RECORDED, False),
        (Status.FAILED, Basis.RE_RUN, False),
    ],
)
def test_which_weights_ran_is_known_only_where_they_were_run_again(
    mime: str, status: Status, basis: Basis, known: bool
) -> None:
    ran = Claim("weights", status, basis, "118 of 118 tokens are the first choice.")
    outcome = VerdictStatus.VERIFIED if status is Status.PASSED else VerdictStatus.FAILED
    verdict, receipt, cost = states.call(outcome, ran)
    settled = card.settled(verdict, receipt, cost)
    words_shown = says(bundle.settled_bundle(settled, receipt=receipt), mime)
    assert ("which weights ran" in words_shown) is not known
    assert "Provider: unknown." in words_shown
    assert "whether the answer is true" in words_shown


@pytest.mark.parametrize("status", list(VerdictStatus))
@pytest.mark.parametrize("mime", EVERY_MIME)
def test_simulated_is_flagged_whatever_the_verdict(mime: str, status: VerdictStatus) -> None:
    changed = {
        VerdictStatus.VERIFIED: (),
        VerdictStatus.PARTIAL: (states.UNATTESTED,),
        VerdictStatus.UNVERIFIED: (states.UNSIGNED,),
        VerdictStatus.FAILED: (states.TAMPERED,),
    }[status]
    verdict, receipt, cost = states.call(status, *changed, simulated=True)
    words_shown = says(
        bundle.settled_bundle(card.settled(verdict, receipt, cost), receipt=receipt), mime
    )
    assert "simulated network" in words_shown
    assert "the scripted model for gpt-5 · host 27e3…6328" in words_shown
    assert "✓ Verified" not in words_shown
    assert "$" not in words_shown.replace("$1.25/$10", "")
    if mime != "text/markdown" or status is not VerdictStatus.VERIFIED:
        assert "--allow-simulated" in words_shown


def test_simulated_relay_names_what_answered() -> None:
    made = card.of_answer(states.answer(simulated=True, model="llama3:8b"))
    assert "llama3:8b for gpt-5" in made.summary


@pytest.mark.parametrize("mime", EVERY_MIME)
def test_failed_shows_what_differed_and_never_the_text(mime: str) -> None:
    verdict, receipt, cost = states.call(
        VerdictStatus.FAILED,
        states.TAMPERED,
        because=("response: hash differs",),
        text="the withheld words",
    )
    made = bundle.settled_bundle(
        card.settled(verdict, receipt, cost, streamed=True), receipt=receipt
    )
    words_shown = says(made, mime)
    assert "✗ Failed at the call · the answer is withheld · response: hash differs" in words_shown
    assert "Received text hashes to 5e0c41…; the host signed ee2791…" in words_shown
    assert "may have been read" in words_shown
    assert "%opg show 7Q4K2M9XTB --unverified" in words_shown
    assert "the withheld words" not in words_shown
    assert plain_text.answer_part(made["text/plain"]) is None


def test_nothing_streamed_nothing_said_about_reading() -> None:
    made = card.settled(*states.call(VerdictStatus.FAILED, states.TAMPERED), streamed=False)
    assert not any("may have been read" in note.text for note in made.notes)


def test_failed_text_on_request_stands_under_a_warning() -> None:
    made = bundle.answer_bundle(states.failed(text="561 is prime."))
    for mime in EVERY_MIME:
        words_shown = says(made, mime)
        assert words_shown.index("Shown because you asked") < words_shown.index("561 is prime.")
        assert "Failed" in words_shown


def test_withheld_without_failure_names_the_policy_and_the_claim() -> None:
    made = card.settled(
        *states.call(
            VerdictStatus.PARTIAL,
            states.UNATTESTED,
            withheld=True,
            policy="strict",
            because=("attestation: none offered",),
        )
    )
    assert made.headline == "✗ Withheld: policy strict is not met"
    assert made.summary[:2] == ("the answer is withheld", "attestation: none offered")
    assert made.expanded


def test_only_a_whole_verdict_is_folded() -> None:
    assert not card.of_answer(states.answer()).expanded
    assert card.of_answer(states.answer(VerdictStatus.PARTIAL, states.UNATTESTED)).expanded
    assert card.of_answer(states.answer(VerdictStatus.UNVERIFIED, states.UNSIGNED)).expanded


def test_rows_put_first_what_matters_and_keep_status_in_words() -> None:
    made = card.of_answer(
        states.answer(VerdictStatus.FAILED, states.TAMPERED, states.PENDING, states.UNATTESTED)
    )
    assert [row.name for row in made.rows[:2]] == ["response", "attestation"]
    assert (made.rows[-1].name, made.rows[-1].group) == ("settlement", "Still open")
    assert list(dict.fromkeys(row.group for row in made.rows)) == [
        "Failed",
        "Missing",
        "Proven from this receipt",
        "Asked live by the author's kernel",
        "Still open",
    ]
    assert "Open until 2026-11-20 23:10:40 UTC." in (made.rows[-1].reason or "")


def test_a_reason_that_rows_share_is_said_once() -> None:
    unsigned = "the host did not sign this answer"
    lacking = [
        Claim(name, Status.MISSING, None, f"No {name}.", unsigned)
        for name in ("request", "response", "signature")
    ]
    made = card.of_answer(states.answer(VerdictStatus.UNVERIFIED, *lacking, states.UNATTESTED))
    assert [(row.name, row.sentence, row.reason) for row in made.rows[:4]] == [
        ("request", "No request.", "The host did not sign this answer."),
        ("response", "No response.", None),
        ("signature", "No signature.", None),
        ("attestation", states.UNATTESTED.sentence, "None offered."),
    ]


def test_a_pending_row_names_its_deadline_once() -> None:
    claim = waiting(
        "payment",
        Trust(),
        datetime(2026, 11, 20, 23, 10, 40, tzinfo=UTC),
        "Not on the chain yet.",
        "Late.",
    )
    (row,) = [
        row
        for row in card.of_answer(states.answer(VerdictStatus.VERIFIED, claim)).rows
        if row.name == "payment"
    ]
    assert f"{row.sentence} {row.reason}".count("until") == 1
    assert "23:10" in row.reason


def test_receipt_goes_into_the_bundle_whole() -> None:
    answer = states.answer()
    made = bundle.answer_bundle(answer)
    assert made["application/vnd.opg.receipt.v1+json"] == answer.receipt.document


def test_quiet_shows_the_card_and_says_that_no_answer_is_shown() -> None:
    made = bundle.answer_bundle(states.answer(text="unseen words"), show_text=False)
    assert all("unseen words" not in made[mime] for mime in EVERY_MIME)
    assert plain_text.answer_part(made["text/plain"]) is None
    assert "no answer is shown" in made["text/plain"]


@pytest.mark.parametrize(
    ("kind", "shown"), [("function", "f(a=1)"), ("other", '[{"id": "c1", "other": 1}]')]
)
def test_a_tool_call_reads_as_python_and_the_signed_string_is_below(kind: str, shown: str) -> None:
    import json
    from html import escape

    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    signed = json.dumps([call if kind == "function" else {"id": "c1", "other": 1}])
    verdict, receipt, cost = states.call(text=None)
    document = {
        **receipt.document,
        "response": {**receipt.document["response"], "tool_calls": signed},
    }
    answer = Answer("", verdict, type(receipt)(document), cost, tuple(json.loads(signed)))
    made = bundle.answer_bundle(answer)
    assert made["text/plain"].startswith(shown + "\n\n" + plain_text.RULE)
    assert escape(shown) in made["text/html"]
    # TeX's backslashes are set apart.
    plain = re.sub("<span>(.)</span>", r"\1", made["text/html"])
    assert escape(signed) in plain


@pytest.mark.parametrize(
    ("charge", "phrase"),
    [
        (None, "nothing was paid"),
        (Charge.NONE, "not charged"),
        (Charge.CLAIMED, "claimed by the host"),
        (Charge.CHARGED, "charged"),
        (Charge.UNKNOWN, "charge unknown, at most 0.1 OPG"),
    ],
)
def test_an_ended_call_says_what_happened_to_the_money(charge: Charge | None, phrase: str) -> None:
    made = card.ended("No answer", charge=charge, cap="0.1 OPG")
    assert phrase in made.summary


def test_a_call_without_verdict_has_a_card_too() -> None:
    _, receipt, cost = states.call(
        judged=False,
        charge=Charge.UNKNOWN,
        text=None,
        problem=Problem("timeout", "no end of the answer within 120 s"),
    )
    made = card.settled(None, receipt, cost)
    assert "no end of the answer within 120 s" in made.summary
    assert "charge unknown, at most 0.1 OPG" in made.summary


def test_price_unknown_is_never_zero() -> None:
    unknown = Cost(amount=None, cap=Money(OBSERVED_CAP, OPG), charge=Charge.CLAIMED)
    assert words.cost(unknown) == "price unknown, at most 0.1 OPG"
    assert (
        "price unknown"
        in dry_run.of_quote(states.quote(price=None, estimate=None), simulated=False).summary
    )


def test_a_cost_is_claimed_until_the_chain_shows_it() -> None:
    claimed = states.cost()
    assert words.cost(claimed) == "0.0041 OPG claimed ≈ $0.00041"
    settled = replace(claimed, charge=Charge.CHARGED, settled=Money(2 * 10**15, OPG))
    assert words.cost(settled) == "0.002 OPG settled"
    assert words.cost(replace(claimed, charge=Charge.NONE, settled=Money(0, OPG))) == "not charged"
    verdict, receipt, _ = states.call()
    assert any(
        "Claimed by the host" in note.text for note in card.settled(verdict, receipt, claimed).notes
    )
    (note,) = [
        n.text for n in card.settled(verdict, receipt, settled).notes if "Settled on" in n.text
    ]
    assert (
        "Settled on the payment chain: 0.002 OPG of at most 0.1 OPG; the host's figure is 0.0041 "
        "OPG" in note
    )


@pytest.mark.parametrize(
    ("amount", "shown"), [(0, "0 OPG"), (1, "<0.000000001 OPG"), (3 * 10**17, "0.3 OPG")]
)
def test_nothing_and_next_to_nothing_are_short(amount: int, shown: str) -> None:
    assert words.figure(Money(amount, OPG)) == shown


def test_dry_run_says_that_nothing_was_paid() -> None:
    made = dry_run.of_quote(states.quote(), simulated=True)
    assert made.headline == "Dry run: nothing was paid"
    assert made.line[-1] == "[simulated network]"
    assert made.summary == (
        "claude-sonnet-4-5 via host 27e3…6328",
        "about 0.061 OPG",
        "at most 0.1 OPG",
    )


def test_a_notebook_with_spaces_is_quoted_and_its_folder_is_not_told() -> None:
    verdict, receipt, cost = states.call()
    document = {
        **receipt.document,
        "notebook": {**receipt.document["notebook"], "name": "my study.ipynb"},
    }
    made = card.settled(verdict, type(receipt)(document), cost)
    assert made.notes[-1].code == "opg verify 'my study.ipynb' --receipt 7Q4K2M9XTB"


def test_command_line_card_lists_every_claim() -> None:
    verdict, receipt, cost = states.call()
    lines = plain.card_lines(receipt, verdict, cost)
    assert lines[0].startswith("✓ All 7 checks pass · checked by this machine, ")
    assert "  Asked live by this machine" in lines
    for name in states.PASSED:
        assert any(line.strip().startswith(f"✓ {name}:") for line in lines)


@pytest.mark.parametrize(
    ("seconds", "shown_as"),
    [
        (0.0, "0 ms"),
        (0.42, "420 ms"),
        (1.84, "1.8 s"),
        (59.99, "1 min 0 s"),
        (61, "1 min 1 s"),
        (-1, "0 ms"),
    ],
)
def test_durations(seconds: float, shown_as: str) -> None:
    assert words.duration(seconds) == shown_as


def test_figures_are_plain_decimals() -> None:
    assert words.figure(Money(41 * 10**14 + 7, OPG)) == "0.0041 OPG"
    assert words.figure(Money(123_456 * 10**18, OPG)) == "123,456.00 OPG"
    tiny = replace(states.cost(), usd=Decimal("0.00000012"))
    assert words.cost(tiny) == "0.0041 OPG claimed ≈ $0.00000012"


def test_pending_claims_are_counted_apart() -> None:
    for simulated in (True, False):
        made = card.of_answer(
            states.answer(VerdictStatus.VERIFIED, states.PENDING, simulated=simulated)
        )
        assert made.headline == "✓ All 7 checks pass"
        assert (made.rows[-1].name, made.rows[-1].group) == ("settlement", "Still open")


def test_long_hashes_are_told_by_their_ends() -> None:
    told = words.told("the answer hashes to " + "9d" * 32 + ", signed is 0x" + "c2" * 32)
    assert told == "the answer hashes to 9d9d9d9d…9d9d9d, signed is 0xc2c2c2…c2c2c2"


def test_a_cleaned_card_keeps_its_edge() -> None:
    """JupyterLab drops styles with variables from a stranger's notebook: the edge has a plain
    colour."""
    made = bundle.answer_bundle(states.failed())["text/html"]
    assert "border-left:4px solid #d32f2f" in made
    again = bundle.settled_bundle(card.of_answer(states.failed()))["text/html"]
    assert "border:1px solid #d32f2f;border-color:var(" in again
