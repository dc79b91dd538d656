"""The tables of claims, statuses, bases and verdicts for the browser, written from those of
``opg_magic.models``, and the list of the browser's checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

_HEAD = "/** Written by scripts/vocabulary.py from opg_magic/models/claims.py: do not edit. */"


def table() -> str:
    """labextension/src/base/claims.ts: names, types and words."""
    from opg_magic.models import BASES, CLAIM_NAMES, STATUSES, Status, VerdictStatus
    from opg_magic.models.claims import required_by

    names = "\n".join(f"  {_text(name)}," for name in CLAIM_NAMES).rstrip(",")
    default, audit = (_names(CLAIM_NAMES, required_by(policy)) for policy in ("default", "audit"))
    parts = [
        _HEAD,
        f"export const CLAIM_NAMES = [\n{names}\n] as const;",
        "export type ClaimName = (typeof CLAIM_NAMES)[number];",
        _union("How one claim came out.", "Status", Status),
        _union("What the reader relies on for one claim, best first.", "Basis", BASES),
        _union(
            "The verdict's word. Simulated is a flag beside it, never a status.",
            "VerdictStatus",
            VerdictStatus,
        ),
        f"/** What each policy requires, the stricter one all. */\n"
        f"export const REQUIRED: Readonly<Record<'default' | 'audit', readonly ClaimName[]>> = {{\n"
        f"  default: {default},\n  audit: {audit}\n}};",
        _record("STATUS_MARKS", "Status", {one: words.mark for one, words in STATUSES.items()}),
        _record("STATUS_WORDS", "Status", {one: words.word for one, words in STATUSES.items()}),
        "/** A basis beside a claim, and what that means. */\n"
        + _record(
            "BASIS_WORDS",
            "Basis",
            {one: [words.short, words.meaning] for one, words in BASES.items()},
            "readonly [string, string]",
        ),
    ]
    return "\n\n".join(parts) + "\n"


def checks() -> str:
    """labextension/src/verify/checks.ts: the check of each claim, from the module of its name."""
    from opg_magic.models import CLAIM_NAMES

    imports = [f"import {{ check as {name} }} from './{name}';" for name in sorted(CLAIM_NAMES)]
    rows = ",\n".join(f"  {name}" for name in CLAIM_NAMES)
    return "\n".join(
        [
            _HEAD,
            "",
            *imports,
            "import { Claim, Evidence } from './shared';",
            "import { ClaimName } from '../base/claims';",
            "import { Trust } from './trust';",
            "",
            "export type Check = (evidence: Evidence, trust: Trust) => Claim | Promise<Claim>;",
            "",
            f"export const CHECKS: Readonly<Record<ClaimName, Check>> = {{\n{rows}\n}};",
            "",
        ]
    )


def _text(text: str) -> str:
    quote = '"' if "'" in text else "'"
    return quote + json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"') + quote


def _names(order: Iterable[str], wanted: frozenset[str]) -> str:
    return f"[{', '.join(_text(name) for name in order if name in wanted)}]"


def _union(about: str, name: str, values: Iterable[str]) -> str:
    return f"/** {about} */\nexport type {name} = {' | '.join(_text(str(v)) for v in values)};"


def _record(name: str, key: str, rows: Mapping[str, str | list[str]], value: str = "string") -> str:
    lines = ",\n".join(
        f"  {one if one.isidentifier() else _text(one)}: "
        + (_text(said) if isinstance(said, str) else _list(said))
        for one, said in rows.items()
    )
    return f"export const {name}: Readonly<Record<{key}, {value}>> = {{\n{lines}\n}};"


def _list(said: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, said))}]"
