"""The header of a GGUF file, read before native code sees it: a cut or foreign file is named here.

Only the metadata and the list of tensors are read (GGUF specification, version 2 and 3)."""

from __future__ import annotations

import hashlib
import mmap
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from opg_magic.errors import WeightsError

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
#: Values of a block, and its bytes, by tensor type (ggml.h).  Of a type that is not here the size
#: stays unknown, and llama.cpp judges the file.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 30: (1, 2),
}  # fmt: skip
_MOST_ITEMS = 10_000_000
#: Lists within lists that a value may have; models need none.
_MOST_NESTED = 4
_TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor's data is in the file: ``begin`` and ``size`` in bytes, ``kind`` by ggml.h.
    ``size`` is 0 for a kind that is not known here."""

    name: str
    kind: int
    begin: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself.

    ``tokenizer_sha256`` is over the metadata entries ``tokenizer.*`` as they stand in the file,
    without the chat template; ``template_sha256`` over the template's UTF-8 text (None: the file
    has none)."""

    architecture: str
    name: str
    tokenizer_sha256: str
    template_sha256: str | None
    template: str | None
    tensors: tuple[Tensor, ...]
    context: int


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> int | float | bool:
        size = struct.calcsize("<" + form)
        if self.at + size > len(self.data):
            raise WeightsError("The GGUF file is cut: its header is incomplete.")
        value: int | float | bool = struct.unpack_from("<" + form, self.data, self.at)[0]
        self.at += size
        return value

    def count(self) -> int:
        number = int(self.take("Q"))
        if number > _MOST_ITEMS:
            raise WeightsError("The file is not a sound GGUF: its header names absurd sizes.")
        return number

    def text(self) -> str:
        size = int(self.take("Q"))
        if self.at + size > len(self.data):
            raise WeightsError("The GGUF file is cut: its header is incomplete.")
        raw = self.data[self.at : self.at + size]
        self.at += size
        return raw.decode("utf-8", "replace")

    def value(self, kind: int, nested: int = 0) -> object:
        """One value; of an array only that it was read."""
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            form = _SCALARS.get(kind)
            if form is None:
                raise WeightsError(f"The file is not a sound GGUF: value type {kind} is unknown.")
            return self.take(form)
        if nested == _MOST_NESTED:
            raise WeightsError("The file is not a sound GGUF: its lists are nested too deep.")
        inner, length = int(self.take("I")), self.count()
        if inner in _SCALARS:
            self.at += length * struct.calcsize("<" + _SCALARS[inner])
        else:
            for _ in range(length):
                self.value(inner, nested + 1)
        return None


def read(path: Path) -> Header:
    """The header of the GGUF file at ``path``.

    Raises WeightsError if it cannot be read, is not GGUF, or is shorter than its header says."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != b"GGUF":
                raise WeightsError(f"{path.name} is not a GGUF file.")
            return _read(_Reader(data), path.name)
    except ValueError as error:  # an empty file cannot be mapped
        raise WeightsError(f"{path.name} is not a GGUF file.") from error
    except OSError as error:
        raise WeightsError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _read(reader: _Reader, name: str) -> Header:
    reader.at = 4
    version = reader.take("I")
    if version not in {2, 3}:
        raise WeightsError(f"{name} is GGUF version {version}; versions 2 and 3 are read.")
    tensors, entries = reader.count(), reader.count()
    metadata: dict[str, object] = {}
    tokenizer = hashlib.sha256()
    for _ in range(entries):
        start = reader.at
        key = reader.text()
        metadata[key] = reader.value(int(reader.take("I")))
        if key.startswith("tokenizer.") and key != _TEMPLATE:
            tokenizer.update(reader.data[start : reader.at])
    listed = _tensors(reader, tensors, metadata, name)
    architecture = str(metadata.get("general.architecture", ""))
    template = metadata.get(_TEMPLATE)
    context = metadata.get(f"{architecture}.context_length")
    return Header(
        architecture=architecture,
        name=str(metadata.get("general.name", "")),
        tokenizer_sha256=tokenizer.hexdigest(),
        template_sha256=hashlib.sha256(template.encode()).hexdigest()
        if isinstance(template, str)
        else None,
        template=template if isinstance(template, str) else None,
        tensors=listed,
        context=max(context, 0) if isinstance(context, int) else 0,
    )


def _tensors(
    reader: _Reader, count: int, metadata: dict[str, object], name: str
) -> tuple[Tensor, ...]:
    """Where every tensor is; WeightsError if the file ends before one does."""
    if count == 0:
        raise WeightsError(f"{name} has no tensors: it is a vocabulary, not a model.")
    found: list[Tensor] = []
    for _ in range(count):
        title, values = reader.text(), 1
        dimensions = int(reader.take("I"))
        if dimensions > 8:
            raise WeightsError("The file is not a sound GGUF: its header names absurd sizes.")
        for _ in range(dimensions):
            values *= int(reader.take("Q"))
        kind = int(reader.take("I"))
        block, size = _BLOCKS.get(kind, (1, 0))
        found.append(Tensor(title, kind, int(reader.take("Q")), values // block * size))
    alignment = metadata.get("general.alignment", 32)
    step = alignment if isinstance(alignment, int) and alignment > 0 else 32
    start = -(-reader.at // step) * step
    end = start + max(one.begin + one.size for one in found)
    if end > len(reader.data):
        raise WeightsError(f"{name} is cut: {len(reader.data):,} of {end:,} bytes are here.")
    return tuple(replace(one, begin=start + one.begin) for one in found)
