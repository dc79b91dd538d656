"""What goes out around a cell: a template of the user's own, and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from opg_magic.call.composing import composed
from opg_magic.cells import context, grammar
from opg_magic.errors import ArgumentError
from opg_magic.settings.config import Settings


def settings_of(tmp_path: Path) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text('[templates]\nshort = "Be short.\\n\\n{{cell}}\\n\\nOne line."\n', "utf-8")
    return Settings(environ={}, user_file=file, project_dir=tmp_path)


def test_a_prompt_alone_stays_as_it_is(tmp_path: Path) -> None:
    made = composed("Is {{n}} prime?", settings_of(tmp_path))
    assert made.prompt == context.Composed("Is {{n}} prime?", None)
    assert made.announcement is None
    made = composed("Is 561 prime?", settings_of(tmp_path), typed="Is {{n}} prime?")
    assert made.prompt.template == "Is {{n}} prime?"


def test_a_template_goes_around_the_cell(tmp_path: Path) -> None:
    made = composed("Is {{cell}} prime?", settings_of(tmp_path), template="short")
    assert made.prompt.text == "Be short.\n\nIs {{cell}} prime?\n\nOne line."
    assert made.prompt.names == ("template short",)
    assert grammar.fills(made.prompt.template, made.prompt.text)


def test_a_template_that_there_is_not_is_refused_with_a_near_name(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no template 'shrot'") as refused:
        composed("x", settings_of(tmp_path), template="shrot")
    assert refused.value.hint == "Did you mean short?"


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n", "no end", "", "```\ncode\n```\n", "{{x}}\r\n", "ä\ufeff"]
)
def test_files_follow_the_prompt_whole(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a b.csv"
    path.write_bytes(content.encode())
    made = composed("Explain.", settings_of(tmp_path), files=[str(path)], template="short")
    prompt = made.prompt
    assert prompt.text.startswith("Be short.\n\nExplain.\n\nOne line.\n\nFile a b.csv (")
    assert content.replace("\r\n", "\n") in prompt.text
    assert f"{len(content.encode()):,} bytes):" in prompt.text
    # A reader finds the cell and each file's heading, and the recorded template fits.
    assert grammar.follows(["", "Explain.", context.heading(str(path)), ""], prompt.text)
    assert grammar.fills(prompt.template, prompt.text)
    assert content.strip() == "" or content.strip() not in prompt.template
    fence = prompt.text.rsplit("\n", 1)[1]
    assert set(fence) == {"`"} and fence not in content


def test_size_and_cost_are_said_first(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x" * 4000)
    (tmp_path / "b.md").write_text("y" * 400)
    paths = [str(tmp_path / name) for name in ("a.csv", "b.md")]
    said = composed("Go", settings_of(tmp_path), files=paths).announcement
    assert said == (
        "sent with the prompt: a.csv, b.md (4,400 bytes, about 1,100 tokens, about $0.0014)"
    )
    unpriced = composed("Go", settings_of(tmp_path), files=paths, model="openai/gpt-5.5")
    assert "price unknown" in unpriced.announcement


def test_a_file_that_cannot_be_sent_is_refused_before_anything_is(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "key.txt").write_text("-----BEGIN OPENSSH PRIVATE " + "KEY-----\nabc")
    (tmp_path / "large").write_bytes(b"a" * (context.MOST_BYTES + 1))
    for name, why in (
        ("missing.csv", "No such file"),
        ("picture.png", "not UTF-8 text"),
        ("key.txt", "holds a private key"),
        ("large", "more than 1,000,000 bytes"),
        ("", "does not end in a file's name"),
        ("a\nb", "does not end in a file's name"),
    ):
        with pytest.raises(ArgumentError, match=why) as refused:
            composed("x", settings_of(tmp_path), files=[f"{tmp_path}/{name}"])
        assert "Nothing was sent" in refused.value.message
        assert str(tmp_path) not in refused.value.message or name in ("", "a\nb")


def test_files_count_together(tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.write_bytes(b"a" * (context.MOST_BYTES // 2 + 1))
    assert context.read_files([str(half)])
    with pytest.raises(ArgumentError, match="at most 1,000,000"):
        context.read_files([str(half), str(half)])


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.csv", "a.csv"), ("/x/y/a.csv", "a.csv"), ("c:\\x\\a.csv", "a.csv"), ("a/", "")],
)
def test_a_file_s_name_is_what_follows_the_folders(path: str, name: str) -> None:
    assert context.base_name(path) == name


@pytest.mark.parametrize("path", ["~nobody-here/a.txt", "a\0b/a.txt"])
def test_a_path_that_is_none_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(ArgumentError, match=r"Cannot read a\.txt"):
        context.read_files([path])
