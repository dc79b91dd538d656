"""Each notebook of the corpus gets the findings that it was made for; the browser's are compared in
test_corpus.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("corpus")


def test_each_notebook_gets_the_findings_that_it_was_made_for(tmp_path: Path) -> None:
    # Not at the top: the receipts in them are signed when it is loaded.
    from corpus.notebooks import all_notebooks, found_in, report_of, wanted_of

    cases = list(all_notebooks())
    assert not [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    for case in cases:
        report = report_of(case, tmp_path)
        assert (found_in(report), report.exit_code == 0) == (wanted_of(case), case.passes), (
            case.name,
            report.to_text(),
        )
