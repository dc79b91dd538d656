"""What a notebook sees and saves: outputs, errors that stop it, the stop button, two kernels on one
ledger."""

from __future__ import annotations

import asyncio
import html
import json
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from support.simnet import ProcessSimnet, isolated_home
from support.waiting import until

from opg_magic.ledger.store import Ledger
from opg_magic.network import simnet_client

pytestmark = [pytest.mark.kernel, pytest.mark.simnet]

MIME = "application/vnd.opg.receipt.v1+json"
QUESTION = "What does a TEE protect against?"


def cards(cell):
    return [output["data"] for output in cell["outputs"] if MIME in output.get("data", {})]


def printed(cell):
    return "".join(o.get("text", "") for o in cell["outputs"] if o["output_type"] == "stream")


def test_an_answer_is_saved_as_one_bundle_that_verifies_elsewhere(notebook, tmp_path):
    client = notebook(
        f"%%opg tee --model openai/gpt-5\n{QUESTION}", "print(repr(tee.text)); print(_ is tee)"
    )
    client.execute()
    cell, after = client.nb.cells[1:3]
    (bundle,) = cards(cell)
    assert len(cell["outputs"]) == 1
    assert set(bundle) == {"text/plain", "text/markdown", "text/html", MIME}
    answer = bundle[MIME]["response"]["text"]
    assert bundle["text/plain"].startswith(answer)
    assert "[simulated network]" in bundle["text/plain"]
    assert "author's kernel" in html.unescape(bundle["text/html"])
    assert printed(after).splitlines() == [repr(answer), "True"]
    assert bundle[MIME]["notebook"]["name"] == "study.ipynb"
    assert bundle[MIME]["notebook"]["cell"] == cell["execution_count"] == 2
    saved = tmp_path / "study.ipynb"
    nbformat.write(client.nb, saved)

    from opg_magic.shell.main import main

    assert main(["verify", str(saved), "--allow-simulated"]) == 0
    assert main(["verify", str(saved)]) == 3
    document = json.loads(saved.read_text())
    target = document["cells"][1]["outputs"][0]["data"]
    target["text/plain"] = [line.replace("protects", "destroys") for line in target["text/plain"]]
    saved.write_text(json.dumps(document))
    assert main(["verify", str(saved), "--allow-simulated"]) == 1


@pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="the system does not tell how a process began"
)
def test_a_notebook_s_env_loosens_nothing_even_before_the_extension_is_loaded(
    notebook, monkeypatch
):
    monkeypatch.setenv("OPG_MAX_COST_PER_CALL", "0.05")
    client = notebook(
        "from opg_magic.call.session import current_session as s; "
        "print(s().settings.get('max_cost_per_call'))"
    )
    loosen = (
        "%env OPG_MAX_COST_PER_CALL=100\n%env OPG_HOME=/tmp/of-a-notebook\n%env OPG_FACILITATORS=0x"
        + "11" * 20
    )
    client.nb.cells.insert(0, nbformat.v4.new_code_cell(loosen))
    client.nb.cells.append(
        nbformat.v4.new_code_cell("print(s().settings.get('facilitators'), s().ledger.path)")
    )
    client.execute()
    assert printed(client.nb.cells[2]).split() == [str(5 * 10**16)]
    assert printed(client.nb.cells[3]).startswith("() ")
    assert "of-a-notebook" not in printed(client.nb.cells[3])


def test_a_failed_check_stops_the_notebook_and_keeps_the_old_value(notebook):
    client = notebook(
        "answer = 'as it was'",
        "%opg simnet cheat anna change-byte",
        f"%%opg answer --host anna\n{QUESTION}",
        "print('never reached')",
    )
    with pytest.raises(CellExecutionError, match="AnswerWithheld"):
        client.execute()
    failed, never = client.nb.cells[3:5]
    (error,) = [o for o in failed["outputs"] if o["output_type"] == "error"]
    assert error["ename"] == "AnswerWithheld"
    assert len("\n".join(error["traceback"]).splitlines()) <= 6
    (bundle,) = cards(failed)
    assert "FAILED" in bundle["text/plain"].upper()
    assert never["outputs"] == []
    simnet_client.cheat("anna", "off")


def test_the_failed_cards_text_is_not_the_withheld_answer(notebook):
    client = notebook(
        "%opg simnet cheat anna change-byte",
        f"%%opg answer --host anna\n{QUESTION}",
        "%opg simnet cheat anna off",
        "try:\n    answer\nexcept NameError as problem:\n    print('not assigned')",
        allow_errors=True,
    )
    client.execute()
    (bundle,) = cards(client.nb.cells[2])
    text = bundle[MIME]["response"]["text"]
    for kind in ("text/plain", "text/markdown", "text/html"):
        assert text not in bundle[kind]
    assert printed(client.nb.cells[4]) == "not assigned\n"


async def test_stop_cancels_at_once_and_says_what_was_charged(notebook):
    client = notebook(
        "%opg simnet cheat bruno slow",
        f"%%opg late --host bruno\n{QUESTION}",
        "6 * 7",
        allow_errors=True,
    )
    client.create_kernel_manager()
    async with client.async_setup_kernel():
        await client.async_execute_cell(client.nb.cells[0], 0)
        await client.async_execute_cell(client.nb.cells[1], 1)
        running = asyncio.create_task(client.async_execute_cell(client.nb.cells[2], 2))
        while "not checked yet" not in json.dumps(client.nb.cells[2].get("outputs", [])):
            await asyncio.sleep(0.05)
            assert not running.done(), client.nb.cells[2]["outputs"]
        await client.km.interrupt_kernel()
        await running
        await client.async_execute_cell(client.nb.cells[3], 3)
    simnet_client.cheat("bruno", "off")
    outputs = client.nb.cells[2]["outputs"]
    (error,) = [o for o in outputs if o["output_type"] == "error"]
    assert error["ename"] == "CallInterrupted"
    assert "unknown" in "\n".join(error["traceback"])
    assert "not checked yet" not in json.dumps(
        [o for o in outputs if o["output_type"] != "error"]
    ) or "stopped" in (json.dumps(outputs))
    assert client.nb.cells[3]["outputs"][0]["data"]["text/plain"] == "42"


async def test_two_kernels_write_one_ledger(notebook, kernel_home: Path):
    before = Ledger(kernel_home / "ledger.sqlite").count()
    cells = [f"%%opg --quiet a{i}\nIs {n} prime?" for i, n in enumerate((7, 8, 9, 561))]
    first, second = notebook(*cells), notebook(*cells)
    await asyncio.gather(first.async_execute(), second.async_execute())
    ledger = Ledger(kernel_home / "ledger.sqlite")
    assert ledger.findings() == []
    assert ledger.count() == before + 8
    kernels = {r.document["notebook"]["kernel"] for r in ledger.receipts()}
    assert len(kernels) >= 2


def test_papermill_stops_at_a_failed_cell(notebook, tmp_path, kernel_home):
    import papermill

    client = notebook(
        "%opg simnet cheat chidi foreign-key", f"%%opg --host chidi\n{QUESTION}", "print('never')"
    )
    source = tmp_path / "in.ipynb"
    nbformat.write(client.nb, source)
    with pytest.raises(papermill.PapermillExecutionError):
        papermill.execute_notebook(str(source), str(tmp_path / "out.ipynb"), progress_bar=False)
    simnet_client.cheat("chidi", "off")


def test_attack_28_the_saved_notebook_holds_no_secret(notebook, kernel_home: Path):
    client = notebook(
        f"%%opg tee\n{QUESTION}",
        "tee.receipt",
        "%opg wallet",
        "%opg config",
        "1/0",
        allow_errors=True,
    )
    client.execute()
    text = nbformat.writes(client.nb)
    keys = [
        p.read_text().strip().removeprefix("0x")
        for p in (kernel_home / "simnet" / "keys").glob("*.key")
    ]
    assert len(keys) >= 3
    assert not any(key in text for key in keys)
    assert "PAYMENT-SIGNATURE" not in text
    assert "X-Upto-Session" not in text
    assert str(kernel_home) not in text


def test_the_first_call_starts_the_network_by_itself(tmp_path, notebook, monkeypatch):
    with isolated_home(tmp_path / "fresh"):
        monkeypatch.setenv("OPG_HOME", str(tmp_path / "fresh"))
        try:
            client = notebook(f"%%opg tee\n{QUESTION}", "tee.verdict.label")
            client.execute()
            assert client.nb.cells[2]["outputs"][0]["data"]["text/plain"] == "'SIMULATED'"
        finally:
            ProcessSimnet().end()


def test_a_network_that_died_is_started_again_for_the_next_call(tmp_path, notebook, monkeypatch):
    with isolated_home(tmp_path / "fresh"):
        monkeypatch.setenv("OPG_HOME", str(tmp_path / "fresh"))
        try:
            client = notebook(
                f"%%opg first\n{QUESTION}",
                "%opg simnet down",
                f"%%opg second\n{QUESTION}",
                "first.receipt.document['network']['run_id'] == "
                "second.receipt.document['network']['run_id']",
            )
            client.execute()
            assert client.nb.cells[4]["outputs"][0]["data"]["text/plain"] == "False"
        finally:
            ProcessSimnet().end()


def test_a_killed_kernel_leaves_a_record_of_its_payment(notebook, kernel_home: Path):
    client = notebook(
        "%opg simnet cheat chidi slow", f"%%opg late --host chidi\n{QUESTION}", allow_errors=True
    )

    async def kill_in_mid_answer():
        client.create_kernel_manager()
        async with client.async_setup_kernel():
            await client.async_execute_cell(client.nb.cells[0], 0)
            await client.async_execute_cell(client.nb.cells[1], 1)
            running = asyncio.create_task(client.async_execute_cell(client.nb.cells[2], 2))
            while "not checked yet" not in json.dumps(client.nb.cells[2].get("outputs", [])):
                await asyncio.sleep(0.05)
            await client.km.signal_kernel(9)
            running.cancel()

    try:
        asyncio.run(kill_in_mid_answer())
    except Exception as problem:
        assert "died" in str(problem).lower() or "kernel" in str(problem).lower()
    simnet_client.cheat("chidi", "off")
    ledger = Ledger(kernel_home / "ledger.sqlite")
    until(ledger.unfinished)
    assert [u.charge.value for u in ledger.unfinished()] == ["unknown"]
    assert ledger.open_authorisations()


def test_honest_cells_of_every_form_are_sent_as_typed_and_verify_elsewhere(notebook, tmp_path):
    """As other tools save them; one under %%time and one from a callback, in one kernel."""
    cells = {
        "%%opg a\r\nline one\r\nline two\r\n": "line one\r\nline two",
        "    %%opg b\n    - one\n      - two\n    Explain.": "    - one\n      - two\n    Explain.",
        "\n%%opg c\n>>> 1 + 1\n2\nWhat does this session show?": ">>> 1 + 1\n2\nWhat does this "
        "session show?",
        "%%time\n%%opg d\nIs 7 prime?": "Is 7 prime?",
    }
    callback = (
        "import asyncio\n"
        "async def later():\n"
        "    get_ipython().run_cell_magic('opg', '--quiet', 'Question A')\n"
        "task = asyncio.get_running_loop().create_task(later())"
    )
    listed = "await task\nimport opg_magic\nprint(sorted(opg_magic.receipts()['prompt'].tail(2)))"
    client = notebook(*cells, callback, "%%opg --quiet\nQuestion B", listed)
    for cell, source in zip(client.nb.cells[1:], [*cells, callback], strict=False):
        # As the file has it: nbformat makes no change of it.
        assert cell["source"] == source
    client.execute()
    executed = client.nb.cells[1:]
    for cell, prompt in zip(executed, cells.values(), strict=False):
        (bundle,) = cards(cell)
        body = json.loads(bundle[MIME]["request"]["body"])
        assert [message["content"] for message in body["messages"]] == [prompt]
    assert "['Question A', 'Question B']" in printed(executed[-1])
    honest = nbformat.v4.new_notebook(
        cells=[client.nb.cells[0], *executed[:4]], metadata=client.nb.metadata
    )
    honest.cells[-1].outputs = [
        output for output in honest.cells[-1].outputs if output["output_type"] != "stream"
    ]
    saved = tmp_path / "honest.ipynb"
    saved.write_bytes(b"\xef\xbb\xbf" + nbformat.writes(honest).encode())

    from opg_magic.shell.main import main

    assert main(["verify", str(saved), "--allow-simulated"]) == 0
    honest.cells[-1].source = "%%time\n%%opg d\nIs 9 prime?"
    nbformat.write(honest, saved)
    assert main(["verify", str(saved), "--allow-simulated"]) == 1


def test_a_call_beside_the_work_fills_in_its_own_cell(notebook):
    client = notebook(
        f"%%opg tee --bg\n{QUESTION}",
        "print('the kernel is free')",
        "answer = tee.wait(); print(answer.text)",
        "print((await tee) is answer)",
        "%%opg nobody --bg --max-cost 0.0001\nToo dear?",
        "nobody.wait()",
        allow_errors=True,
    )
    client.execute()
    asked, free, waited, awaited, dear, refused = client.nb.cells[1:]
    (bundle,) = cards(asked)
    assert bundle[MIME]["response"]["text"] == printed(waited).rstrip("\n")
    assert bundle[MIME]["notebook"]["cell"] == asked["execution_count"]
    assert printed(free) == "the kernel is free\n"
    assert printed(awaited) == "True\n"
    assert "No answer" in "".join(o.get("data", {}).get("text/plain", "") for o in dear["outputs"])
    (error,) = refused["outputs"]
    assert error["ename"] == "LimitExceeded"


def test_run_all_again_costs_nothing_and_says_so(notebook, tmp_path, monkeypatch):
    monkeypatch.delenv("OPG_ON_REPEAT")
    monkeypatch.setenv("JPY_SESSION_NAME", "again.ipynb")
    sources = ("%%opg a\nSay it once more", "%%opg b --temperature 0.9\nSay it once more")
    first = notebook(*sources)
    first.execute()
    again = notebook(
        *sources,
        "%%opg c --fresh\nSay it once more",
        "import opg_magic as o; print(o.ask('Say it once more').receipt.id == c.receipt.id)",
        "print(a.repeated, b.repeated, c.repeated)",
    )
    again.execute()
    then, now, paid = (
        cards(cell)[0] for cell in (first.nb.cells[1], again.nb.cells[1], again.nb.cells[3])
    )
    assert now[MIME]["id"] == then[MIME]["id"] != paid[MIME]["id"]
    assert "Out of the author's ledger" in now["text/plain"]
    assert "Out of the author's ledger" not in then["text/plain"] + paid["text/plain"]
    sampled = [cards(run.nb.cells[2])[0][MIME]["id"] for run in (first, again)]
    assert sampled[0] != sampled[1]
    assert printed(again.nb.cells[4]) == "True\n"
    assert printed(again.nb.cells[5]) == "True False False\n"

    from opg_magic.shell.main import main

    del again.nb.cells[3]  # the same question under other words is not what this is about
    saved = tmp_path / "again.ipynb"
    nbformat.write(again.nb, saved)
    assert main(["verify", str(saved), "--allow-simulated"]) == 0
