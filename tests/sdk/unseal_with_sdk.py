"""Runs in the official SDK's own environment: the recipient of our sealed requests, made of the
SDK's own suite, labels and key derivation.

Reads one JSON object from standard input (``wire`` and ``private_key`` in hex, ``answer``), writes
one to standard output: what was asked, and the answer sealed in both forms."""

import json
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from opengradient.client import tee_ohttp
from pyhpke import KEMKey

given = json.load(sys.stdin)
wire = bytes.fromhex(given["wire"])
key = X25519PrivateKey.from_private_bytes(bytes.fromhex(given["private_key"]))
header, enc, sealed = wire[:7], wire[7:39], wire[39:]
assert header == tee_ohttp._header_bytes(header[0])
context = tee_ohttp._SUITE.create_recipient_context(
    enc,
    KEMKey.from_pyca_cryptography_key(key),
    info=tee_ohttp._LABEL_REQUEST + b"\x00" + header,
)
asked = context.open(sealed)
nonce = bytes(range(32))


def keys(label: bytes) -> tuple[bytes, bytes]:
    return tee_ohttp._derive_response_keys(context.export(label, 32), enc, nonce)


answer = given["answer"].encode()
aead_key, aead_nonce = keys(tee_ohttp._LABEL_RESPONSE)
single = nonce + ChaCha20Poly1305(aead_key).encrypt(aead_nonce, answer, b"")
aead_key, aead_nonce = keys(tee_ohttp._LABEL_CHUNKED_RESPONSE)
half = len(answer) // 2
first = ChaCha20Poly1305(aead_key).encrypt(aead_nonce, answer[:half], b"")
second_nonce = aead_nonce[:-1] + bytes([aead_nonce[-1] ^ 1])
last = ChaCha20Poly1305(aead_key).encrypt(second_nonce, answer[half:], b"final")
assert len(first) < 64
chunked = nonce + bytes([len(first)]) + first + b"\0" + last
json.dump({"asked": asked.decode(), "single": single.hex(), "chunked": chunked.hex()}, sys.stdout)
