"""What a shell sees of mistakes: one short paragraph, an exit code that means one thing, commands
that exist there."""

from __future__ import annotations

import argparse
import os
import re
import sqlite3
import subprocess
import sys

import pytest
from support.receipts import receipt

from opg_magic.errors import ConfigError
from opg_magic.ledger.store import Ledger
from opg_magic.notebook.commands import COMMANDS
from opg_magic.settings import paths
from opg_magic.shell import attestation
from opg_magic.shell.main import main, parser


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "hi", "--max-cost", "abc"], "max_cost must be an amount of OPG"),
        (["wallet", "approve", "abc"], "not an amount"),
        (["config", "max_cost_per_day", "abc"], "Invalid max_cost_per_day: 'abc'. Use an amount"),
        (["verify", "x.json", "--require", "bogus"], "No claim is called bogus"),
    ],
)
def test_wrong_usage_is_2_never_the_1_of_a_failed_check(arguments, said, capsys):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "hi", "--modle", "x"], "usage: opg ask"),
        (["ask", "hi", "--modle", "x"], "unrecognized arguments: --modle x. Did you mean --model?"),
        (["receipts", "list", "--vedict=FAILED"], "Did you mean --verdict?"),
        (["askk", "hi"], "there is no command 'askk'. Did you mean ask?"),
        (["receipts", "lst"], "there is no command 'lst'. Did you mean list?"),
        (["receipts", "zzz"], "See: opg receipts --help"),
        (["show", "a", "b"], "unrecognized arguments: b\n"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["receipts"]])
def test_without_a_command_the_commands_are_listed(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert "export" in told or "verify" in told


@pytest.mark.parametrize("module", ["opg_magic.shell.main", "opg_magic.simnet"])
def test_who_reads_no_further_gets_no_traceback(module):
    read, write = os.pipe()
    os.close(read)
    command = [
        sys.executable,
        "-m",
        module,
        "models" if module == "opg_magic.shell.main" else "cheats",
    ]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_hints_name_commands_of_the_shell(capsys):
    # What was typed is echoed as it was typed: O and 0 are one letter of an ID, but not to who
    # reads the error.
    assert main(["show", "NOPE"]) == 1
    told = capsys.readouterr().err
    assert "No receipt ID starts with 'NOPE'" in told
    assert "List IDs: opg receipts list" in told
    assert "%opg" not in told


def test_the_ledger_is_checked_where_its_user_can_ask_for_it(home, capsys):
    assert main(["ledger", "check"]) == 1
    assert "There is no ledger" in capsys.readouterr().err
    with Ledger() as ledger:
        one = receipt()
        ledger.save(one)
    assert main(["ledger", "check"]) == 0
    assert "is intact: 1 receipt, unchanged since it was saved" in capsys.readouterr().out
    with sqlite3.connect(home / "ledger.sqlite") as db:
        db.execute("DROP TRIGGER receipts_no_update")
        db.execute("UPDATE receipts SET verdict = 'VERIFIED2'")
    db.close()
    assert main(["ledger", "check"]) == 1
    told = capsys.readouterr().out
    assert f"Receipt {one.id}: its column verdict is not what its document says" in told
    assert "receipts_no_update" in told
    assert main(["receipts", "export", str(home / "out.jsonl")]) == 1
    told = capsys.readouterr().out
    assert "0 receipts written" in told and one.id in told


def test_a_home_that_cannot_be_made_is_said_in_words(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match="cannot be made: Not a directory"):
        paths.home()
    assert main(["receipts", "list"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_session_of_its_own():
    from opg_magic.call.session import close_current_session, current_session

    async def nothing():
        return 7

    parent = current_session()
    try:
        assert parent.run(nothing()) == 7
        child = os.fork()
        if child == 0:
            import signal

            signal.alarm(20)
            own = current_session()
            good = (
                own is not parent and own.kernel_id != parent.kernel_id and own.run(nothing()) == 7
            )
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert parent.run(nothing()) == 7
    finally:
        close_current_session()


def test_reloading_is_no_new_kernel():
    from opg_magic.call.session import close_current_session, current_session

    first = current_session().kernel_id
    close_current_session()
    assert current_session().kernel_id == first
    close_current_session()


# --------------------------------------------------------------------------------------------- help


#: What a line of help may begin with.
@pytest.mark.parametrize("command", [["config"], ["simnet", "cheats"]])
def test_a_table_fits_the_terminal_and_loses_no_word(command, monkeypatch, capfd):
    told = {}
    for width in ("80", "400"):
        monkeypatch.setenv("COLUMNS", width)
        assert main(command) == 0
        told[width] = capfd.readouterr().out
    assert max(map(len, told["80"].splitlines())) <= 80
    assert told["80"].split() == told["400"].split()


def test_a_long_setting_stands_whole_below_its_row(monkeypatch, capsys):
    addresses = ["0x" + letter * 40 for letter in "abc"]
    assert main(["config", "payees", ",".join(addresses)]) == 0
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"  {', '.join(addresses)}" in lines
    assert [line[:8] for line in lines if len(line) > 100] == ["  0xaaaa"]


VERBS = frozenset(
    re.findall(
        r"\w+",
        "accept allow ask check choose compare continue control copy count create delete end exit "
        "fill get give keep leave limit list look make manage mark no only print publish query "
        "read refuse require send set show sign talk trust use verify watch write",
    )
)


def commands(parser, words=("opg",), about=""):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            for name, child in action.choices.items():
                yield from commands(child, (*words, name), helps.get(name, ""))
            return
    yield " ".join(words), parser, about


def every_command():
    yield from commands(parser())
    yield "opg attestation verify", attestation.parser(), "check a document"


def test_each_command_says_what_it_does_with_a_verb():
    for name, _, about in every_command():
        assert about.split()[:1] and about.split()[0] in VERBS, f"{name}: {about!r}"
    for command in COMMANDS.values():
        assert command.help.split()[0] in VERBS, command.usage


def test_each_option_of_each_command_is_explained():
    for name, one, _ in every_command():
        for action in one._actions:
            assert action.help, f"{name}: {action.dest}"
            if action.option_strings and action.dest not in ("help", "version"):
                first = action.help.removeprefix("with --hosts: ").split()[0].rstrip(",")
                assert first in VERBS | {"also"}, f"{name}: {action.dest}: {action.help!r}"
