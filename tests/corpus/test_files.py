"""Receipts of one file come to what they were made for; the browser's words are compared in
test_corpus.py."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("corpus")


def test_each_file_comes_to_what_it_was_made_for(tmp_path: Path) -> None:
    # Not at the top: the receipts in them are signed when it is loaded.
    from corpus.files import all_files, said_of

    for case in all_files():
        said = said_of(case, tmp_path)
        status, basis, _ = said[case.receipts[0].id]["agreement"]
        assert (status, basis) == case.want, case.name
