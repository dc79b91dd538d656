"""A Jupyter Server extension that lets the browser read the user's own ledger, status and registry.

Read-only, and behind the server's own authentication.  Loading it imports nothing heavy.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "opg_magic.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from opg_magic.server.handlers import handlers
    from opg_magic.server.reading import Reading
    from opg_magic.settings import environment

    environment.pass_on()
    server.web_app.settings["opg_magic_reading"] = Reading()
    server.web_app.add_handlers(".*$", handlers(server.web_app.settings["base_url"]))
    server.log.info("opg_magic: the browser may read the ledger (read-only)")
