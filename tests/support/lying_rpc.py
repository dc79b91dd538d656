"""A reader's RPC on loopback that passes questions on to an honest one, and answers some of them
otherwise."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Gets method, params and the honest answer, and gives what is answered.
Edit = Callable[[str, list[Any], dict[str, Any]], dict[str, Any]]


@contextmanager
def lying_rpc(honest: str, edit: Edit) -> Iterator[str]:
    """The address of an RPC that lies."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked = json.loads(body)
            request = urllib.request.Request(honest, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as response:
                told = edit(asked["method"], asked["params"], json.load(response))
            sent = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """The address (host and port) of somebody who only notes that he was contacted."""
    import socket

    contacted: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        waiting.settimeout(0.1)
        over = threading.Event()

        def wait() -> None:
            while not over.is_set():
                try:
                    connection, address = waiting.accept()
                except TimeoutError:
                    continue
                contacted.append(str(address))
                connection.close()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{waiting.getsockname()[1]}", contacted
        finally:
            over.set()
            thread.join()
