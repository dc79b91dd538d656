"""How many words of ours a newcomer has to learn before the first answer: eight at most."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Each concept of this project, by the words that stand for it.
CONCEPTS = {
    name: re.compile(words, re.IGNORECASE)
    for name, words in {
        "the cell magic": r"%%opg",
        "the line magic": r"(?<!%)%opg",
        "host": r"\bhosts?\b",
        "the network": r"OpenGradient",
        "simulated": r"\bsimulated\b",
        "check": r"\bchecks?\b",
        "claim": r"\bclaims?\b",
        "basis": r"\bbas(?:is|es)\b|\bproven\b|\basked live\b|author's word",
        "verdict": r"\bverdicts?\b|(?-i:\bVERIFIED\b|\bPARTIAL\b|\bFAILED\b)",
        "receipt": r"\breceipts?\b",
        "withheld": r"\bwithheld\b",
        "ledger": r"\bledger\b",
        "registry": r"\bregistry\b",
        "enclave": r"\benclaves?\b|\bNitro\b|\bTEE\b",
        "attestation": r"\battest\w*",
        "certificate": r"\bcertificates?\b|\bTLS\b",
        "signature": r"\bsignatures?\b|\bsigning key\b|\bkeys\b",
        "gateway": r"\bgateways?\b",
        "chain": r"\bchains?\b|\bon-chain\b|\bblock\b|\bcontracts?\b",
        "RPC": r"\bRPCs?\b",
        "wallet": r"\bwallets?\b",
        "token": r"\b(?-i:OPG)\b|\btokens\b|\bbase units?\b",
        "authorisation": r"\bauthoris\w+|\bcaps?\b|\breserv\w+",
        "facilitator": r"\bfacilitators?\b",
        "payment protocol": r"\bx402\b|\bPermit2\b",
        "settlement": r"\bsettle\w*|\bbatch\w*|\bMerkle\b",
        "policy": r"\bpolic(?:y|ies)\b",
        "pin": r"\bpin(?:s|ned)?\b|\bPCRs?\b",
        "nonce": r"\bnonces?\b",
        "scripted model": r"\bscripted model\b",
    }.items()
}
MOST = 8


def _before_the_first_answer(name: str) -> str:
    """What one reads before the first ``%%opg`` runs: in the notebook, up to that cell; in the
    README, up to the commands, without the words that stand for a picture."""
    if name.endswith(".ipynb"):
        cells = json.loads((ROOT / "examples" / name).read_text("utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells]
        first = next(
            i
            for i, (cell, source) in enumerate(zip(cells, sources, strict=True))
            if cell["cell_type"] == "code" and source.startswith("%%opg")
        )
        return "\n".join(sources[:first])
    text = (ROOT / name).read_text("utf-8").partition("\n```\n")[0]
    return re.sub(r"!\[[^\]]*\]\([^)]*\)|\]\([^)]*\)", "", text)


def _met(text: str) -> list[str]:
    return [name for name, words in CONCEPTS.items() if words.search(text)]


@pytest.mark.parametrize("name", ["README.md", "quickstart.ipynb"])
def test_a_newcomer_meets_eight_concepts_at_most_before_the_first_answer(name: str) -> None:
    met = _met(_before_the_first_answer(name))
    assert {"the cell magic", "host", "receipt", "simulated"} <= set(met), "nothing is taught"
    assert len(met) <= MOST, met


def test_the_counting_sees_a_page_that_is_too_dense() -> None:
    dense = "its AWS Nitro attestation, its registry entry, its TLS certificate; x402 and Permit2"
    assert _met(dense) == [
        "registry", "enclave", "attestation", "certificate", "payment protocol",
    ]  # fmt: skip
