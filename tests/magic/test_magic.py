"""``%%opg`` and ``%opg`` in a real IPython shell, over a session that talks to nobody."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from support import states
from support.fake_session import FakeSession, Screen, good_answer

from opg_magic.errors import (
    AnswerWithheld,
    CallFailed,
    CallInterrupted,
    HostReportsFailure,
    LedgerError,
    LimitExceeded,
    NetworkUnavailable,
    OpgError,
    PromptError,
)
from opg_magic.models import Answer, Charge, Phase, Progress, VerdictStatus, plain_text
from opg_magic.models.secret import Secret

RECEIPT = "application/vnd.opg.receipt.v1+json"


def run(shell: InteractiveShell, cell: str) -> Any:
    return shell.run_cell(cell, store_history=True)


def withheld(streamed: str = "") -> Any:
    verdict, receipt, cost = states.call(
        VerdictStatus.FAILED, states.TAMPERED, because=("response: differs",)
    )

    def act(prompt: Any, options: Any, observer: Any) -> Answer:
        observer(Progress(Phase.ANSWER, text=streamed, tokens=1))
        raise AnswerWithheld(
            "answer withheld: the hashes differ",
            verdict=verdict,
            receipt=receipt,
            cost=cost,
            charge=Charge.CLAIMED,
            receipt_id=receipt.id,
        )

    return act


# ------------------------------------------------------------------------------------------- asking


@pytest.mark.parametrize(
    "body",
    [
        "plain",
        "{x} $x ${x} {{x}} {x!r} %s %(x)s",
        ">>> print(1)\n1",
        "In [1]: x\n   ...: y",
        "    indented\n  less",
        "%%time\n!ls\n?x",
        "trailing blank line\n",
        "# not a comment\n'unclosed",
        "tab\there, ünïcode 🎉, \u202e",
        "\n\nafter empty lines",
    ],
)
def test_the_prompt_goes_raw(shell: InteractiveShell, session: FakeSession, body: str) -> None:
    shell.user_ns["x"] = "EXPANDED"
    result = run(shell, f"%%opg\n{body}")
    assert result.error_in_exec is None
    ((prompt, _),) = session.calls
    assert prompt.text == body.removesuffix("\n")
    assert prompt.source == f"%%opg\n{body}"
    assert prompt.template is None
    assert prompt.model == "openai/gpt-5"


def test_options_reach_the_call(shell: InteractiveShell, session: FakeSession) -> None:
    shell.user_ns["liar"] = "27e3"
    run(
        shell,
        "%%opg a --host {liar} --max-cost 0.1 --policy strict --timeout 9 --stop X --no-stream "
        "--system '{s}'\nhi",
    )
    ((prompt, options),) = session.calls
    assert (options.host, options.max_cost, options.policy, options.timeout) == (
        "27e3",
        10**17,
        "strict",
        9.0,
    )
    assert (prompt.stop, prompt.stream, prompt.system, prompt.settle) == (
        ("X",),
        False,
        "{s}",
        "private",
    )


def test_variables_are_filled_on_request_only(
    shell: InteractiveShell, session: FakeSession
) -> None:
    shell.user_ns.update(n=561, data="{{n}}")
    run(shell, "%%opg --vars\nIs {{n}} prime? {{data}}")
    prompt, _ = session.calls[0]
    assert prompt.text == "Is 561 prime? {{n}}"
    assert prompt.template == "Is {{n}} prime? {{data}}"
    assert prompt.variables == ("n", "data")


def test_the_answer_goes_to_its_name_to_underscore_and_to_out(
    shell: InteractiveShell, session: FakeSession
) -> None:
    result = run(shell, "%%opg tee\nhi")
    answer = shell.user_ns["tee"]
    assert isinstance(answer, Answer)
    assert shell.user_ns["_"] is answer
    assert shell.user_ns["Out"][result.execution_count] is answer
    assert result.result is answer


def test_the_answer_is_shown_once_in_one_display(shell: InteractiveShell, screen: Screen) -> None:
    assert run(shell, "%%opg tee\nhi").error_in_exec is None
    assert len({one.id for one in screen.all}) == 1
    assert [one.update for one in screen.all] == [False] + [True] * (len(screen.all) - 1)
    assert set(screen.last) == {"text/plain", "text/markdown", "text/html", RECEIPT}
    assert plain_text.shows(screen.last["text/plain"], states.TEXT)


def test_two_cells_have_two_displays(shell: InteractiveShell, screen: Screen) -> None:
    run(shell, "%%opg\nhi")
    run(shell, "%%opg\nhi")
    assert len({one.id for one in screen.all}) == 2


def test_the_name_alone_shows_the_card_again(shell: InteractiveShell) -> None:
    run(shell, "%%opg tee\nhi")
    formatted, _ = shell.display_formatter.format(shell.user_ns["tee"])
    assert plain_text.shows(formatted["text/plain"], states.TEXT)
    assert "simulated network" in formatted["text/html"]
    assert formatted[RECEIPT]["id"] == "7Q4K2M9XTB"


def test_quiet_shows_the_card_only(shell: InteractiveShell, screen: Screen) -> None:
    run(shell, "%%opg tee --quiet\nhi")
    assert len(screen.all) == 1
    assert "sealed part" not in str({k: v for k, v in screen.last.items() if k != RECEIPT})
    assert "simulated network" in screen.last["text/plain"]
    assert shell.user_ns["tee"].text == states.TEXT


def test_dry_run_calls_nobody(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    run(shell, "%%opg tee --dry-run\nhi")
    assert session.calls == []
    assert "Dry run: nothing was paid" in screen.last["text/plain"]
    assert "tee" not in shell.user_ns


def test_a_terminal_shows_first_and_last_state_only(
    shell: InteractiveShell, session: FakeSession, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    import opg_magic.notebook.live

    monkeypatch.setattr(opg_magic.notebook.live, "INTERVAL", 0.0)
    run(shell, "%%opg tee\nhi")
    in_a_notebook = len(screen.all)
    screen.all.clear()
    shell.__class__ = type("TerminalInteractiveShell", (InteractiveShell,), {})
    try:
        run(shell, "%%opg tee\nhi")
    finally:
        shell.__class__ = InteractiveShell
    assert in_a_notebook > 2
    assert len(screen.all) == 2


# ----------------------------------------------------------------------------------------- refusing


@pytest.mark.parametrize("cell", ["%%opg", "%%opg\n", "%%opg tee\n   \n\t\n", "%%opg --vars"])
def test_an_empty_cell_is_refused_unpaid(
    shell: InteractiveShell, session: FakeSession, cell: str
) -> None:
    assert isinstance(run(shell, cell).error_in_exec, PromptError)
    assert session.calls == []


@pytest.mark.parametrize(
    "cell",
    [
        "%%opg --modle x\nhi",
        "%%opg a b\nhi",
        "%%opg class\nhi",
        "%%opg --host {missing}\nhi",
        "%opg statsu",
    ],
)
def test_bad_lines_are_usage_errors_and_unpaid(
    shell: InteractiveShell, session: FakeSession, cell: str
) -> None:
    assert isinstance(run(shell, cell).error_in_exec, UsageError)
    assert session.calls == []


def test_an_undefined_variable_is_an_error_before_payment(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(run(shell, "%%opg --vars\n{{nowhere}}").error_in_exec, PromptError)
    assert session.calls == []
    assert "nowhere is not defined" in capsys.readouterr().out


@pytest.mark.parametrize("cell", ["%%opg --help", "%%opg --help\nhi", "%opg help", "%opg --help"])
def test_help_is_shown_and_nothing_is_sent(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str], cell: str
) -> None:
    assert run(shell, cell).error_in_exec is None
    out = capsys.readouterr().out
    assert "--max-cost C" in out
    assert session.calls == []


def test_question_mark_helps(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    for cell in ("%%opg?", "%opg?"):
        info = shell.object_inspect("%opg" if cell.startswith("%o") else "%%opg")
        assert "--max-cost C" in info["docstring"]
        assert "%opg receipts" in info["docstring"]
        assert run(shell, cell).error_in_exec is None


def test_a_terminal_still_waits_for_the_prompt(shell: InteractiveShell) -> None:
    assert shell.check_complete("%%opg tee")[0] == "incomplete"
    assert shell.check_complete("%%opg tee\nhi")[0] == "incomplete"
    assert shell.check_complete("%%opg tee\nhi\n\n")[0] == "complete"


# ------------------------------------------------------------------------------------------ failing


def test_a_withheld_answer_raises_and_leaves_the_name_as_it_was(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    shell.user_ns["tee"] = "the old value"
    session.act = withheld("streamed words")
    result = run(shell, "%%opg tee\nhi")
    assert isinstance(result.error_in_exec, AnswerWithheld)
    assert shell.user_ns["tee"] == "the old value"
    assert "✗ Failed at the call · the answer is withheld" in screen.last["text/plain"]
    assert "streamed words" not in str({k: v for k, v in screen.last.items() if k != RECEIPT})
    assert screen.last[RECEIPT]["id"] == "7Q4K2M9XTB"


def test_text_that_was_on_show_is_said_to_have_been(
    shell: InteractiveShell, session: FakeSession, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    import opg_magic.notebook.live

    monkeypatch.setattr(opg_magic.notebook.live, "INTERVAL", 0.0)
    session.act = withheld("streamed words")
    run(shell, "%%opg\nhi")
    assert "streamed words" in screen.all[1].data["text/plain"]
    assert "not checked yet" in screen.all[1].data["text/plain"]
    assert "may have been read" in screen.last["text/plain"]
    assert "streamed words" not in screen.last["text/html"]


@pytest.mark.parametrize("how", ["flag", "setting", "audit"])
def test_under_strict_no_text_is_shown_before_the_verdict(
    shell: InteractiveShell,
    session: FakeSession,
    screen: Screen,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    import opg_magic.notebook.live

    monkeypatch.setattr(opg_magic.notebook.live, "INTERVAL", 0.0)
    session.act = withheld("unread words")
    if how == "setting":
        session.settings.set("policy", "strict")
        run(shell, "%%opg --policy default\nhi")
    else:
        run(shell, f"%%opg --policy {'audit' if how == 'audit' else 'strict'}\nhi")
    assert len(screen.all) > 2
    assert "unread words" not in screen
    assert "may have been read" not in screen


@pytest.mark.parametrize(
    ("problem", "headline", "money"),
    [
        (
            LimitExceeded("the cap 0.1 OPG is over the limit 0.05 OPG"),
            "No answer",
            "nothing was paid",
        ),
        (
            CallFailed("stopped before anything was sent", charge=Charge.NONE),
            "No answer",
            "not charged",
        ),
        (
            CallInterrupted("stopped", charge=Charge.UNKNOWN, receipt_id="7Q4K"),
            "Stopped by you",
            "charge unknown",
        ),
        (KeyboardInterrupt(), "Stopped by you", "nothing was paid"),
        (RuntimeError("bug"), "No answer", "charge unknown"),
    ],
)
def test_whatever_ends_a_call_the_display_says_how(
    shell: InteractiveShell,
    session: FakeSession,
    screen: Screen,
    problem: BaseException,
    headline: str,
    money: str,
) -> None:
    def act(*_: Any) -> Answer:
        raise problem

    session.act = act
    result = run(shell, "%%opg tee\nhi")
    assert result.error_in_exec is problem
    assert headline in screen.last["text/plain"]
    assert money in screen.last["text/plain"]
    assert "answering" not in screen.last["text/plain"]
    assert "tee" not in shell.user_ns


def test_a_host_that_reports_a_failure_has_its_receipt_in_the_notebook(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    verdict, receipt, cost = states.call(
        VerdictStatus.UNVERIFIED, states.UNSIGNED, simulated=True, text=None, charge=Charge.NONE
    )

    problem = {"code": "host-failure", "message": "host 27e3…6328 reports a failure"}
    receipt.document["response"]["problem"] = problem
    receipt.document["payment"]["charge"] = Charge.NONE.value

    def act(*_: Any) -> Answer:
        raise HostReportsFailure(
            "host 27e3…6328 reports a failure", verdict=verdict, receipt=receipt, cost=cost
        )

    session.act = act
    run(shell, "%%opg\nhi")
    assert "✗ The host reports a failure · " in screen.last["text/plain"]
    assert "not charged" in screen.last["text/plain"]
    assert screen.last[RECEIPT]["id"] == receipt.id


def test_errors_are_one_short_paragraph(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    session.act = withheld()
    run(shell, "%%opg\nhi")
    out = capsys.readouterr()
    said = out.out + out.err
    # The log of a job that runs the notebook has no card above: it said only to look there.
    assert "AnswerWithheld: answer withheld: the hashes differ.\n" in said
    assert "See the card above (receipt " in said
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 6


@pytest.mark.parametrize(
    "problem",
    [
        LimitExceeded("the cap is too high. Nothing was sent.", hint="Raise the limit."),
        NetworkUnavailable("the registry cannot be reached."),
    ],
)
def test_why_there_is_no_answer_is_said_once(
    shell: InteractiveShell,
    session: FakeSession,
    screen: Screen,
    capsys: pytest.CaptureFixture[str],
    problem: OpgError,
) -> None:
    def act(*_: Any) -> Answer:
        raise problem

    session.act = act
    run(shell, "%%opg\nhi")
    out = capsys.readouterr()
    said = screen.last["text/plain"] + out.out + out.err
    assert said.count(problem.message) == 1
    assert "No answer" in said


def test_below_a_card_the_error_keeps_what_to_do(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict, receipt, cost = states.call(VerdictStatus.UNVERIFIED, states.UNSIGNED, text=None)

    def act(*_: Any) -> Answer:
        raise CallFailed(
            "the connection broke", hint="Look it up: %opg reconcile", verdict=verdict,
            receipt=receipt, cost=cost, receipt_id=receipt.id,
        )  # fmt: skip

    session.act = act
    result = run(shell, "%%opg\nhi")
    out = capsys.readouterr()
    assert (
        f"CallFailed: the connection broke.\nSee the card above (receipt {receipt.id}).\n"
        "Look it up: %opg reconcile"
    ) in out.out + out.err
    assert str(result.error_in_exec).startswith("the connection broke")  # programs lose nothing


def test_attack_28_no_secret_in_a_verbose_traceback(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(prompt: Any, options: Any, observer: Any) -> Answer:
        key = Secret("dead" + "beef")  # in parts: a traceback shows this very line
        raise RuntimeError(f"with {key}")

    session.act = act
    shell.run_line_magic("xmode", "Verbose")
    run(shell, "%%opg\nhi")
    out = capsys.readouterr()
    assert "RuntimeError" in out.out + out.err
    assert "key" in out.out + out.err
    assert "deadbeef" not in out.out + out.err


# ----------------------------------------------------------------------------------------- commands


def test_config_shows_and_sets_with_origin(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = run(shell, "%opg config").result
    assert frame.loc["model", "value"] == "openai/gpt-5"
    assert frame.loc["model", "from"] == "default"
    run(shell, "%opg config model anthropic/claude-sonnet-4-5")
    run(shell, "%opg config timeout 30")
    assert "model = anthropic/claude-sonnet-4-5   (from: this kernel)" in capsys.readouterr().out
    assert session.settings.get("timeout") == 30
    assert shell.magics_manager.registry["OpgMagics"].model == "anthropic/claude-sonnet-4-5"
    run(shell, "%%opg\nhi")
    assert session.calls[0][0].model == "anthropic/claude-sonnet-4-5"


def test_config_says_when_a_looser_value_is_not_in_force(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("opg", "config max_cost_per_kernel 100")
    said = capsys.readouterr().out
    assert "max_cost_per_kernel = 1 OPG" in said
    assert "100 would loosen your own setting" in said
    shell.run_line_magic("opg", "config max_cost_per_kernel 0.5")
    assert "loosen" not in capsys.readouterr().out


def test_config_of_ipython_works_and_the_last_word_counts(
    shell: InteractiveShell, session: FakeSession
) -> None:
    run(shell, "%config OpgMagics.model = 'x-ai/grok-4'")
    run(shell, "%config OpgMagics.max_cost_per_call = 0.05")
    run(shell, "%%opg\nhi")
    assert session.calls[-1][0].model == "x-ai/grok-4"
    assert session.settings.get("max_cost_per_call") == 5 * 10**16
    run(shell, "%opg config model openai/o3")
    run(shell, "%config OpgMagics.model = 'x-ai/grok-4'")
    run(shell, "%%opg\nhi")
    assert session.calls[-1][0].model == "x-ai/grok-4"
    run(shell, "%config OpgMagics.model = None")
    run(shell, "%%opg\nhi")
    assert session.calls[-1][0].model == "openai/gpt-5"


def test_config_of_a_profile_is_heeded_from_the_first_call(
    shell: InteractiveShell, session: FakeSession
) -> None:
    shell.run_line_magic("unload_ext", "opg_magic")
    shell.config.OpgMagics.policy = "strict"
    shell.run_line_magic("load_ext", "opg_magic")
    run(shell, "%%opg\nhi")
    assert session.settings.get("policy") == "strict"


@pytest.mark.parametrize(
    "cell", ["%opg config modle x", "%opg config timeout 9999", "%opg config policy lax"]
)
def test_bad_settings_are_refused(shell: InteractiveShell, session: FakeSession, cell: str) -> None:
    from opg_magic.errors import ConfigError

    assert isinstance(run(shell, cell).error_in_exec, ConfigError)
    assert [row[2] for row in session.settings.rows()].count("this kernel") == 0


def test_tables_come_as_data_frames(shell: InteractiveShell, session: FakeSession) -> None:
    hosts = run(shell, "%opg hosts").result
    assert list(hosts.index) == ["honest-anna", "sly-bob"]
    assert hosts.loc["sly-bob", "attestation"] == "refused"
    # On a projector, an ID of 66 characters hides what stands to the right of it.
    assert list(hosts.columns)[:3] == ["registry", "attestation", "skipped"]
    models = run(shell, "%opg models").result
    assert models.loc["openai/gpt-5", "in_usd_per_million"] == 1.25
    assert models.loc["openai/gpt-image-2", "price_as_of"] == "price unknown"
    cost = run(shell, "%opg cost").result
    assert cost.loc["this kernel", "reserved"] == "0.4 OPG"
    assert session.reconciled == 1
    assert run(shell, "%opg wallet").result.loc["balance", "wallet"] == "1 OPG"
    assert run(shell, "%opg").result.loc["model", "status"] == "openai/gpt-5"


def test_receipts_take_filters(shell: InteractiveShell, session: FakeSession) -> None:
    session.frame = object()
    assert run(shell, "%opg receipts model=openai/gpt-5 --verdict=FAILED").result is session.frame
    assert session.filters == {"model": "openai/gpt-5", "verdict": "FAILED"}
    run(shell, '%opg receipts prime "561 is" --since yesterday columns=audit')
    assert session.filters == {
        "search": 'prime "561 is"',
        "since": "yesterday",
        "columns": "audit",
    }
    run(shell, "%opg receipts a=b")  # no filter, and none that was meant
    assert session.filters == {"search": "a=b"}
    for wrong in ("modle=x", "--sicne yesterday", "since", "--since", "verdict", "--last"):
        assert isinstance(run(shell, f"%opg receipts {wrong}").error_in_exec, UsageError), wrong


def test_use_says_whether_it_is_real(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "%opg use opengradient")
    assert "real: calls cost OPG" in capsys.readouterr().out
    assert session.settings.get("network") == "opengradient"
    assert isinstance(run(shell, "%opg use opengradinet").error_in_exec, UsageError)


def test_simnet_commands_take_variables_and_their_output_is_inert(
    shell: InteractiveShell, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.user_ns["liar"] = "honest-anna"
    run(shell, "%opg simnet cheat {liar} change-byte")
    assert session.simnet_commands == [["cheat", "honest-anna", "change-byte"]]
    assert "\x1b" not in capsys.readouterr().out


def test_show_rebuilds_an_answer_unpaid(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    answer = states.answer(simulated=True)
    session.ledger.receipts[answer.receipt.id] = answer.receipt
    run(shell, "%opg show last")
    assert plain_text.shows(screen.last["text/plain"], states.TEXT)
    assert shell.user_ns["_"].text == states.TEXT
    assert session.calls == []
    run(shell, "%opg show 7q4k")
    assert plain_text.shows(screen.last["text/plain"], states.TEXT)


def test_show_withholds_unless_asked(
    shell: InteractiveShell, session: FakeSession, screen: Screen
) -> None:
    failed = states.failed(text="561 is prime.")
    session.ledger.receipts[failed.receipt.id] = failed.receipt
    before = shell.user_ns.get("_")
    assert run(shell, "%opg show last").error_in_exec is None
    assert "561 is prime." not in screen.last["text/plain"] + screen.last["text/html"]
    assert "%opg show 7Q4K2M9XTB --unverified" in screen.last["text/plain"]
    assert shell.user_ns.get("_") is before
    run(shell, "%opg show last --unverified")
    assert screen.last["text/plain"].startswith("✗ Shown because you asked")
    assert "561 is prime." in screen.last["text/plain"]


def test_show_of_nothing_says_so(shell: InteractiveShell) -> None:
    assert isinstance(run(shell, "%opg show").error_in_exec, LedgerError)
    assert isinstance(run(shell, "%opg show 9999").error_in_exec, LedgerError)
    assert isinstance(run(shell, "%opg show last --unverifid").error_in_exec, UsageError)


def test_every_command_is_in_the_help(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "%opg help")
    out = capsys.readouterr().out
    for name in [
        "status",
        "use",
        "config",
        "hosts",
        "models",
        "receipts",
        "show",
        "cost",
        "wallet",
        "simnet",
        "dashboard",
        "help",
    ]:
        assert f"  %opg {name}" in out


# ---------------------------------------------------------------------------------- load and unload


def test_loading_twice_registers_once(shell: InteractiveShell, session: FakeSession) -> None:
    shell.run_line_magic("reload_ext", "opg_magic")
    shell.run_line_magic("load_ext", "opg_magic")
    from opg_magic.notebook import completion

    ours = [
        m
        for m in shell.Completer.custom_matchers
        if getattr(m, "matcher_identifier", "") == completion.IDENTIFIER
    ]
    assert len(ours) == 1
    run(shell, "%%opg\nhi")
    assert len(session.calls) == 1


def test_unloading_takes_all_away(shell: InteractiveShell) -> None:
    shell.run_line_magic("unload_ext", "opg_magic")
    assert shell.find_line_magic("opg") is None
    assert shell.find_cell_magic("opg") is None
    assert (
        shell.input_transformers_cleanup
        == type(shell)().input_transformer_manager.cleanup_transforms
    )
    assert not any(type(c).__name__ == "OpgMagics" for c in shell.configurables)
    shell.run_line_magic("load_ext", "opg_magic")


def test_loading_brings_neither_display_nor_anything_heavy() -> None:
    script = (
        "import sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "s = InteractiveShell.instance()\n"
        "s.run_line_magic('load_ext', 'opg_magic')\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in "
        "('pandas', 'web3', 'httpx', 'ipywidgets', 'cryptography', 'markdown_it', 'sqlite3x')"
        " or m.startswith(('opg_magic.display.', 'opg_magic.call.session', "
        "'opg_magic.call.engine', 'opg_magic.verify')) and m != 'opg_magic.display.output']\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_answer_of_a_later_cell_replaces_the_name(
    shell: InteractiveShell, session: FakeSession
) -> None:
    run(shell, "%%opg tee\nhi")
    session.act = good_answer("second")
    run(shell, "%%opg tee\nhi")
    assert shell.user_ns["tee"].text == "second"


@pytest.mark.parametrize("line", ["%%opg tee --quiet", "%%opg tee"])
def test_a_display_that_fails_keeps_no_paid_answer_from_its_variable(
    shell, monkeypatch, capsys, line: str
):
    def broken(*_args, **_given):
        raise UnicodeEncodeError("charmap", "✓", 0, 1, "character maps to <undefined>")

    monkeypatch.setattr("opg_magic.display.bundle.answer_bundle", broken)
    result = shell.run_cell(f"{line}\nIs 561 prime?", store_history=True)
    assert result.success
    answer = shell.user_ns["tee"]
    assert answer.text
    assert f"It is kept: %opg show {answer.receipt.id}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("encoding", "errors"),
    [("ascii", "backslashreplace"), ("cp1252", "backslashreplace"), ("utf-8", "strict")],
)
def test_a_terminal_of_another_encoding_ends_no_answer_in_an_error(
    shell, monkeypatch, encoding: str, errors: str
):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    shell.run_line_magic("reload_ext", "opg_magic")
    assert stream.errors == errors
    print("✓ 中")
