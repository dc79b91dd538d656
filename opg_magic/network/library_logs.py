"""Silences other libraries' loggers while they handle our secrets.

At DEBUG, httpcore prints response headers (the session ID among them) and web3 prints RPC URLs,
which may contain an API key.  What they log for anyone else is left alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# A filter works only on its own logger, not on its children: hence every logger by name.
_NAMES = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    "web3.providers.AsyncHTTPProvider",
    "web3.RequestManager",
    "web3._utils.http_session_manager.HTTPSessionManager",
)

_LOGGERS = tuple(map(logging.getLogger, _NAMES))

_quiet: ContextVar[bool] = ContextVar("opg_magic_quiet", default=False)


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _quiet.get()


_silence = _Silence()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within this block, in this task only, the HTTP and RPC libraries log nothing."""
    for logger in _LOGGERS:
        # Others may take it away; adding it takes a lock.
        if _silence not in logger.filters:
            logger.addFilter(_silence)
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)
