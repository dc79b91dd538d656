"""Receipts: what was asked, answered, paid and checked, kept so that anyone can judge it again.

``opg_magic.receipts`` is this package and, called, the ledger as a table: ``opg_magic.receipts(verdict="FAILED")``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class _CallablePackage(ModuleType):
    """Importing a submodule binds the package's name in ``opg_magic``: so the package itself answers the call."""

    def __call__(self, **filters: Any) -> pd.DataFrame:
        """The user's ledger as a DataFrame; filters as in :func:`opg_magic.receipts.frames.receipts`."""
        from opg_magic.receipts.frames import receipts
        from opg_magic.receipts.ledger import Ledger

        with Ledger() as ledger:
            return receipts(ledger, **filters)


sys.modules[__name__].__class__ = _CallablePackage
