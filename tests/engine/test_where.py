"""Where a call was made: the notebook's name and the number of the cell, as IPython and the system
tell them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell

from opg_magic.call import notebook_place
from opg_magic.call.notebook_place import execution_count, notebook_name
from opg_magic.call.session import Session
from opg_magic.models import Prompt


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_the_number_of_the_running_cell_is_that_of_its_output(shell):
    shell.user_ns["count"] = execution_count
    for _ in range(3):
        result = shell.run_cell(
            "numbers = globals().get('numbers', []) + [count()]\ncount()", store_history=True
        )
        assert result.result == result.execution_count
    assert shell.user_ns["numbers"] == [1, 2, 3]
    # Between two cells it is that of the last one; a cell that leaves no history has no number of
    # its own.
    assert execution_count() == 3
    assert shell.run_cell("count()", store_history=False).result == 3


@pytest.mark.parametrize(
    ("shells", "prompts", "begun", "number"),
    [(7, 7, 7, 7), (8, 8, 7, 7), (1, 1, 0, 0), (8, 7, 7, 7), (1, 0, 0, 0), (0, -1, 0, 0)],
)
def test_older_and_newer_ipythons_agree_on_it(
    monkeypatch, shells: int, prompts: int, begun: int, number: int
):
    # Older ones raise the count after the cell has run, newer ones before it.
    shell = SimpleNamespace(
        execution_count=shells,
        displayhook=SimpleNamespace(prompt_count=prompts),
        history_manager=SimpleNamespace(input_hist_parsed=[""] * (begun + 1)),
        user_ns={},
    )
    monkeypatch.setattr(notebook_place, "_shell", lambda: shell)
    assert execution_count() == number


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("/srv/ana/study.ipynb", "study.ipynb"),
        ("C:\\work\\study.ipynb", "study.ipynb"),
        ("/srv/ana/caf\udce9.ipynb", "caf\ufffd.ipynb"),
        ("/home/\udce9/na\u00efve.ipynb", "na\u00efve.ipynb"),
        ("\ud800.ipynb", "?.ipynb"),
    ],
)
def test_a_name_with_a_byte_that_is_not_utf8_stops_no_call(
    session: Session, monkeypatch, given: str, name: str
):
    monkeypatch.setattr(
        notebook_place.os, "environ", {**notebook_place.os.environ, "JPY_SESSION_NAME": given}
    )
    assert notebook_name() == name
    if not given.isascii():
        answer = session.ask(Prompt("Is 561 prime?", "openai/gpt-5"))
        assert session.ledger.get(answer.receipt.id).document["notebook"]["name"] == name
        assert session.receipts()["notebook"].iloc[0] == name
