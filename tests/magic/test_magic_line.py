"""The line of ``%%opg``: any order, shell quotes, nothing guessed, nothing lost in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from opg_magic.cells import magic_line
from opg_magic.cells.magic_line import LineError, fill, parse, prompt_text
from opg_magic.errors import PromptError


def test_every_option_in_any_order() -> None:
    line = parse(
        "--stop END --model openai/gpt-5 --temperature 0.5 answer --max-tokens 100 --system 'Be "
        "terse.' --stop=--x "
        "--no-stream --settle private --host 27e3 --network sim --max-cost 0.1 --dry-run --policy "
        "strict --timeout 30 "
        "--vars --quiet"
    )
    assert line.name == "answer"
    assert dict(line.given) == {
        "stop": ("END", "--x"),
        "model": "openai/gpt-5",
        "temperature": 0.5,
        "max_tokens": 100,
        "system": "Be terse.",
        "no_stream": True,
        "settle": "private",
        "host": "27e3",
        "network": "sim",
        "max_cost": 10**17,
        "dry_run": True,
        "policy": "strict",
        "timeout": 30.0,
        "vars": True,
        "quiet": True,
    }


@pytest.mark.parametrize(
    ("line", "system"),
    [
        ("""--system "it's # one" """, "it's # one"),
        ("--system 'say \"hi\"'", 'say "hi"'),
        (r"--system two\ words", "two words"),
        ("--system a#b", "a#b"),
        ("--system=a=b", "a=b"),
        ("--system x # --model y", "x"),
        ("--system {persona}", "{persona}"),
        ("--system $HOME", "$HOME"),
        ("--system -1", "-1"),
        ("--system 'zwölf Äpfel'", "zwölf Äpfel"),
    ],
)
def test_quotes_and_comments_as_in_a_shell(line: str, system: str) -> None:
    assert parse(line, {"persona": "pirate"}).given == {"system": system}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--modle x", "unknown option --modle; did you mean --model?"),
        ("-model x", "unknown option -model; did you mean --model?"),
        ("--max_tokens 5", "did you mean --max-tokens?"),
        ("--dryrun", "did you mean --dry-run?"),
        ("--model a --model b", "--model is given twice"),
        ("--vars --vars", "--vars is given twice"),
        ("--vars=yes", "--vars takes no value"),
        ("--model", "--model needs a value"),
        ("--model --vars", "--model needs a value"),
        ("--model ''", "--model must be a text that is not empty"),
        ("--temperature hot", "--temperature must be a number"),
        ("--temperature nan", "--temperature must be a number"),
        ("--temperature inf", "--temperature must be a number"),
        ("--max-tokens 1.5", "--max-tokens must be a whole number"),
        ("--max-tokens -1", "--max-tokens must be a whole number"),
        ("--max-cost 1e-3", "--max-cost must be an amount of OPG"),
        ("--max-cost -1", "--max-cost must be an amount of OPG"),
        ("--timeout 9999", "--timeout must be a number of seconds from 1 to 3600"),
        ("--policy lax", "--policy must be default or strict or audit"),
        ("--settle public", "--settle must be private"),
        ("a b", "two variable names, a and b"),
        ("1st", "'1st' cannot be a variable's name"),
        ("a.b", "cannot be a variable's name"),
        ("class", "cannot be a variable's name"),
        ("None", "cannot be a variable's name"),
        ("--system 'open", "a quote is not closed"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_words(line: str, says: str) -> None:
    with pytest.raises(LineError) as error:
        parse(line)
    assert says in str(error.value)


def test_a_whole_value_in_braces_is_a_variable() -> None:
    names: dict[str, Any] = {"liar": "27e3", "n": 7}
    assert parse("--host {liar} --max-tokens {n}", names).given == {"host": "27e3", "max_tokens": 7}
    assert parse("--host x{liar}", names).given == {"host": "x{liar}"}
    with pytest.raises(LineError, match="liarr is not defined"):
        parse("--host {liarr}", names)
    with pytest.raises(LineError, match="not a variable's name"):
        parse("--host {__import__('os')}", names)


def test_help_and_documentation_name_every_option() -> None:
    shown, documented = magic_line.help_text(), magic_line.help_markdown()
    for option in magic_line.OPTIONS:
        assert f"  {option.flag} " in shown
        assert f"| `{option.flag}" in documented
        assert option.help in shown


# ------------------------------------------------------------------------------------------- prompt


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        ("hi\n", "hi"),
        ("hi\n\n", "hi\n"),
        ("  hi  \n", "  hi  "),
        ("a\n\nb\n", "a\n\nb"),
        ("hi", "hi"),
    ],
)
def test_exactly_one_newline_is_taken_off(body: str, prompt: str) -> None:
    assert prompt_text(body) == prompt


@pytest.mark.parametrize("body", ["", "\n", "  \n\t\n", "\u00a0\n"])
def test_an_empty_cell_is_refused(body: str) -> None:
    with pytest.raises(PromptError, match="no prompt"):
        prompt_text(body)


def test_variables_are_filled_once_and_never_scanned_again() -> None:
    names = {"a": "{{b}} {c} $d", "b": "secret", "n": 561, "x": 0.1}
    text, used = fill("{{a}} / {{ n }} / {{x}} / {{a}}", names)
    assert text == "{{b}} {c} $d / 561 / 0.1 / {{b}} {c} $d"
    assert used == ("a", "n", "x")


def test_single_braces_and_lone_braces_stay() -> None:
    text = 'json {"a": {"b": 1}} {x} }} {{'
    assert fill(text, {"x": "no"}) == (text, ())


def test_a_subclass_does_not_decide_what_is_sent() -> None:
    class Sly(str):
        def __str__(self) -> str:
            return "something else"

        __format__ = __repr__ = lambda self, *a: "something else"  # type: ignore[assignment]

    assert fill("{{s}}", {"s": Sly("as it is")}) == ("as it is", ("s",))


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{nam}}", "nam is not defined"),
        ("{{flag}}", "flag is a bool"),
        ("{{items}}", "items is a list"),
        ("{{nothing}}", "nothing is a NoneType"),
        ("{{name.upper()}}", "not a variable's name"),
        ("{{}}", "not a variable's name"),
        ("{{class}}", "not a variable's name"),
        ("{{open}}", "open is not defined"),
    ],
)
def test_anything_else_between_braces_is_refused(template: str, says: str) -> None:
    names = {"name": "x", "flag": True, "items": [1], "nothing": None}
    with pytest.raises(PromptError) as error:
        fill(template, names)
    assert says in error.value.message
    assert "Nothing was sent." in error.value.message


def test_the_near_name_is_offered() -> None:
    with pytest.raises(PromptError) as error:
        fill("{{nam}}", {"name": "x"})
    assert error.value.hint == "Did you mean name?"


@pytest.mark.parametrize("word", ["help", "print", "list", "sum"])
def test_a_name_of_pythons_own_is_refused_before_payment(word):
    with pytest.raises(LineError, match="is a Python built-in"):
        parse(word, {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.int64(3), "3"),
        (np.uint8(7), "7"),
        (np.float32(0.1), "0.1"),
        (np.float64(0.5), "0.5"),
        (np.str_("a"), "a"),
    ],
)
def test_numpy_scalars_are_filled_in_as_the_values_that_they_are(value: object, text: str) -> None:
    assert fill("{{n}}", {"n": value})[0] == text


@pytest.mark.parametrize(
    "value",
    [
        np.bool_(True),
        np.timedelta64(5, "s"),
        np.datetime64("2026-01-01"),
        np.array([1]),
        np.array(1),
    ],
)
def test_other_values_of_numpy_are_none(value: object) -> None:
    with pytest.raises(PromptError, match="a str, int or float is needed"):
        fill("{{n}}", {"n": value})
