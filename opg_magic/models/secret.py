"""A wrapper for what must never be shown: keys, payment signatures, session ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T", str, bytes)


class Secret(Generic[T]):
    """Holds a value that neither ``repr``, ``str``, ``format``, pickling nor a captured local of a
    traceback shows.

    Only :meth:`reveal` gives it back; call that at the one place where the value is used.
    """

    __slots__ = ("__reveal",)

    def __init__(self, value: T) -> None:
        # A closure instead of an attribute: tools that walk __slots__ or vars() to print locals
        # find a function.
        self.__reveal: Callable[[], T] = lambda: value

    def reveal(self) -> T:
        return self.__reveal()

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        import hmac

        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = self.reveal(), other.reveal()
        as_bytes = [v.encode() if isinstance(v, str) else v for v in (mine, theirs)]
        return hmac.compare_digest(as_bytes[0], as_bytes[1])

    __hash__ = None  # type: ignore[assignment]  # equal by value, and a hash would be a fingerprint of the value

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
