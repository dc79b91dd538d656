"""Verified AI calls in a notebook.

``%load_ext opg_magic`` brings the magics; nothing heavy is imported until the first call.
"""

from __future__ import annotations

__version__ = "0.1.0"
