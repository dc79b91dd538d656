"""Genuine attestation documents, where the recordings are at hand: the paths that AWS itself
issues."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from corpus.build import ANNA, Case, F, U, case
from support.signing import evidence, stream

from opg_magic.models import AttestationEvidence, Trust
from opg_magic.verify.examination import examine

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "nitro"


def recorded() -> Iterator[Case]:
    """Documents under AWS' own root: they bind other keys than the receipt's, or were made in debug
    mode."""
    if not VECTORS.is_dir():
        return
    genuine = base64.b64decode((VECTORS / "opengradient_2026-02-12.bin").read_bytes())
    debug = (VECTORS / "debug_mode_2022.bin").read_bytes()
    for name, raw, bare in (("genuine", genuine, U), ("debug mode", debug, F)):
        document = examine(raw).document
        assert document is not None
        times = {
            "sent_at": document.timestamp + timedelta(seconds=5),
            "received_at": document.timestamp + timedelta(seconds=9),
        }
        raw_answer = stream(ANNA, timestamp=int(times["received_at"].timestamp()))
        offered = AttestationEvidence(raw, document.nonce, document.timestamp)
        yield case(
            f"attack_18 a {name} document of another host",
            F,
            evidence(raw_answer, attestation=offered, **times),
            Trust(),
        )
        nobody = {"signing_key": None, "host": None, "registry": None, "channel": None}
        yield case(
            f"a {name} document and no key",
            bare,
            evidence(raw_answer, attestation=offered, **times, **nobody),
            Trust(),
        )
