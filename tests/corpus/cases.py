"""All cases of the corpus."""

from __future__ import annotations

from collections.abc import Iterator

from corpus import (
    cases_attestations,
    cases_chains_and_hosts,
    cases_edits,
    cases_exchanges,
    cases_recorded,
    cases_sealed,
    cases_signatures,
    cases_weights,
)
from corpus.build import Case


def all_cases() -> Iterator[Case]:
    """Every case; names are unique."""
    for part in (
        cases_exchanges.good,
        cases_exchanges.answers,
        cases_exchanges.requests,
        cases_signatures.signatures,
        cases_signatures.times,
        cases_attestations.attestations,
        cases_chains_and_hosts.hosts,
        cases_chains_and_hosts.money,
        cases_edits.edits,
        cases_edits.unreadable,
        cases_recorded.recorded,
        cases_sealed.sealed,
        cases_weights.weights,
    ):
        yield from part()
