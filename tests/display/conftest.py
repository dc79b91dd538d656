"""Puts this folder on the import path, for ``states`` and ``inspecting``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
