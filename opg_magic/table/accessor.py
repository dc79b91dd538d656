"""``df.opg.map(...)``: put on pandas' frames when pandas is there, and never the reason that it is
imported."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Maps a table: given by whoever registers, which is above this room.
Mapper = Callable[..., Any]


def register(mapper: Mapper) -> None:
    """Put ``opg`` on DataFrame and Series: now if pandas is imported, else as soon as it is."""
    if "pandas" in sys.modules:
        _put_on(mapper)
    elif not any(isinstance(one, _Waiting) for one in sys.meta_path):
        sys.meta_path.insert(0, _Waiting(mapper))


def _put_on(mapper: Mapper) -> None:
    import pandas as pd

    class Opg:
        """Verified AI calls over this table."""

        def __init__(self, data: Any) -> None:
            self._data = data

        def map(self, prompt: str, **arguments: Any) -> Any:
            """Ask ``prompt`` for each row: :func:`opg_magic.map` with this table as its data."""
            return mapper(self._data, prompt, **arguments)

    for kind in (pd.DataFrame, pd.Series):
        if not hasattr(kind, "opg"):
            register_on = (
                pd.api.extensions.register_dataframe_accessor
                if kind is pd.DataFrame
                else pd.api.extensions.register_series_accessor
            )
            register_on("opg")(Opg)


class _Waiting(MetaPathFinder):
    """Waits for pandas' import, once; finds nothing itself."""

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "pandas":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def then_register(module: ModuleType) -> None:
            execute(module)
            _put_on(self._mapper)

        spec.loader.exec_module = then_register  # type: ignore[method-assign]
        return spec
