"""What a relay can do to what it carries (attack 20): one class a lie.

It has no key: it can forward, withhold, repeat, cut and put together, and say what it likes outside
the seal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from opg_magic.protocol import ohttp

if TYPE_CHECKING:
    from opg_magic.simnet.host.host import Host


class Carrying:
    """Carries honestly."""

    #: Whether hosts can be reached through it.
    up: ClassVar[bool] = True
    #: Whether answers are changed, so that they are read whole first.
    bends: ClassVar[bool] = False

    def request(self, wire: bytes, host: Host, others: Sequence[Host]) -> tuple[bytes, Host]:
        """What is forwarded, and to whom."""
        return wire, host

    def answer(self, kind: str, body: bytes) -> tuple[str, bytes]:
        """The content type and the bytes that go back."""
        return kind, b"".join(self.pieces(parts_of(kind, body)))

    def pieces(self, parts: list[bytes]) -> list[bytes]:
        """The parts of an answer: its nonce, then each chunk with its length."""
        return parts


def parts_of(kind: str, body: bytes) -> list[bytes]:
    """The nonce and the sealed chunks of an answer, each with its length: all of it is public."""
    size = ohttp.RESPONSE_NONCE_SIZE
    parts, rest = [body[:size]], body[size:]
    if kind != ohttp.CHUNKED_TYPE:
        return [*parts, rest]
    while (found := ohttp.read_varint(rest)) is not None and found[0] > 0:
        end = found[0] + found[1]
        parts.append(rest[:end])
        rest = rest[end:]
    return [*parts, rest]


class Down(Carrying):
    up = False


class SwapsKey(Carrying):
    """Sends the host a request of its own, and hands that one's answer back."""

    def request(self, wire: bytes, host: Host, others: Sequence[Host]) -> tuple[bytes, Host]:
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Is 97 prime?"}]}
        own = ohttp.seal_request(host.sealing.key, json.dumps(body).encode())
        return own.wire, host


class OtherHost(Carrying):
    """Takes the request to another enclave."""

    def request(self, wire: bytes, host: Host, others: Sequence[Host]) -> tuple[bytes, Host]:
        return wire, others[0]


class _Bends(Carrying):
    bends = True


class Replays(_Bends):
    """Hands back the first answer that it carried for every later request."""

    def __init__(self) -> None:
        self._first: tuple[str, bytes] | None = None

    def answer(self, kind: str, body: bytes) -> tuple[str, bytes]:
        self._first = self._first or (kind, body)
        return self._first


class Reorders(_Bends):
    def pieces(self, parts: list[bytes]) -> list[bytes]:
        return [parts[0], parts[2], parts[1], *parts[3:]]


class Drops(_Bends):
    def pieces(self, parts: list[bytes]) -> list[bytes]:
        return [*parts[:2], *parts[3:]]


class Duplicates(_Bends):
    def pieces(self, parts: list[bytes]) -> list[bytes]:
        return [*parts[:2], *parts[1:]]


class Cuts(_Bends):
    def pieces(self, parts: list[bytes]) -> list[bytes]:
        whole = b"".join(parts)
        return [whole[: len(whole) // 2]]


class OmitsFinal(_Bends):
    def pieces(self, parts: list[bytes]) -> list[bytes]:
        return parts[:-1]


class AddsBytes(_Bends):
    def pieces(self, parts: list[bytes]) -> list[bytes]:
        return [*parts, b'data: {"more": 1}\n\n']


class HugeLength(_Bends):
    def pieces(self, parts: list[bytes]) -> list[bytes]:
        return [parts[0], ohttp.write_varint(2**62 - 1), *parts[1:]]


class MixesForms(_Bends):
    """Says that the answer is of the other form."""

    def answer(self, kind: str, body: bytes) -> tuple[str, bytes]:
        other = ohttp.RESPONSE_TYPE if kind == ohttp.CHUNKED_TYPE else ohttp.CHUNKED_TYPE
        return other, body


class AnswersItself(_Bends):
    """An answer of its own making, outside any seal, with status 200."""

    def answer(self, kind: str, body: bytes) -> tuple[str, bytes]:
        message = {"content": "Invented.", "role": "assistant"}
        choice = {"finish_reason": "stop", "index": 0, "message": message}
        return "application/json", json.dumps({"choices": [choice]}).encode()


class FailsOutside(_Bends):
    """An error outside the seal, with status 200."""

    def answer(self, kind: str, body: bytes) -> tuple[str, bytes]:
        return "application/json", b'{"error": "quota exceeded"}'
