"""A notebook's cell: whether it is a ``%%opg`` call, and whether it is the one that a receipt
answers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from opg_magic.audit import words
from opg_magic.audit.findings import Level
from opg_magic.cells import context, grammar, magic_line
from opg_magic.cells.magic_line import Line, LineError, Named
from opg_magic.receipt.build import source_sha256
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.question import Asked, asked
from opg_magic.shapes.reader import OnLine, agrees, on_line

#: ``call``: a ``%%opg`` call to the letter, which is paid; ``free``: one that pays nothing (a dry
#: run, its help, no prompt); ``unclear``: a ``%%opg`` cell whose line no kernel would take;
#: ``other``: all else.
Kind = Literal["call", "free", "unclear", "other"]
_SHOW = re.compile(r"%opg show (last|[0-9A-Za-z]{4,10})")
#: (level, code, words)
Fault = tuple[Level, str, str]


def joined(value: Any) -> str | None:
    """Text as notebooks hold it: a string, or a list of lines; None of what is neither."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "".join(value)
    return value if isinstance(value, str) else None


# --------------------------------------------------------------------------------------- what it is


@dataclass(frozen=True, slots=True)
class Source:
    """A cell as it reads.  ``head`` is None for ``other``; ``line`` is None for ``other`` and
    ``unclear``."""

    kind: Kind
    head: grammar.Head | None = None
    line: Line | None = None


@lru_cache(maxsize=64)
def read_source(source: str) -> Source:
    """What a cell is, by its text alone."""
    head = grammar.head(source)
    if head is None:
        return Source("other")
    try:
        line = magic_line.read(head.line)
    except LineError:
        return Source("unclear", head)
    free = line.get("dry_run") or line.get("help") or grammar.is_blank(head.body)
    return Source("free" if free else "call", head, line)


def asks(source: str) -> bool:
    """Whether a cell is a ``%%opg`` call to the letter, which is paid: not its help, and not a dry
    run."""
    return read_source(source).kind == "call"


def wants_receipt(source: str) -> bool:
    """Whether a cell begins with ``%%opg``, also with a line that no kernel takes, and is neither
    dry run nor help."""
    cell = read_source(source)
    return cell.head is not None and not (
        cell.line and (cell.line.get("dry_run") or cell.line.get("help"))
    )


def lacks_receipt(source: str, *, run: bool, shows: bool) -> str | None:
    """What is to be said of a cell that bears no receipt.  ``run``: it was run; ``shows``: it has
    output."""
    if wants_receipt(source):
        return "This %%opg cell has no receipt" + ("." if run else ": it was not run.")
    if shows and read_source(source).head is None:
        if grammar.reads_like_a_call(source):
            return (
                "This cell looks like a %%opg call but is not one, and shows output without a "
                "receipt."
            )
        if _SHOW.fullmatch(grammar.normal(source)):
            return "This cell shows output without a receipt, and says that it shows one."
    return None


# -------------------------------------------------------------------------------- against a receipt


def cell_faults(source: str, receipt: Receipt, *, row: bool = False) -> list[Fault]:
    """What sets this cell apart from the call that the receipt answers; nothing if it is that call
    to the letter.  ``row``: the receipt is one of those of a table.

    If the cell is not a call, all that can be said is that it was not compared: that is said,
    whatever it holds."""
    cell = read_source(source)
    request = receipt.document["request"]
    found = asked(request["kind"], request["body"], request["canonicaliser"])
    if cell.head is not None and found is not None:
        parts = _parts(cell.head.body, cell.line, row=row)
        if found.prompt is None or not grammar.follows(parts, found.prompt):
            return [("failed", "prompt-differs", words.PROMPT_DIFFERS)]
    if (
        cell.kind != "call"
        or cell.head is None
        or cell.line is None
        or found is None
        or row != (cell.line.get("over") is not None)
    ):
        return [("incomplete", "not-the-call", words.NOT_THE_CALL)]
    return [*_faults_of_call(cell.head, cell.line, source, found, receipt)]


def _parts(body: str, line: Line | None, *, row: bool) -> list[str]:
    """What of a signed prompt stands in the cell, in order; between two parts, and around those
    that ``--template`` fills in, may stand anything.  A table's cells are filled in for ``row``."""
    whole = grammar.normal(body)
    if line is None:
        return [whole]
    parts = grammar.cut(whole)[0] if line.get("vars") or row else [whole]
    files = [context.heading(path) for path in line.get("file", ())]
    if line.get("template") is not None:
        parts = ["", *parts]
    return [*parts, *files, ""] if files or line.get("template") is not None else parts


def shows_again(source: str, id: str, names: Collection[str | None]) -> bool:
    """Whether a cell does no more than show an answer again: by ``%opg show``, or by the name that
    its call gave it."""
    text = grammar.normal(source)
    shown = _SHOW.fullmatch(text)
    return (
        text in names or text == "_"
        if shown is None
        else shown[1] == "last" or id.startswith(shown[1].upper())
    )


def _faults_of_call(
    head: grammar.Head, line: Line, source: str, found: Asked, receipt: Receipt
) -> Iterator[Fault]:
    wanted = line.get("model")
    differs = False
    # Of the request, which is signed; what the receipt says of it beside is its author's word.
    if isinstance(wanted, str) and (found.model is None or _bare(wanted) != _bare(found.model)):
        yield (
            "failed",
            "model-differs",
            f"The cell asks for {wanted}; {found.model or 'no model'} was asked.",
        )
        differs = True
    more = list(_not_in_the_cell(line, found, receipt.document.get("thread")))
    if more:
        message = (
            f"The request that was signed is not what the cell asks: it has {', '.join(more)}."
        )
        yield "failed", "request-differs", message
        differs = True
    hosts = _other_hosts(line, receipt)
    if hosts is not None:
        yield hosts
        differs = True
    if (route := _other_route(line, receipt)) is not None:
        yield route
        differs = True
    was = receipt.document["prompt"]
    recorded = was["source_sha256"]
    wrapped = line.get("template") is not None or "file" in line.given
    sent = None if wrapped else was["template"] or found.prompt
    if not differs and recorded is not None and recorded not in _hashes(source, head, sent):
        yield "incomplete", "cell-changed", words.CELL_CHANGED
    over = line.get("over")
    names = [] if over is None else [f"table {over}"]
    if line.get("vars") or over is not None:
        names += [name.strip() for name in grammar.cut(head.body)[1]]
    names += [value.variable for value in line.given.values() if isinstance(value, Named)]
    if (elsewhere := _shape(line).elsewhere) is not None:
        names.append(elsewhere)
    if isinstance(line.get("template"), str):
        names.append(f"template {line.get('template')}")
    names += [f"file {context.base_name(path)}" for path in line.get("file", ())]
    if (host := line.get("host")) and _is_name(host, receipt):
        names.append(f"host {host}")
    if names:
        listed = ", ".join(dict.fromkeys(names))
        message = f"Not in the cell; from variables, files or settings: {listed}."
        yield "note", "from-variables", message


def _shape(line: Line) -> OnLine:
    return on_line(line.get("schema"), line.get("format"))


def _not_in_the_cell(line: Line, found: Asked, thread: Mapping[str, Any] | None) -> Iterator[str]:
    """What a request holds and the cell does not, or the other way round, in words."""
    if found.kind != "chat":
        yield "another form (a completion)"
    yield from _other_chat(line, thread)
    again = "chat" in line.given and thread is not None and thread["earlier"]
    system = line.get("system")
    # A chat keeps the system message that it began with.
    if not (again and system is None) and found.system != (() if system is None else (system,)):
        if system is None:
            yield (
                "a system message"
                if len(found.system) == 1
                else f"{len(found.system)} system messages"
            )
        else:
            yield "another system message" if found.system else "no system message"
    told = {"before": again, "after": thread is not None and "tools" in line.given}
    for turns, where in ((found.earlier, "before"), (found.after, "after")):
        if turns and not told[where]:
            yield f"{len(turns)} message{'' if len(turns) == 1 else 's'} {where} the prompt"
    if found.attachments:
        yield f"attachments ({', '.join(found.attachments)})"
    tools = line.get("tools")
    if isinstance(tools, Named):
        pass
    elif tools is not None:
        if found.tools != tuple(name.strip(" ") for name in tools.split(",")):
            yield "other tools"
    elif found.tools:
        yield f"tools ({', '.join(found.tools)})"
    said = line.get("temperature", "0")
    if not isinstance(said, Named) and not _is_number(found.options.get("temperature", 0), said):
        yield "another temperature"
    said, sent = line.get("max_tokens"), found.options.get("max_tokens")
    if not isinstance(said, Named) and (
        sent is not None if said is None else not _is_number(sent, said)
    ):
        yield "another max_tokens"
    stop = found.options.get("stop", [])
    if list(line.get("stop", ())) != ([stop] if isinstance(stop, str) else stop):
        yield "another stop"
    form = found.options.get("response_format")
    if not agrees(_shape(line), form):
        asks = line.get("schema") is not None or line.get("format") == "json"
        yield (
            "response_format"
            if not asks
            else ("no response_format" if form is None else "another response_format")
        )
    if "web_search" in found.options:
        yield "web_search"
    if found.not_signed:
        yield f"what nobody signed ({', '.join(found.not_signed)})"


def _other_chat(line: Line, thread: Mapping[str, Any] | None) -> Iterator[str]:
    wanted, name = line.get("chat"), None if thread is None else thread["name"]
    if not isinstance(wanted, Named) and wanted != name:
        yield "no chat" if name is None else f"chat {name}"


#: A host's ID, or the beginning of one.
_HOST_ID = re.compile(r" *(0[xX])?[0-9a-fA-F]{4,64} *")


def _is_name(host: object, receipt: Receipt) -> bool:
    """Whether a host is asked for by a name that only its simulated network knew."""
    simulated = receipt.document["network"]["simulated"]
    return simulated and isinstance(host, str) and _HOST_ID.fullmatch(host) is None


def _other_hosts(line: Line, receipt: Receipt) -> Fault | None:
    """What the line says of the hosts that were asked, and the receipt does not."""
    wanted, host = line.get("host"), receipt.document["host"]
    if isinstance(wanted, str) and host is not None and not _is_name(wanted, receipt):
        digits = wanted.strip(" ").lower().removeprefix("0x")
        if not host["tee_id"].lower().startswith("0x" + digits):
            return (
                "failed",
                "hosts-differ",
                f"The cell asks host {wanted}; host {host['tee_id']} answered.",
            )
    count, quorum, agreement = line.get("hosts"), line.get("quorum"), receipt.document["agreement"]
    # With --over the hosts share the rows: nothing is compared.
    if not isinstance(count, str) or isinstance(quorum, Named) or line.get("over") is not None:
        return None
    if agreement is None:
        if receipt.withheld:
            return None
        return (
            "incomplete",
            "hosts-differ",
            f"The cell asks {count} hosts; the receipt tells of no comparison.",
        )
    asked = int(count)
    if (agreement["asked"], agreement["quorum"]) != (
        asked,
        asked // 2 + 1 if quorum is None else int(quorum),
    ):
        return (
            "failed",
            "hosts-differ",
            "The cell asks other numbers of hosts than the receipt tells of.",
        )
    return None


def _other_route(line: Line, receipt: Receipt) -> Fault | None:
    """The route that the line asks for, where the receipt's call took the other one."""
    wanted, document = line.get("route"), receipt.document
    taken = {"private": document.get("sealed"), "direct": document["channel"]}
    if not isinstance(wanted, str) or taken[wanted] is not None or not any(taken.values()):
        return None
    other = next(name for name, part in taken.items() if part is not None)
    message = f"The cell asks for the {wanted} route; the call took the {other} one."
    return "failed", "route-differs", message


def _is_number(sent: Any, said: str) -> bool:
    return isinstance(sent, int | float) and not isinstance(sent, bool) and sent == float(said)


def _bare(model: str) -> str:
    return model.rpartition("/")[2].strip(" \t")


def _hashes(source: str, head: grammar.Head, sent: str | None) -> Iterator[str]:
    """What a call's source may have come to.

    Older versions took a call under ``%%time`` from its ``%%opg`` line on; and tools take white
    space off a cell's end, which is not compared in a prompt: it is put back from
    what was sent."""
    whole = grammar.newlines(source)
    for above in (whole[: len(whole) - len(head.body)], f"%%opg {head.line}\n"):
        yield source_sha256(above + head.body)
        if sent is not None and grammar.normal(sent) == grammar.normal(head.body):
            yield source_sha256(above + sent)
