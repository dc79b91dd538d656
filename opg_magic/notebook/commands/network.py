"""``%opg hosts``, ``models``, ``pin``, ``wallet`` and ``simnet``: who answers, and the key that
pays."""

from __future__ import annotations

from typing import Any

from opg_magic.notebook.commands.command import Kernel, no_more, table


def hosts(kernel: Kernel, words: list[str]) -> Any:
    """``%opg hosts``"""
    no_more(words, "hosts")
    from opg_magic.display.words import one_line

    # What is found comes first: an ID alone fills a projector.
    rows = [
        (
            row.name or "",
            "active" if row.active else "not active",
            row.attestation,
            one_line(row.set_aside or "", 160),
            one_line(row.reason or "", 160),
            row.host.tee_id,
            one_line(row.host.endpoint, 160),
        )
        for row in kernel.session().overview.hosts()
    ]
    return table(
        rows, ("name", "registry", "attestation", "skipped", "reason", "tee_id", "endpoint")
    )


def stop(kernel: Kernel, words: list[str]) -> None:
    """``%opg stop``"""
    no_more(words, "stop")
    from opg_magic.models.plain_text import plural

    count = kernel.session().stop_beside()
    print(f"Stopping {plural(count, 'call')}." if count else "No call runs beside your work.")


def models(kernel: Kernel, words: list[str]) -> Any:
    """``%opg models``"""
    no_more(words, "models")
    rows = [
        (
            m.name,
            *(
                (float(m.price.input_usd), float(m.price.output_usd), m.price.as_of)
                if m.price
                else (None, None, "price unknown")
            ),
        )
        for m in kernel.session().overview.models()
    ]
    return table(rows, ("model", "in_usd_per_million", "out_usd_per_million", "price_as_of"))


def pin(kernel: Kernel, words: list[str]) -> Any:
    """``%opg pin``"""
    remove = "--remove" in words
    hashes = [word for word in words if word != "--remove"]
    session = kernel.session()
    if hashes:
        for said in session.overview.pin(hashes, remove=remove):
            print(said)
        return None
    rows = [
        (row.pcr_hash, row.version or "", row.approved, row.pinned)
        for row in session.overview.builds()
    ]
    return table(rows, ("pcr_hash", "registry's version", "approved", "pinned by you"))


def wallet(kernel: Kernel, words: list[str]) -> Any:
    """``%opg wallet``"""
    no_more(words, "wallet")
    return table(
        [(key, _sum(value)) for key, value in kernel.session().wallet.info().items()],
        ("", "wallet"),
    )


def simnet(kernel: Kernel, words: list[str]) -> None:
    """``%opg simnet``"""
    from opg_magic.models.plain_text import inert

    print(inert(kernel.session().simnet(words or ["status"])).rstrip())


def _sum(value: Any) -> str:
    """A sum or a word for a table; an ERC-20 allowance of practically everything by its name."""
    return "unlimited" if getattr(value, "amount", 0) >= 2**128 else str(value)
