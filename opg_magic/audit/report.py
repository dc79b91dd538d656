"""What came out of checking a file: findings, verdicts, and both of them as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from opg_magic.audit.conclusion import conclusion
from opg_magic.audit.details import checked_json, checked_text, not_known
from opg_magic.audit.findings import Checked, Finding, Level
from opg_magic.audit.summary import Summary, failures, finding_text, grouped, summarise
from opg_magic.models import BASES, CLAIM_NAMES, Basis, Verdict, VerdictStatus, plain_text
from opg_magic.receipt.face.third import NOT_KNOWN, NOT_KNOWN_RE_RUN

#: What neither the host's signature nor the attestation covers, in any receipt.
RECORDED = (
    "created_at",
    "software",
    "network",
    "notebook",
    "prompt.source_sha256",
    "request.model_requested",
    "response.model",
    "response.usage",
    "response.finish_reason",
    "sent_at",
    "received_at",
    "payment",
    "checked",
)

#: What no check is about, and only the receipt's author says.
_UNSIGNED = "times, notebook, cell"

_MORE = (
    "Every check of every receipt: --verbose, or of one: --receipt ID. As a table: --csv. As data: "
    "--json."
)


@dataclass(frozen=True)
class Report:
    """What came out of checking one file."""

    path: str
    policy: str
    checked: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    #: Cells or lines that hold no receipt are of no concern when one receipt was asked for.
    only: str | None = None
    #: Whether the reader accepts simulated receipts of this installation.
    allow_simulated: bool = False

    def _has(self, level: Level) -> bool:
        return any(f.level == level for f in self.findings)

    @property
    def exit_code(self) -> int:
        """0 all VERIFIED (or accepted as simulated), 1 something fails that was not recorded so,
        2 unreadable, 3 not enough to say, 5 good but for calls that failed when they were made and
        whose receipts say so."""
        if self._has("failed") or any(c.failed and not c.failed_when_made for c in self.checked):
            return 1
        if self._has("unreadable"):
            return 2
        others = [c for c in self.checked if not c.failed]
        if not self.checked or self._has("incomplete") or not all(c.accepted for c in others):
            return 3
        return 0 if len(others) == len(self.checked) else 5

    @cached_property
    def summary(self) -> Summary:
        """What the receipts come to together."""
        return summarise(self.checked, self.findings)

    @property
    def simulated(self) -> bool:
        return any(c.verdict.simulated for c in self.checked)

    @property
    def label(self) -> str:
        """One word for the whole file: the worst that applies; never VERIFIED if anything in it is
        simulated."""
        code = self.exit_code
        if code == 2:
            return "UNREADABLE"
        if not self.checked:
            return "FAILED" if code == 1 else "NO RECEIPT"
        if code == 5:
            return "SIMULATED · FAILED WHEN MADE" if self.simulated else "FAILED WHEN MADE"
        outcomes = [c.verdict.outcome for c in self.checked if not c.failed]
        status = VerdictStatus.FAILED
        if code != 1 and outcomes:
            status = max(outcomes, key=list(VerdictStatus).index)
        if code == 3 and status is VerdictStatus.VERIFIED and self._has("incomplete"):
            status = VerdictStatus.PARTIAL
        return Verdict(status, self.simulated, {}, self.policy).label

    @property
    def recorded_claims(self) -> tuple[str, ...]:
        """Names of the claims that, in some receipt, rest on its author's word alone."""
        names = {
            c.name
            for one in self.checked
            for c in one.verdict.claims.values()
            if c.basis is Basis.RECORDED
        }
        return tuple(name for name in CLAIM_NAMES if name in names)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON data (one object)."""
        return {
            "path": self.path,
            "verdict": self.label,
            "simulated": self.simulated,
            "exit_code": self.exit_code,
            "policy": self.policy,
            "summary": self.summary.to_json(),
            "receipts": [checked_json(c) for c in self.checked],
            "findings": [
                {
                    "level": f.level,
                    "code": f.code,
                    "message": f.message,
                    "where": f.where,
                    "receipt": f.receipt_id,
                }
                for f in self.findings
            ],
            "recorded": list(RECORDED),
            "recorded_claims": list(self.recorded_claims),
        }

    def to_csv(self) -> str:
        """One row per receipt: see :func:`opg_magic.audit.rows.csv_text`."""
        from opg_magic.audit.rows import csv_text

        return csv_text(self.checked, self.findings)

    def to_text(self, *, verbose: bool = True) -> str:
        """The report for a person.  Of one receipt, and with ``verbose``, every claim in words with
        what it rests on, and every finding; of several else a summary, and findings by kind."""
        count = len(self.checked)
        told = f"{count} receipt{'' if count == 1 else 's'}, policy {self.policy}"
        summary = self.summary
        if count > 1:
            told += (
                f"; {len(summary.failed_when_made)} failed when made, {len(summary.altered)} "
                "altered"
            )
        lines = [f"{self.path}: {self.label} ({told})", *self._conclusion()]
        brief = count > 1 and not verbose
        # What is wrong comes before what is well: nobody reads on to look for it.
        if brief:
            lines += self._in_brief()
        elif self.findings:
            lines += ["", *map(finding_text, self.findings)]
        if count > 1:
            lines += ["", *summary.lines()]
        if not brief:
            for one in self.checked:
                lines += ["", *checked_text(one)]
        if self.checked:
            lines += ["", self._author_s_word()]
        if brief:
            said = {not_known(one.verdict.claims.values()) for one in self.checked}
            lines += [NOT_KNOWN if NOT_KNOWN in said else NOT_KNOWN_RE_RUN]
        if brief:
            lines += ["", _MORE]
        return "\n".join(_one_line(line) for line in lines)

    def _conclusion(self) -> Iterator[str]:
        return conclusion(
            self.exit_code,
            self.checked,
            self.findings,
            self.policy,
            allow_simulated=self.allow_simulated,
        )

    def _author_s_word(self) -> str:
        asked = f"not asked here: {', '.join(self.recorded_claims)}; " * bool(self.recorded_claims)
        return f"{BASES[Basis.RECORDED].heading}, {asked}not signed: {_UNSIGNED}."

    def _in_brief(self) -> Iterator[str]:
        """What is wrong, by kind, and what was accepted."""
        found = [*failures(self.checked), *grouped(self.findings)]
        if found:
            yield ""
            yield from found
        simulated = [c for c in self.checked if c.accepted and c.verdict.simulated]
        if simulated:
            excused = sorted({name for c in simulated for name in c.excused}, key=CLAIM_NAMES.index)
            yield ""
            yield (
                f"{len(simulated)} accepted as simulated, under this installation's own root. No "
                "hardware is behind them, and no money moved."
            )
            if excused:
                yield (
                    "Excused, as the author's word alone (a simulated chain does not outlive its "
                    f"run): {', '.join(excused)}."
                )


def _one_line(text: str) -> str:
    return plain_text.inert(text).replace("\n", " ").replace("\t", " ")
