"""The fast way to RFC 8785 bytes gives what the library gives."""

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from opg_magic.receipt.form import canonical_bytes

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUE)
def test_it_is_the_librarys_form_byte_for_byte(value):
    assert canonical_bytes(value) == rfc8785.dumps(value)


def test_control_characters_and_separators_are_written_alike():
    value = {
        "a": "".join(map(chr, range(0x80))) + "\u2028\u2029\x7f\u00e9\U0001f600",
        "": [True, None, 0, -1],
    }
    assert canonical_bytes(value) == rfc8785.dumps(value)
