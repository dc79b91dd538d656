"""A secret shows itself nowhere (attack 28)."""

import json
import pickle
import traceback

import pytest

from opg_magic.models.secret import Secret

VALUE = "0xfeedfacefeedfacefeedface"


def test_attack_28_a_secret_has_no_readable_form():
    secret = Secret(VALUE)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>20}",
        repr([secret]),
        repr({"k": secret}),
    ]
    assert all(VALUE not in text and VALUE[2:] not in text for text in shown)
    assert secret.reveal() == VALUE


def test_attack_28_a_secret_is_not_in_a_traceback_with_locals():
    def fails():
        secret = Secret(VALUE)
        raise RuntimeError("broken") from (ValueError(secret))

    try:
        fails()
    except RuntimeError as error:
        text = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    assert "broken" in text
    assert VALUE not in text


def test_a_secret_is_neither_pickled_nor_dumped_nor_hashed():
    secret = Secret(VALUE)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)


def test_secrets_compare_by_value():
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE + "0")
    assert Secret(VALUE) != VALUE
    assert not Secret("")
