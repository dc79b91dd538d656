"""JSON that is only shown: read as Python does, and harmless where the recursion limit was
raised."""

from __future__ import annotations

import subprocess
import sys

import pytest

from opg_magic.models.strict_json import loads_leniently

DEEP = """
import sys
sys.setrecursionlimit(10**7)
from opg_magic.receipt.document import signature_of
from opg_magic.receipt.question import asked
deep = '{"messages": ' + "[" * 200_000
assert asked("chat", deep) is None and signature_of(deep) is None
"""


def test_it_reads_what_python_reads() -> None:
    assert loads_leniently('{"a": 1, "a": NaN}').keys() == {"a"}
    for bad in ("", "[", "[" * 100_000, '{"a": ' * 70 + "1" + "}" * 70):
        with pytest.raises(ValueError):
            loads_leniently(bad)


def test_a_raised_recursion_limit_does_no_harm() -> None:
    """Some libraries raise it for the whole process; deep JSON would then end the kernel."""
    done = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
