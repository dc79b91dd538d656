"""What a host says about itself at ``/health``."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from opg_magic.errors import MalformedMessage
from opg_magic.models import strict_json
from opg_magic.network.exchange import ExchangeState, server_date

#: What a token's price in USD may be: figures beyond would only make sums that nobody can read.
MIN_PRICE, MAX_PRICE = 1e-9, 1e9


@dataclass(frozen=True, slots=True)
class Health:
    """What a host says about itself: the price of one OPG in USD (None if it names none), its
    version and its clock.  None of it is verified.

    ``status`` is the HTTP status.  502 comes from the TLS front when the gateway behind it is down.
    """

    status: int | None
    ok: bool
    price_usd: Decimal | None
    version: str | None
    server_date: datetime | None
    fetched_at: datetime


def read_health(state: ExchangeState, body: bytes) -> Health:
    """Return what an answer of ``/health`` says.  A price is kept only if it is a number within
    :data:`MIN_PRICE` and :data:`MAX_PRICE`."""
    price: Decimal | None = None
    version: str | None = None
    ok = False
    if state.status == 200:
        with contextlib.suppress(MalformedMessage):
            report = strict_json.loads(body)
            if isinstance(report, dict):
                ok = report.get("status") == "OK"
                feed = report.get("price_feed")
                quoted = feed.get("price_usd") if isinstance(feed, dict) else None
                if (
                    isinstance(quoted, int | float)
                    and quoted is not True
                    and MIN_PRICE <= quoted < MAX_PRICE
                ):
                    price = Decimal(str(quoted))
                named = report.get("version")
                version = named[:40] if isinstance(named, str) else None
    return Health(state.status, ok, price, version, server_date(state.headers), datetime.now(UTC))
