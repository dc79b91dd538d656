"""llama.cpp through its C API, out of xllamacpp's shared object.  Only a child process loads it.

The API passes structs by value, and their layout changes between versions.  What is relied on is
kept small: three fields at the head of the context's parameters and the seven of a batch; all else
stays as llama.cpp's own default functions give it.  The version must be one that was tried
(:data:`TRIED`), and at load the defaults are compared with what that version gives."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.errors import WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Versions of xllamacpp whose structs were compared with the ones below.
TRIED = ("2026.10.11549",)

#: Tokens of one pass over a prompt: llama.cpp's own default, so that it is read as hosts read it.
PASS = 512
#: Tokens of one pass over an answer.  From 64 on llama.cpp attends by another kernel, which rounds
#: otherwise than the one that writes token by token.
ANSWER_PASS = 32

#: More than any of the two structs has: what is behind a struct's end is copied and never read.
_ROOM = 1024
#: Most bytes of logits that one batch may give.
_MOST_LOGITS = 128 * 1024 * 1024
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_ERROR_LEVEL = 4
_LOADING = "llama_model_load: error loading model: "


class _Parameters(ctypes.Structure):
    _fields_ = (("raw", ctypes.c_ubyte * _ROOM),)


class _Batch(ctypes.Structure):
    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LOG, _POINTER)),
    "llama_version": (_TEXT, ()),
    "llama_model_default_params": (_Parameters, ()),
    "llama_context_default_params": (_Parameters, ()),
    "llama_model_load_from_file": (_POINTER, (_TEXT, _Parameters)),
    "llama_init_from_model": (_POINTER, (_POINTER, _Parameters)),
    "llama_free": (None, (_POINTER,)),
    "llama_set_n_threads": (None, (_POINTER, _INT, _INT)),
    "llama_n_ctx": (ctypes.c_uint32, (_POINTER,)),
    "llama_n_batch": (ctypes.c_uint32, (_POINTER,)),
    "llama_n_ubatch": (ctypes.c_uint32, (_POINTER,)),
    "llama_get_memory": (_POINTER, (_POINTER,)),
    "llama_memory_seq_rm": (ctypes.c_bool, (_POINTER, _INT, _INT, _INT)),
    "llama_model_get_vocab": (_POINTER, (_POINTER,)),
    "llama_model_has_encoder": (ctypes.c_bool, (_POINTER,)),
    "llama_vocab_n_tokens": (_INT, (_POINTER,)),
    "llama_vocab_is_eog": (ctypes.c_bool, (_POINTER, _INT)),
    "llama_vocab_bos": (_INT, (_POINTER,)),
    "llama_vocab_eos": (_INT, (_POINTER,)),
    "llama_vocab_get_add_bos": (ctypes.c_bool, (_POINTER,)),
    "llama_token_to_piece": (_INT, (_POINTER, _INT, _TEXT, _INT, _INT, ctypes.c_bool)),
    "llama_tokenize": (
        _INT,
        (_POINTER, _TEXT, _INT, ctypes.POINTER(_INT), _INT, ctypes.c_bool, ctypes.c_bool),
    ),
    "llama_batch_init": (_Batch, (_INT, _INT, _INT)),
    "llama_batch_free": (None, (_Batch,)),
    "llama_decode": (_INT, (_POINTER, _Batch)),
    "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), (_POINTER, _INT)),
}


def version() -> str:
    """The version of xllamacpp that is installed.  Raises WeightsError if there is none, or one
    whose structs were never compared with the ones used here."""
    try:
        found = importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        raise WeightsError(
            "xllamacpp is not installed.", hint="pip install 'opg-magic[local]'"
        ) from None
    if found not in TRIED:
        raise WeightsError(
            f"xllamacpp {found} is installed; weights are run with {' or '.join(TRIED)} only.",
            hint=f"pip install xllamacpp=={TRIED[-1]}",
        )
    return found


class Library:
    """The loaded shared object, its functions with their types; :class:`WeightsError` if it is not
    what :data:`TRIED` promises."""

    def __init__(self) -> None:
        self.version = version()
        spec = importlib.util.find_spec("xllamacpp")
        folders = (spec.submodule_search_locations if spec else None) or []
        objects = [f for folder in folders for f in sorted(Path(folder).glob("xllamacpp*.*"))]
        found = next((f for f in objects if f.suffix in {".so", ".pyd", ".dylib"}), None)
        if found is None:
            raise WeightsError("xllamacpp has no shared object for this platform.")
        try:
            native = ctypes.CDLL(str(found))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(native, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise WeightsError(f"xllamacpp does not give llama.cpp's C API here: {error}") from None
        self.native = native
        self.errors: list[str] = []
        self._log = _LOG(self._keep)
        native.llama_log_set(self._log, None)
        native.llama_backend_init()
        self.llama_cpp = (native.llama_version() or b"").decode("ascii", "replace")
        self._compare()

    def _keep(self, level: int, text: bytes | None, _: object) -> None:
        if level == _ERROR_LEVEL and text:
            self.errors = [*self.errors[-7:], text.decode("utf-8", "replace").strip()]

    def _compare(self) -> None:
        """The defaults of the structs, as the tried versions have them."""
        parameters = self.native.llama_context_default_params()
        head = (ctypes.c_uint32 * 4).from_buffer(parameters)
        batch = self.native.llama_batch_init(7, 0, 1)
        layout = [
            list(head) == [512, 2048, 512, 1],
            batch.n_tokens == 0 and not batch.embd,
            all(map(bool, (batch.token, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits))),
        ]
        if not all(layout):
            raise WeightsError(
                f"xllamacpp {self.version} has other structs than the version that was tried."
            )
        self.native.llama_batch_free(batch)


class Model:
    """One GGUF file, loaded, with a context of ``context`` tokens."""

    def __init__(
        self, library: Library, path: Path, *, context: int, threads: int, batch: int = PASS
    ) -> None:
        native = self.native = library.native
        self.library = library
        parameters = native.llama_model_default_params()
        self.handle = native.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.handle:
            reason = library.errors[0] if library.errors else "no reason given"
            reason = reason.removeprefix(_LOADING).removesuffix(".")
            raise WeightsError(f"llama.cpp cannot load {path.name}: {reason}.")
        if native.llama_model_has_encoder(self.handle):
            raise WeightsError(f"{path.name} is an encoder: only decoders answer a prompt.")
        self.vocab = native.llama_model_get_vocab(self.handle)
        self.size = int(native.llama_vocab_n_tokens(self.vocab))
        self.batch = max(1, min(batch, _MOST_LOGITS // (4 * self.size)))
        self.threads = threads
        self.capacity = 0
        self.context: int | None = None
        self.kept: list[int] = []
        self.ensure(context)

    def ensure(self, context: int) -> None:
        """A context of at least ``context`` tokens; what an earlier one held is dropped."""
        if context <= self.capacity:
            return
        native = self.native
        if self.context:
            native.llama_free(self.context)
        self.context, self.kept = None, []
        parameters = native.llama_context_default_params()
        wanted = (-(-context // 256) * 256, self.batch, self.batch)
        (ctypes.c_uint32 * 3).from_buffer(parameters)[:] = list(wanted)
        self.context = native.llama_init_from_model(self.handle, parameters)
        if not self.context:
            reason = self.library.errors[-1] if self.library.errors else "no reason given"
            raise WeightsError(f"llama.cpp cannot make a context of {context} tokens: {reason}")
        got = (
            native.llama_n_ctx(self.context),
            native.llama_n_batch(self.context),
            native.llama_n_ubatch(self.context),
        )
        if got[0] < wanted[0] or got[1:] != wanted[1:]:
            raise WeightsError(f"llama.cpp made a context of {got} where {wanted} was asked.")
        native.llama_set_n_threads(self.context, self.threads, self.threads)
        self.capacity = wanted[0]

    # -------------------------------------------------------------------------------- text and ids

    def tokens(self, text: bytes, *, special: bool) -> list[int]:
        """``text`` as token ids.  ``special``: control tokens written out in it count as such, and
        the vocabulary's own first token is put before it."""
        room = len(text) + 8
        ids = (ctypes.c_int32 * room)()
        count = self.native.llama_tokenize(self.vocab, text, len(text), ids, room, special, special)
        if count < 0:
            raise WeightsError("llama.cpp cannot take this text apart into tokens.")
        return list(ids[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes that a token stands for; of a control token none, unless ``special``."""
        room = 256
        buffer = ctypes.create_string_buffer(room)
        size = self.native.llama_token_to_piece(self.vocab, token, buffer, room, 0, special)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self.native.llama_token_to_piece(self.vocab, token, buffer, -size, 0, special)
        return buffer.raw[: max(size, 0)]

    @cached_property
    def ending(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        ends = self.native.llama_vocab_is_eog
        return tuple(token for token in range(self.size) if ends(self.vocab, token))

    @property
    def first(self) -> bytes:
        """The text of the token that begins a document (empty: none)."""
        token = self.native.llama_vocab_bos(self.vocab)
        return self.piece(token, special=True) if token >= 0 else b""

    @property
    def last(self) -> bytes:
        """The text of the token that ends a document (empty: none)."""
        token = self.native.llama_vocab_eos(self.vocab)
        return self.piece(token, special=True) if token >= 0 else b""

    @property
    def adds_first(self) -> bool:
        """Whether the vocabulary puts its first token before a text by itself."""
        return bool(self.native.llama_vocab_get_add_bos(self.vocab))

    # --------------------------------------------------------------------------------------- a run

    def logits(
        self, tokens: Sequence[int], start: int
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(index, logits of the token after it) for each index of ``tokens`` from ``start``, the
        last one of the prompt.  A row is valid until the next is asked for.  What is already held
        of the same beginning is not computed again."""
        import numpy as np

        native = self.native
        if len(tokens) > self.capacity:
            self.ensure(len(tokens))
        same = 0
        for kept, wanted in zip(self.kept, tokens, strict=False):
            if kept != wanted:
                break
            same += 1
        same = min(same, start, len(tokens) - 1)
        if not native.llama_memory_seq_rm(native.llama_get_memory(self.context), 0, same, -1):
            native.llama_memory_seq_rm(native.llama_get_memory(self.context), 0, -1, -1)
            same = 0
        self.kept = list(tokens[:same])
        batch = native.llama_batch_init(self.batch, 0, 1)
        try:
            for at, end in self._passes(same, start + 1, len(tokens)):
                part = tokens[at:end]
                batch.n_tokens = len(part)
                for offset, token in enumerate(part):
                    batch.token[offset] = token
                    batch.pos[offset] = at + offset
                    batch.n_seq_id[offset] = 1
                    batch.seq_id[offset][0] = 0
                    batch.logits[offset] = at + offset >= start
                code = native.llama_decode(self.context, batch)
                if code != 0:
                    raise WeightsError(f"llama.cpp could not run these tokens (code {code}).")
                self.kept += part
                for offset in range(max(start - at, 0), len(part)):
                    row = native.llama_get_logits_ith(self.context, offset)
                    if not row:
                        raise WeightsError("llama.cpp gave no logits for a token that was asked.")
                    yield at + offset, np.ctypeslib.as_array(row, (self.size,))
        finally:
            native.llama_batch_free(batch)

    def _passes(self, begin: int, answer: int, end: int) -> Iterator[tuple[int, int]]:
        """(begin, end) of each pass: first over the prompt, then over the answer."""
        while begin < end:
            stop = min(begin + self.batch, answer) if begin < answer else end
            stop = min(stop, begin + (self.batch if begin < answer else ANSWER_PASS))
            yield begin, stop
            begin = stop
