"""Small GGUF files, whole and broken."""

from __future__ import annotations

import struct
from pathlib import Path


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def file(
    *, entries: tuple[bytes, ...] = (), tensors: int = 1, data: int = 128, version: int = 3
) -> bytes:
    """A GGUF of one tensor of 32 floats (128 bytes) each."""
    ours = (
        entry("general.architecture", 8, text("llama")),
        entry("llama.context_length", 4, struct.pack("<I", 8192)),
        entry("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")),
        entry("tokenizer.chat_template", 8, text("{{ messages }}")),
        *entries,
    )
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, len(ours)) + b"".join(ours)
    for number in range(tensors):
        head += text(f"t{number}") + struct.pack("<IQIQ", 1, 32, 0, number * 128)
    return head + bytes(-len(head) % 32) + bytes(data)


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    return path
