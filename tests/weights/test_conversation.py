"""A request as turns for an open model's template."""

from __future__ import annotations

from typing import Any

import pytest

from opg_magic.errors import WeightsError
from opg_magic.weights import conversation, fetch

USER = {"role": "user", "content": "hi"}


def test_texts_and_lists_of_parts_are_texts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    assert conversation.turns([USER, {"role": "user", "content": parts}]) == [
        USER,
        {"role": "user", "content": "ab"},
    ]


def test_weights_that_begin_badly_get_an_empty_system_message_and_no_others() -> None:
    empty = {"role": "system", "content": ""}
    assert conversation.turns([USER], fetch.SMOLLM2.sha256) == [empty, USER]
    assert conversation.turns([USER], "00" * 32) == [USER]
    given = {"role": "system", "content": "Be brief."}
    assert conversation.turns([given, USER], fetch.SMOLLM2.sha256) == [given, USER]


def test_a_call_and_its_answer_become_turns() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    made = conversation.turns(
        [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "2"},
        ]
    )
    assert [turn["role"] for turn in made] == ["user", "assistant", "user"]
    assert made[1]["content"] == '{"name": "f", "arguments": "{\\"a\\": 1}"}'
    assert made[2]["content"] == "The function answered: 2"


@pytest.mark.parametrize("messages", [["hi"], [None], [USER, 7]])
def test_what_is_no_message_is_refused_in_words(messages: list[Any]) -> None:
    with pytest.raises(WeightsError, match="not an object"):
        conversation.turns(messages)


@pytest.mark.parametrize("calls", [5, "abc", [5], [{"function": "f"}], {"function": {}}])
def test_calls_that_are_none_are_left_out(calls: Any) -> None:
    (made,) = conversation.turns([{"role": "assistant", "content": "a", "tool_calls": calls}])
    assert made == {"role": "assistant", "content": "a"}


def test_a_developer_s_message_is_a_system_message() -> None:
    assert conversation.turns([{"role": "developer", "content": "x"}])[0]["role"] == "system"
