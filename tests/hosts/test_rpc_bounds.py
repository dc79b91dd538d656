"""An RPC whose answer does not end, or grows when it is unpacked, costs neither memory nor more
than the time-out."""

from __future__ import annotations

import asyncio
import gzip
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from web3._utils.http_session_manager import HTTPSessionManager

from opg_magic.errors import NetworkUnavailable
from opg_magic.network.rpc import MAX_ANSWER_BYTES, Rpc


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


def _one(handler) -> None:
    body = b'{"jsonrpc":"2.0","id":0,"result":"0x1"}'
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


async def test_stopped_requests_leave_the_others_be():
    """Wherever a request is stopped, the next one is answered, of this endpoint and of any other in
    the process."""
    with served(_one) as url:
        for stopped_after in range(12):
            rpc = Rpc(url, timeout=10)
            asked = [asyncio.create_task(rpc.chain_id()) for _ in range(12)]
            for _ in range(stopped_after):
                await asyncio.sleep(0)
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            assert await rpc.chain_id() == 1
            await rpc.aclose()
        other = Rpc(url, timeout=10)
        assert await other.chain_id() == 1
        await other.aclose()


async def test_nothing_else_in_the_process_holds_a_request_up():
    """web3 fetches its sessions under one lock of the process, which the notebook's own code may
    hold."""
    with served(_one) as url, HTTPSessionManager._lock:
        rpc = Rpc(url, timeout=10)
        assert await rpc.chain_id() == 1
        await rpc.aclose()
