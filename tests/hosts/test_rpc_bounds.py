"""An RPC whose answer does not end, or grows when it is unpacked, costs neither memory nor more than the time-out."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from opg_magic.errors import NetworkUnavailable
from opg_magic.hosts.rpc import MAX_ANSWER_BYTES, Rpc


@contextmanager
def served(answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            with suppress(OSError):
                answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def _endless(handler) -> None:
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 2**20)


_BOMB = gzip.compress(b" " * 2**27)


def _bomb(handler) -> None:
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(_BOMB)))
    handler.end_headers()
    handler.wfile.write(_BOMB)


@pytest.mark.parametrize(("answer", "said"), [(_endless, "longer than"), (_bomb, "compressed")])
async def test_an_answer_that_grows_is_not_read(answer, said):
    with served(answer) as url:
        rpc = Rpc(url, timeout=10)
        tracemalloc.start()
        try:
            with pytest.raises(NetworkUnavailable, match=said):
                await rpc.chain_id()
            assert tracemalloc.get_traced_memory()[1] < 4 * MAX_ANSWER_BYTES
        finally:
            tracemalloc.stop()
            await rpc.aclose()
