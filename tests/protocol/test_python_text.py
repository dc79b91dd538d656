"""What a host's Python writes depends on its Unicode data, and not on ours."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from opg_magic.protocol.canonical import (
    CANONICALISER,
    NEWER,
    canonicalise,
    canonicalisers,
    unsigned_keys,
)
from opg_magic.protocol.python_text import NEWER as NEWER_UNICODE
from opg_magic.protocol.python_text import OLDEST, python_text, varies

#: Printable since Unicode 15.0, 15.1, 16.0, 17.0 and 18.0.
ADDED = ("\u0cf3", "\u2ffc", "\u1c89", "\U00010940", "\u20c2")
#: Unicode's version as this Python has it, in the words of the table.
OURS = unicodedata.unidata_version.removesuffix(".0")


@pytest.mark.parametrize(
    "value",
    [
        ["a'b", 'a"b', "a'\"b", "\\ \n\r\t\x00\x7f\x85\xa0é\u200b\u0378\ufeff😀"],
        {"k'": [1, 1.0, 1e-5, True, None, {}]},
        ["".join(ADDED)],
    ],
)
def test_it_is_str_of_this_python(value: object) -> None:
    assert OURS in (OLDEST, *NEWER_UNICODE), "a version of Unicode that the table does not have"
    assert python_text(value, OURS) == str(value)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="compares with the oldest Unicode data")
def test_without_the_table_nothing_is_newer() -> None:
    for code in range(0x110000):
        assert not (varies(chr(code)) and chr(code).isprintable()), hex(code)


def test_each_version_shows_what_it_added_and_escapes_the_rest() -> None:
    text = [" ".join(ADDED)]
    assert python_text(text) == r"['\u0cf3 \u2ffc \u1c89 \U00010940 \u20c2']"
    assert python_text(text, "15.1") == "['\u0cf3 \u2ffc \\u1c89 \\U00010940 \\u20c2']"
    assert python_text(text, "18.0") == f"['{text[0]}']"
    assert python_text("\u0cf3") == "\u0cf3"


def test_there_is_a_version_of_the_rules_for_each_where_they_differ() -> None:
    def body(content: object) -> dict[str, object]:
        return {
            "model": "m",
            "messages": [{"role": "user", "content": content}],
            "web_search": True,
        }

    new = body([["\u1c89"]])
    versions = canonicalisers("chat", new)
    assert versions[:2] == (NEWER, CANONICALISER) and len(versions) == 2 + 2 * len(NEWER_UNICODE)
    forms = {version: canonicalise("chat", new, version) for version in versions}
    assert len(set(forms.values())) == 4
    assert (
        forms[CANONICALISER]
        == forms[f"{CANONICALISER}+unicode-15.1"]
        != forms[f"{CANONICALISER}+unicode-16.0"]
    )
    assert forms[f"{NEWER}+unicode-16.0"] == forms[f"{NEWER}+unicode-18.0"] != forms[NEWER]
    assert unsigned_keys("chat", new, f"{NEWER}+unicode-16.0") == ()
    for plain in ("\u1c89", ["\u00e9"], None):
        assert canonicalisers("chat", body(plain)) == (NEWER, CANONICALISER)
    assert canonicalisers("completion", {"prompt": ["\u1c89"]}) == (CANONICALISER,)
