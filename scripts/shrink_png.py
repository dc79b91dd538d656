"""``shrink_png.py IN OUT``: a screenshot for the documentation, in 256 colours (needs Pillow)."""

from __future__ import annotations

import sys
from pathlib import Path


def shrink(source: Path, target: Path) -> int:
    """Write ``source`` to ``target`` as a palette PNG; its size in bytes."""
    from PIL import Image

    with Image.open(source) as image:
        small = image.convert("RGB").quantize(
            colors=256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    small.save(target, optimize=True)
    return target.stat().st_size


if __name__ == "__main__":
    print(shrink(Path(sys.argv[1]), Path(sys.argv[2])), "bytes")
