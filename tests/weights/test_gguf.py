"""A file is named for what is wrong with it before native code sees it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from support.ggufs import entry, file, text, written

from opg_magic.errors import WeightsError
from opg_magic.weights import gguf


def test_a_whole_file_says_what_it_is(tmp_path: Path) -> None:
    header = gguf.read(written(tmp_path, file()))
    assert (header.architecture, header.context, len(header.tensors)) == ("llama", 8192, 1)
    assert header.template == "{{ messages }}"


def test_the_tokenizers_hash_is_not_moved_by_the_template(tmp_path: Path) -> None:
    one = gguf.read(written(tmp_path, file()))
    other = gguf.read(
        written(tmp_path, file(entries=(entry("tokenizer.ggml.pre", 8, text("gpt-2")),)))
    )
    changed = file().replace(b"{{ messages }}", b"{{ mess4ges }}")
    third = gguf.read(written(tmp_path, changed))
    assert one.tokenizer_sha256 != other.tokenizer_sha256
    assert one.tokenizer_sha256 == third.tokenizer_sha256
    assert one.template_sha256 != third.template_sha256


def test_any_byte_may_be_wrong_and_the_error_is_still_ours(tmp_path: Path) -> None:
    whole, chance = file(), random.Random(13)
    for _ in range(3000):
        spoilt = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            spoilt[chance.randrange(4, len(spoilt))] = chance.choice((0, 1, 9, 127, 255))
        try:
            header = gguf.read(written(tmp_path, bytes(spoilt)))
        except WeightsError:
            continue
        assert header.context >= 0 and header.tensors


@pytest.mark.parametrize("missing", [1, 64, 128, 200])
def test_a_cut_file_is_named_as_cut(tmp_path: Path, missing: int) -> None:
    with pytest.raises(WeightsError, match="cut"):
        gguf.read(written(tmp_path, file()[:-missing]))


def test_every_beginning_of_a_file_is_refused_in_words(tmp_path: Path) -> None:
    whole = file()
    for length in range(len(whole)):
        with pytest.raises(WeightsError):
            gguf.read(written(tmp_path, whole[:length]))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a GGUF"),
        (b"PK\x03\x04" + bytes(100), "not a GGUF"),
        (file(version=99), "version 99"),
        (file(tensors=0), "no tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 1), "absurd"),
        (file(entries=(entry("x", 77, b""),)), "value type 77"),
        (file(entries=(entry("x", 9, struct.pack("<IQ", 9, 1) * 5000),)), "nested too deep"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        gguf.read(written(tmp_path, content))


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        gguf.read(tmp_path / "none.gguf")
