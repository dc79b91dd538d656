"""What the browser knows of the program's own tables, as TypeScript.

- ``face/says.ts``: the words of the card; ``face/tag.ts``: its tag;
- ``audit/audit-columns.ts``: the columns of a table for an audit;
- ``audit/table-form.ts``: the form of a table's receipts in a notebook, and its bounds;
- ``audit/finding-words.ts``: what is said of a cell and its receipt;
- ``receipt/implied-words.ts``: the words of errors and questions that receipts imply;
- ``cells/vocabulary.ts``: the words of ``%%opg`` and ``%opg``, completed without a kernel;
- ``base/claims.ts``, ``verify/checks.ts``: claims, statuses, bases, and the check of each claim;
- ``receipt/receipt-types.ts``: the types of a receipt's document.

``python scripts/vocabulary.py`` writes these files; a test holds that they are up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import claim_tables
import receipt_types

EXTENSION = Path(__file__).resolve().parents[1] / "labextension" / "src"

#: Flags whose values are listed elsewhere than in their own choices.
SOURCES = {"--model": "model", "--host": "host", "--network": "network"}


def files() -> dict[Path, str]:
    """Every file that is written, with its text."""
    from opg_magic.receipt.form import schema

    texts = {
        "cells/vocabulary.ts": source(),
        "face/says.ts": says(),
        "face/tag.ts": tag(),
        "audit/audit-columns.ts": audit_columns(),
        "audit/table-form.ts": table_form(),
        "audit/finding-words.ts": finding_words(),
        "receipt/implied-words.ts": implied_words(),
        "base/claims.ts": claim_tables.table(),
        "verify/checks.ts": claim_tables.checks(),
        "receipt/receipt-types.ts": receipt_types.source(schema()),
    }
    return {EXTENSION / name: text for name, text in texts.items()}


def source() -> str:
    """vocabulary.ts: flags, commands, settings, networks and models."""
    from opg_magic.cells import magic_line
    from opg_magic.notebook import completion, magic
    from opg_magic.settings import catalogue, prices

    flags = [
        {
            "flag": option.flag,
            "help": option.help,
            "value": option.metavar,
            "form": option.form,
            "choices": list(option.choices),
            "former": list(option.former),
            "repeat": option.repeat,
            "free": option.free,
            "short": option.short,
            "source": SOURCES.get(option.flag),
        }
        for option in magic_line.OPTIONS
    ]
    commands = [{"name": name, "help": command.help} for name, command in magic.COMMANDS.items()]
    settings = [{"name": option.key, "help": option.help} for option in catalogue.SETTINGS]
    parts = [
        "/** Written by scripts/vocabulary.py from the tables of the magics: do not edit. */",
        FLAG,
        NAMED,
        _flags(flags),
        _constant("COMMANDS", "readonly INamed[]", commands),
        _constant("SETTINGS", "readonly INamed[]", settings),
        _constant("NETWORKS", "readonly string[]", completion.networks()),
        _constant("MODELS", "readonly string[]", list(prices.load().models)),
    ]
    return "\n\n".join(parts) + "\n"


def says() -> str:
    """says.ts: the words of the card, which its two judges and the page have in common."""
    from opg_magic.receipt.face import third
    from opg_magic.receipt.hop import SENTENCE as HOP
    from opg_magic.receipt.hop import UNKNOWN

    named = {
        "SAYS": ("What each check says where it passed.", third.SAYS),
        "SAYS_SIMULATED": (
            "The same of the attestation of a simulated network.",
            third.SAYS_SIMULATED,
        ),
        "SAYS_SEALED": ("The same of the channel on the private route.", third.SAYS_SEALED),
        "HEADINGS": ("What a check rests on; `{}` is whose kernel asked.", third.HEADINGS),
        "UNMET": ("Checks that did not pass, by their status.", third.UNMET),
        "OPEN": ("Those that can still come.", third.OPEN),
        "HOSTS": ("Several hosts, a line each.", third.HOSTS),
        "NOT_KNOWN": ("What no check says.", third.NOT_KNOWN),
        "NOT_KNOWN_RE_RUN": (
            "The same where the weights were run again, and gave the answer.",
            third.NOT_KNOWN_RE_RUN,
        ),
        "HOP": ("What is known of the hop behind the enclave.", HOP.format(UNKNOWN)),
    }
    return _words(named)


def tag() -> str:
    """tag.ts: the words of a simulated network, apart from the others: every page has them."""
    from opg_magic.receipt.face import third

    brief = "The same where there is little room."
    return _words(
        {
            "SIMULATED": ("The tag of a simulated network.", third.SIMULATED),
            "SIMULATED_BRIEF": (brief, third.SIMULATED_BRIEF),
        }
    )


def _words(
    named: dict[str, tuple[str, Any]], where: str = "opg_magic/receipt/face/third.py and hop.py"
) -> str:
    parts = [
        f"/** {meaning} */\nexport const {name}"
        + (": Readonly<Record<string, string>>" if isinstance(value, dict) else "")
        + f" = {json.dumps(value, ensure_ascii=False, indent=2)}"
        + (" as const;" if isinstance(value, tuple) else ";")
        for name, (meaning, value) in named.items()
    ]
    head = f"/** Written by scripts/vocabulary.py from {where}: do not edit. */"
    return "\n\n".join([head, *parts]) + "\n"


def audit_columns() -> str:
    """audit-columns.ts: their names, in order."""
    from opg_magic.ledger.columns import AUDIT_COLUMNS

    names = json.dumps([*AUDIT_COLUMNS], indent=2)
    return (
        "/** Written by scripts/vocabulary.py from opg_magic/ledger/columns.py: do not edit. */\n\n"
        f"export const AUDIT_COLUMNS: readonly string[] = {names};\n"
    )


def table_form() -> str:
    """table-form.ts: what a table's receipts look like packed, and how much of them is read."""
    from opg_magic.receipt import table
    from opg_magic.receipt.face.table import FOUND

    named = {
        "MOST_PACKED": ("Characters that are read as they stand there.", table.MOST_PACKED),
        "MOST_UNPACKED": ("Bytes that are unpacked.", table.MOST_UNPACKED),
        "MOST_WHOLE": ("Bytes of all receipts together.", table.MOST_WHOLE),
        "MOST": ("How many receipts are read.", table.MOST),
        "MOST_NAMED": ("So many digests are as long as receipts may be.", table.MOST_NAMED),
        "SHARED": ("Where a receipt's document holds what many rows share.", table.SHARED),
        "FIGURES": ("The form of the author's line.", table.FIGURES.pattern),
        "FOUND": ("What the author's kernel found, as it is counted.", FOUND),
    }
    return _words(named, "opg_magic/receipt/table.py and face/table.py")


def finding_words() -> str:
    """finding-words.ts: what both judges say of a cell and its receipt."""
    from opg_magic.audit import words

    said = {
        "PROMPT_DIFFERS": "`prompt-differs`",
        "CELL_CHANGED": "`cell-changed`",
        "NOT_THE_CALL": "`not-the-call`",
        "TWICE_IN_TABLE": "`twice`, of a table's receipts",
    }
    named = {name: (f"{code}.", getattr(words, name)) for name, code in said.items()}
    return _words(named, "opg_magic/audit/words.py")


def implied_words() -> str:
    """implied-words.ts: what a cell shows beside its receipts, where these imply it."""
    from opg_magic.audit import implied
    from opg_magic.models import plain_text
    from opg_magic.receipt import calls
    from opg_magic.shapes import misfit, reading
    from opg_magic.shapes.shape import FROM_LEDGER

    def ranges(pairs: tuple[tuple[int, int], ...]) -> str:
        return "[" + "".join(f"\\u{{{first:x}}}-\\u{{{last:x}}}" for first, last in pairs) + "]"

    named: dict[str, tuple[str, Any]] = {
        "UNSEEN": ("Characters that are drawn as nothing, or as space.", ranges(plain_text.UNSEEN)),
        "LEFTWARD": ("Letters that run from right to left.", ranges(plain_text.LEFTWARD)),
    }
    for module, about, names in (
        (calls, "Of a tool's call.", "ASKS_FOR YES_OR_NO NOT_RUN MOST_SHOWN MOST_UNRUN "
         "NOT_CONFIRMED NOBODY UNASKED TOO_LONG STILL_ASKS"),
        (misfit, "Of JSON that does not fit.", "DOES_NOT_FIT IN_WORDS MOST_FAULTS LONGEST "
         "MOST_STEPS DEEPEST NAMES MISSING EXTRA FORBIDDEN NO_VALUE NO_FORM BOUNDS NO_TOOL "
         "NOT_JSON DO_NOT_FIT BY_TYPE"),
        (reading, "Of an answer that is not the JSON asked for.", "EMPTY CUT NO_JSON"),
        (implied, "What is said of a cell.", "BESIDE OTHER_QUESTION OTHER_ANSWER OTHER_ERROR "
         "WORDS_NOT_COMPARED TOOLS MOST_WORDS"),
    ):  # fmt: skip
        named |= {name: (about, getattr(module, name)) for name in names.split()}
    named["FROM_LEDGER"] = ("Of an answer that was not paid for anew.", FROM_LEDGER)
    where = "opg_magic/receipt/calls.py, shapes/misfit.py and audit/implied.py"
    return _words(named, where)


FLAG = """/**
 * One flag of `%%opg`. `value`: what its value is called, null if it takes none; `form`: what one
 * looks like; `former`: choices that older versions had; `free`: text in which braces mean nothing;
 * `short`: another way to write the flag;
 * `source`: which list its values are in.
 */
export interface IFlag {
  readonly flag: string;
  readonly help: string;
  readonly value: string | null;
  readonly form: 'text' | 'number' | 'count' | 'amount' | 'name' | 'list';
  readonly choices: readonly string[];
  readonly former: readonly string[];
  readonly repeat: boolean;
  readonly free: boolean;
  readonly short: string | null;
  readonly source: 'model' | 'host' | 'network' | null;
}"""

NAMED = """/** A command of `%opg`, or a setting. */
export interface INamed {
  readonly name: string;
  readonly help: string;
}"""


#: What most flags are; each row says only where it differs, as every page loads these rows.
PLAIN: dict[str, Any] = {
    "value": None,
    "form": "text",
    "choices": [],
    "former": [],
    "repeat": False,
    "free": False,
    "short": None,
    "source": None,
}


def _flags(rows: list[dict[str, Any]]) -> str:
    brief = [
        {key: value for key, value in row.items() if key not in PLAIN or PLAIN[key] != value}
        for row in rows
    ]
    plain = f"const PLAIN = {json.dumps(PLAIN)} as const;"
    kind = "readonly (Pick<IFlag, 'flag' | 'help'> & Partial<IFlag>)[]"
    whole = "export const FLAGS: readonly IFlag[] = ROWS.map(row => ({ ...PLAIN, ...row }));"
    said = _constant("ROWS", kind, brief).removeprefix("export ")
    return "\n\n".join([plain, said, whole])


def _constant(name: str, kind: str, rows: list[Any]) -> str:
    lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f"export const {name}: {kind} = [\n{lines}\n];"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
