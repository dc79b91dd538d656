"""What a caller passes is canonical, or refused in one line that names the argument, before
anything is sent."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opg_magic import errors
from opg_magic.call.state import CallOptions
from opg_magic.models import Prompt, arguments
from opg_magic.verify import policy, verify_exchange

NAN, SERIES = float("nan"), pd.Series(["chat"])
NO_TEXT = (None, 1, 1.5, True, NAN, b"chat", SERIES, pd.NA, ["chat"])
NO_NUMBER = (
    "1",
    b"1",
    True,
    np.True_,
    NAN,
    pd.NA,
    pd.NaT,
    SERIES,
    np.array([1, 2]),
    1j,
    float("inf"),
    10**400,
    10**5000,
)

#: Argument of a prompt -> values that it cannot be meant to have.
NO_PROMPT: dict[str, tuple[Any, ...]] = {
    "text": NO_TEXT,
    "model": NO_TEXT,
    "system": NO_TEXT[1:],
    "source": NO_TEXT[1:],
    "template": NO_TEXT[1:],
    "kind": (*NO_TEXT, "Chat", "chat ", "CHAT", ""),
    "settle": (*NO_TEXT, "Batch", "Individual", "individual", ""),
    "stream": (None, 0, 1, "no", "false", NAN, np.int64(0), pd.NA, SERIES, np.array([True])),
    "temperature": (*NO_NUMBER, -0.1, 2.1, Decimal("NaN"), np.float64("nan")),
    "max_tokens": (*NO_NUMBER, 0, -1, 1.5, 10.0, np.float64(10), 2**31, Decimal(10)),
    "stop": (None, "END", b"END", ("",), (None,), SERIES, [b"x"], 3),
    "messages": ("hi", b"hi", SERIES, 5, ["hi"], [None], {"role": "user"}),
    "extra": (None, [], SERIES, {1: 2}, "x"),
}
NO_OPTION: dict[str, tuple[Any, ...]] = {
    "host": (*NO_TEXT[1:], "", " "),
    "network": (*NO_TEXT[1:], ""),
    "policy": (*NO_TEXT[1:], "Strict", ""),
    "max_cost": (*NO_NUMBER, -1, 0.5),
    "timeout": (*NO_NUMBER, 0, -1),
}


def _cases(table: dict[str, tuple[Any, ...]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}-{number}")
        for name, values in table.items()
        for number, value in enumerate(values)
    ]


def _refused(name: str, make: Any) -> None:
    with pytest.raises(errors.ArgumentError) as refused:
        make()
    said = str(refused.value)
    assert said.startswith(f"{name} must be ")
    assert said.endswith("Nothing was sent.")
    assert "\n" not in said
    assert len(said) < 200


@pytest.mark.parametrize(("name", "value"), _cases(NO_PROMPT))
def test_attack_42_no_prompt_can_be_made_of_what_cannot_be_meant(name: str, value: Any):
    given: dict[str, Any] = {"text": "hi", "model": "m"} | {name: value}
    _refused("prompt" if name == "text" else name, lambda: Prompt(**given))


@pytest.mark.parametrize(("name", "value"), _cases(NO_OPTION))
def test_no_options_can_be_made_of_what_cannot_be_meant(name: str, value: Any):
    _refused(name, lambda: CallOptions(**{name: value}))


class _Raising(float):
    def __float__(self) -> float:
        raise RuntimeError("no number")


@pytest.mark.parametrize(
    "value", [np.timedelta64(5, "s"), np.timedelta64("NaT"), _Raising(0.5)], ids=repr
)
def test_numbers_that_are_none_are_refused_in_one_line(value: Any):
    # NumPy counts a span of time among the integers.
    for name in ("temperature", "max_tokens"):
        _refused(name, lambda name=name: Prompt("hi", "m", **{name: value}))
    _refused("timeout", lambda: CallOptions(timeout=value))
    given = {"signing_key": b"", "sent_at": value, "received_at": 1}
    _refused("sent_at", lambda: verify_exchange({}, "{}", **given))


def test_numpy_scalars_are_the_values_that_they_are():
    prompt = Prompt(
        np.str_("hi"),
        np.str_("m"),
        temperature=np.float32(0.5),
        max_tokens=np.int64(7),
        stream=np.bool_(False),
        kind=np.str_("chat"),
        stop=[np.str_("END")],
    )
    assert prompt == Prompt("hi", "m", temperature=0.5, max_tokens=7, stream=False, stop=("END",))
    assert [
        type(v) for v in (prompt.text, prompt.temperature, prompt.max_tokens, prompt.stream)
    ] == [
        str,
        float,
        int,
        bool,
    ]
    assert CallOptions(timeout=np.int32(5), max_cost=np.uint64(7)) == CallOptions(
        timeout=5.0, max_cost=7
    )


def test_a_subclass_does_not_decide_what_is_sent():
    class Other(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "something else"

    prompt = Prompt(Other("hi"), "m", kind=Other("chat"))
    assert (type(prompt.text), prompt.text, prompt.kind) == (str, "hi", "chat")


@pytest.mark.parametrize(
    ("value", "units"),
    [("0.5", 5 * 10**17), (0.1, 10**17), (np.float32(0.1), 10**17), (1e-05, 10**13),
     (Decimal("1E-2"), 10**16), (0, 0), (np.int64(2), 2 * 10**18), (Fraction(1, 2), None),
     (-1, None), ("-1", None), (NAN, None), ("", None), (True, None), (Decimal("1E+999999"), None),
     (Decimal("sNaN"), None), (1e300, None), (b"1", None), (None, None), (pd.NA, None)],
)  # fmt: skip
def test_amounts_are_meant_as_written(value: Any, units: int | None):
    if units is None:
        _refused("max_cost", lambda: arguments.opg("max_cost", value))
    else:
        assert arguments.opg("max_cost", value) == units


@pytest.mark.parametrize(
    "change",
    [{"kind": "Chat"}, {"kind": None}, {"sent_at": NAN}, {"received_at": "now"},
     {"received_at": 1e300}, {"sent_at": None}, {"signing_key": None}, {"signing_key": 5},
     {"request": None}, {"response": b"{}"}],
    ids=str,
)  # fmt: skip
def test_verify_exchange_names_the_argument(change: dict[str, Any]):
    given = {
        "request": {},
        "response": "{}",
        "signing_key": b"",
        "sent_at": 0,
        "received_at": 1,
    } | change
    (name,) = change
    _refused(name, lambda: verify_exchange(given.pop("request"), given.pop("response"), **given))


@pytest.mark.parametrize("name", [None, SERIES, "Strict", 5])
def test_a_policy_that_there_is_not_is_refused_in_one_line(name: Any):
    with pytest.raises(errors.ConfigError, match=r"^No policy is called .{1,40}\."):
        policy(name)
