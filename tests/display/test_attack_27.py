"""Attack 27: whatever a model writes is inert, in HTML, in Markdown and as plain text, and cannot
write a badge."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from support import states
from support.hostile import FORGED, HOSTILE
from support.inspecting import inspect

from opg_magic.audit.judgement import shown_text_matches
from opg_magic.display import bundle, card, markdown
from opg_magic.models import VerdictStatus, plain_text
from opg_magic.receipt.face import answer_html

CASES = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())


def clean(text: str) -> str:
    """As a receipt holds it: no lone surrogate, which has no UTF-8."""
    return (
        text.encode("utf-8", "replace").decode().replace("?", "\ufffd" * 3)
        if "\ud800" in text
        else text
    )


def answer_bundle(text: str) -> dict[str, str]:
    return bundle.answer_bundle(
        states.answer(VerdictStatus.UNVERIFIED, states.UNSIGNED, text=text, simulated=True)
    )


@CASES
def test_attack_27_html_holds_only_what_is_allowed(text: str) -> None:
    seen = inspect(answer_bundle(text)["text/html"])
    assert seen.wrong == []


@CASES
def test_attack_27_no_control_character_is_left(text: str) -> None:
    made = answer_bundle(text)
    for mime in ("text/plain", "text/markdown"):
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", made[mime]
        )
    visible = inspect(made["text/html"]).text
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", visible
    )


@CASES
def test_attack_27_plain_text_begins_with_the_answer_and_ends_with_the_card(text: str) -> None:
    plain = answer_bundle(text)["text/plain"]
    assert plain.startswith(plain_text.inert(clean(text)) + "\n\n" + plain_text.RULE)
    assert plain_text.answer_part(plain) == plain_text.inert(clean(text))
    last_card = plain.rpartition(plain_text.RULE)[2]
    assert "! Not verified · " in last_card
    assert "[simulated network]" in last_card
    assert FORGED not in last_card


@CASES
def test_attack_27_markdown_cannot_leave_its_fence(text: str) -> None:
    made = answer_bundle(text)["text/markdown"]
    tokens = MarkdownIt("commonmark", {"html": True}).parse(made)
    assert tokens[0].type == "fence"
    assert tokens[0].content == plain_text.inert(clean(text)) + "\n"
    rest = tokens[1:]
    assert all(t.type != "fence" and t.type != "html_block" for t in rest)
    words = [child for t in rest for child in t.children or ()]
    assert all(child.type not in ("html_inline", "link_open", "image") for child in words)
    assert any("Not verified" in child.content for child in words)


@CASES
def test_attack_27_card_comes_last_in_html(text: str) -> None:
    made = answer_bundle(text)["text/html"]
    rendered = answer_html(clean(text))
    assert rendered in made
    after = made.rpartition(rendered)[2]
    assert "Not verified" in inspect("<div>" + after).text
    assert "<details" not in rendered
    assert inspect(rendered).wrong == []


@CASES
def test_attack_27_every_character_of_the_answer_is_on_the_page_in_its_order(text: str) -> None:
    visible = inspect(answer_html(text)).text
    if text.strip():
        assert "".join(visible.split()) == "".join(plain_text.inert(text).split())


@CASES
def test_attack_27_the_audit_recognises_the_shown_text(text: str) -> None:
    answer = states.answer(text=clean(text))
    made = bundle.answer_bundle(answer)
    assert shown_text_matches(made, answer.receipt)
    forged = {**made, "text/plain": "other " + made["text/plain"]}
    assert not shown_text_matches(forged, answer.receipt)


@pytest.mark.parametrize("field", ["reason", "model", "sentence", "version"])
@pytest.mark.parametrize(
    "text", [HOSTILE["script"], HOSTILE["ansi"], HOSTILE["closes our containers"], HOSTILE["tex"]]
)
def test_attack_27_words_of_the_host_on_the_card_are_inert(field: str, text: str) -> None:
    from dataclasses import replace

    claim = replace(states.TAMPERED, **({field: text} if field in ("reason", "sentence") else {}))
    verdict, receipt, cost = states.call(
        VerdictStatus.FAILED, claim, because=(f"response: {text}",), simulated=True, model=text
    )
    made = bundle.settled_bundle(card.settled(verdict, receipt, cost), receipt=receipt)
    assert inspect(made["text/html"]).wrong == []
    assert "\x1b" not in made["text/plain"] + made["text/markdown"] + made["text/html"]
    tokens = MarkdownIt("commonmark", {"html": True}).parse(made["text/markdown"])
    words = [child for t in tokens for child in t.children or ()]
    assert all(t.type != "html_block" for t in tokens)
    assert all(child.type not in ("html_inline", "link_open", "image") for child in words)


def test_attack_27_links_show_their_target() -> None:
    seen = inspect(markdown.to_html("[the bank](https://evil.example/login) <https://a.example/>"))
    assert seen.links == ["https://evil.example/login", "https://a.example/"]
    assert "the bank (https://evil.example/login)" in seen.text
    assert 'rel="noopener noreferrer nofollow' in markdown.to_html("[x](https://a.example)")


def test_attack_27_nothing_that_was_signed_vanishes() -> None:
    for name in (
        "reference definition",
        "comment left open",
        "image as reference",
        "fence info string",
    ):
        visible = inspect(markdown.to_html(HOSTILE[name])).text
        for word in re.findall(r"[A-Za-z]{4,}", HOSTILE[name]):
            assert word in visible, (name, word)
    assert "hidden?" in inspect(markdown.to_html(HOSTILE["deep nesting"])).text


@pytest.mark.parametrize(("columns", "rows"), [(4_250, 1_000), (200, 300), (2, 26_000)])
def test_attack_27_a_table_of_more_cells_than_anybody_reads_is_shown_as_it_is(
    columns: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 kB made 4 million cells: each short row is filled up to the heading's."""
    few = "|" + "a|" * 9 + "\n|" + "-|" * 9 + "\n" + "|x\n" * 400
    assert markdown.to_html(few).count("<td") == 3_600
    many = "|" + "a|" * columns + "\n|" + "-|" * columns + "\n" + "|x\n" * rows
    monkeypatch.setattr(ParserInline, "parse", lambda *_: pytest.fail("parsed all the same"))
    assert markdown.to_html(many) == markdown.verbatim_html(many)
    assert markdown.to_html(f"{few}\n" * 20) == markdown.verbatim_html(f"{few}\n" * 20)


@pytest.mark.parametrize("mark", ["[", "![", "[a](https://x.example) "])
def test_attack_27_text_that_costs_the_parser_much_is_shown_as_it_is(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = mark * 2_000, mark * 5_000
    assert markdown.to_html(few) != markdown.verbatim_html(few)
    monkeypatch.setattr(ParserInline, "parse", lambda *_: pytest.fail("parsed all the same"))
    assert markdown.to_html(many) == markdown.verbatim_html(many)
    # Brackets of code cost nothing.
    code = "```\n" + mark * 5_000 + "\n```"
    assert "<pre" in markdown.to_html(code)


def test_attack_27_links_are_closed_by_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = markdown.to_html(
        "[a](https://a.example) **[b](https://b.example 'B')** [*c*](https://c.example)"
    )
    assert inspect(made).text.split() == [
        "a", "(https://a.example)", "b", "(https://b.example", "“B”)", "c", "(https://c.example)",
    ]  # fmt: skip


def test_attack_27_tex_is_not_typeset() -> None:
    # A typesetter looks for its delimiters within one text node; each stands alone in a node of its
    # own.
    made = markdown.to_html(HOSTILE["tex"])
    assert not re.search(r"\$[^<]|\\[^<]", made)


def test_attack_27_streaming_text_is_inert_too() -> None:
    for text in HOSTILE.values():
        made = bundle.running_bundle(
            (("now", "answering"),), text=text, notes=("not checked yet",), simulated=False
        )
        assert inspect(made["text/html"]).wrong == []
        assert "\x1b" not in "".join(made.values())
        tokens = MarkdownIt("commonmark", {"html": True}).parse(made["text/markdown"])
        assert all(t.type != "html_block" for t in tokens)


@settings(max_examples=150, deadline=None)
@given(
    st.text(
        alphabet=st.one_of(
            st.sampled_from("<>&\"'`~*_[]()!#|\\$\n\r\t -:/\x1b\u202e{}=a1"), st.characters()
        )
    )
)
def test_attack_27_any_text_is_inert(text: str) -> None:
    rendered = markdown.to_html(text)
    assert inspect(rendered).wrong == []
    fence = MarkdownIt("commonmark", {"html": True}).parse(markdown.fenced(text) + "\nafter")
    assert [t.type for t in fence] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert fence[0].content == plain_text.inert(text).replace("\0", "\ufffd") + "\n"
    assert plain_text.inert(plain_text.inert(text)) == plain_text.inert(text)


@pytest.mark.parametrize(
    "name", ["forged badge", "forged badge, quoted", "forged card", "forged details", "ansi"]
)
def test_attack_27_an_answer_that_imitates_a_verdict_is_said_to(name: str) -> None:
    made = card.of_answer(states.answer(text=HOSTILE[name]))
    assert "the answer imitates a verdict" in made.summary
    assert made.notes[0].text.endswith("only this box is one.")


def test_attack_27_an_ordinary_answer_is_not_suspected() -> None:
    made = card.of_answer(
        states.answer(text="A claim is verified by checking 7 of its 8 parts. ✓ Done.")
    )
    assert "imitates" not in str(made)
