"""``df.opg.map(...)``: put on pandas' and Dask's frames when those are there, and never the reason
that they are imported."""

from __future__ import annotations

import importlib
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
    """Put ``opg`` on DataFrame and Series, pandas' and Dask's: now where they are imported, else as
    soon as they are."""
    for name in ("pandas", "dask.dataframe"):
        if name in sys.modules:
            _put_on(sys.modules[name], mapper)
        elif not any(isinstance(one, _Waiting) and one.name == name for one in sys.meta_path):
            sys.meta_path.insert(0, _Waiting(name, mapper))


def _put_on(module: ModuleType, mapper: Mapper) -> None:
    class Opg:
        """Verified AI calls over this table."""

        def __init__(self, data: Any) -> None:
            self._data = data

        def map(self, prompt: str, **arguments: Any) -> Any:
            """Ask ``prompt`` for each row: :func:`opg_magic.map` with this table as its data."""
            return mapper(self._data, prompt, **arguments)

    place: Any
    if module.__name__ == "pandas":
        place = module.api.extensions
    else:
        place = importlib.import_module("dask.dataframe.extensions")
    if not hasattr(module.DataFrame, "opg"):
        place.register_dataframe_accessor("opg")(Opg)
    if not hasattr(module.Series, "opg"):
        place.register_series_accessor("opg")(Opg)


class _Waiting(MetaPathFinder):
    """Waits for one module's import, once; finds nothing itself."""

    def __init__(self, name: str, mapper: Mapper) -> None:
        self.name = name
        self._mapper = mapper

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def then_register(module: ModuleType) -> None:
            execute(module)
            _put_on(module, self._mapper)

        spec.loader.exec_module = then_register  # type: ignore[method-assign]
        return spec
