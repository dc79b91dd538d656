"""Other weights made from a model's own: what a host could run in its place, for less money.

Bytes are changed where they stand, so that the copy is as large and loads as the original does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from opg_magic.errors import WeightsError
from opg_magic.weights import gguf

#: Kind of tensor (ggml.h) to (bytes of a block, bytes of its scales, at its head).
_NIBBLES = {2: (18, 2), 3: (20, 4)}
_BYTES = {8: (34, 2)}


def coarser(source: Path, target: Path) -> Path:
    """Write ``source`` to ``target`` with one bit less for the feed-forward weights of every fourth
    layer (three of four, or four of eight): mixed, as makers of small files do it.

    Raises WeightsError for a kind of weights that this cannot be done to."""
    return _changed(source, target, _is_coarsened, _coarse)


def another(source: Path, target: Path) -> Path:
    """Write ``source`` to ``target`` without the feed-forward part of its middle layer: a model of
    the same form that is not the same.

    Raises WeightsError where the file has no such layer."""
    middle = len({one.name for one in _down(source)}) // 2
    name = f"blk.{middle}.ffn_down.weight"
    return _changed(source, target, lambda tensor: tensor.name == name, _emptied)


def _down(source: Path) -> list[gguf.Tensor]:
    return [one for one in gguf.read(source).tensors if one.name.endswith(".ffn_down.weight")]


def _changed(
    source: Path,
    target: Path,
    chosen: Callable[[gguf.Tensor], bool],
    change: Callable[[gguf.Tensor, bytes], bytes],
) -> Path:
    wanted = [one for one in gguf.read(source).tensors if one.size and chosen(one)]
    if not wanted:
        raise WeightsError(f"No other weights can be made from {source.name}.")
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    with part.open("r+b") as file:
        for tensor in wanted:
            file.seek(tensor.begin)
            data = change(tensor, file.read(tensor.size))
            file.seek(tensor.begin)
            file.write(data)
    part.replace(target)
    return target


def _is_coarsened(tensor: gguf.Tensor) -> bool:
    layer = re.fullmatch(r"blk\.(\d+)\.ffn_(up|gate|down)\.weight", tensor.name)
    return layer is not None and int(layer[1]) % 4 == 1 and tensor.kind in {*_NIBBLES, *_BYTES}


def _emptied(tensor: gguf.Tensor, data: bytes) -> bytes:
    return bytes(len(data))


def _coarse(tensor: gguf.Tensor, data: bytes) -> bytes:
    import numpy as np

    size, head = _NIBBLES.get(tensor.kind) or _BYTES[tensor.kind]
    blocks = np.frombuffer(data, np.uint8).reshape(-1, size).copy()
    weights = blocks[:, head:]
    if tensor.kind in _NIBBLES:
        even = np.array([min(14, (n + (n >> 1 & 1)) & ~1) for n in range(16)], np.uint8)
        blocks[:, head:] = even[weights & 15] | even[weights >> 4] << 4
    else:
        signed = weights.view(np.int8).astype(np.int16)
        coarse = np.clip((signed + 8) // 16 * 16, -128, 112)
        blocks[:, head:] = coarse.astype(np.int8).view(np.uint8)
    return blocks.tobytes()
