"""The built-in scripted model: deterministic, small, and honest about what it is.

It answers a few plain questions, does arithmetic, tests primes, calls tools whose name the prompt
mentions, and makes instances of JSON schemas.  Two equal requests get equal answers, whatever the
temperature, so that a demonstration, a test and a lesson always show the same.  Like the hosts it
stands in for, it never applies ``stop`` and takes ``max_tokens: 0`` as 4096 (protocol section 3).
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
import math
import operator
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from opg_magic.models import Kind

#: What the scripted model puts into the unsigned ``model`` field of its answers, whichever model
#: was asked for.
SCRIPTED_MODEL = "scripted-model"

#: What a host uses when a request says ``max_tokens: 0`` or nothing at all.
DEFAULT_MAX_TOKENS = 4096


class ModelDown(Exception):
    """The provider behind a host did not answer: a host turns it into HTTP 500, or an error frame
    in mid-stream."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the model: unsigned, the host's word."""

    prompt_tokens: int
    completion_tokens: int

    def document(self) -> dict[str, int]:
        """The ``usage`` object of an answer."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: text, or tool calls as ``{id, type, function: {name, arguments}}``.

    ``pieces`` joined give ``text``; they are what a stream sends one by one.
    """

    pieces: tuple[str, ...]
    usage: Usage
    model: str = SCRIPTED_MODEL
    tool_calls: tuple[Mapping[str, Any], ...] = ()

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.tool_calls else "stop"


@dataclass(frozen=True, slots=True)
class Delta:
    """One step of a stream: more text, parts of tool calls, or (once, last) the end with its
    usage."""

    text: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str = SCRIPTED_MODEL


class Model(Protocol):
    """What answers for a host: the scripted model, or a relay to another server."""

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        """The whole answer at once.  ModelDown if there is none."""
        ...

    def stream(self, body: Mapping[str, Any], kind: Kind) -> AsyncIterator[Delta]:
        """The answer step by step; the last step has a ``finish_reason``.  ModelDown where it
        breaks off."""
        ...

    async def close(self) -> None: ...


@dataclass
class ScriptedModel:
    """The built-in model.  ``token_delay`` is the pause before each token, in seconds."""

    token_delay: float = 0.015
    model: str = field(default=SCRIPTED_MODEL, init=False)

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        # A whole answer takes as long as its tokens would, but never long: nobody watches it grow.
        reply = answer(body, kind)
        await asyncio.sleep(
            min(self.token_delay * len(reply.pieces), 0.25 if self.token_delay < 0.1 else 30.0)
        )
        return reply

    async def stream(self, body: Mapping[str, Any], kind: Kind) -> AsyncIterator[Delta]:
        reply = answer(body, kind)
        for index, call in enumerate(reply.tool_calls):
            yield Delta(
                tool_calls=(
                    {**call, "index": index, "function": {**call["function"], "arguments": ""}},
                )
            )
            for piece in split_tokens(call["function"]["arguments"]):
                await asyncio.sleep(self.token_delay)
                yield Delta(tool_calls=({"index": index, "function": {"arguments": piece}},))
        for piece in reply.pieces:
            await asyncio.sleep(self.token_delay)
            yield Delta(text=piece)
        yield Delta(finish_reason=reply.finish_reason, usage=reply.usage)

    async def close(self) -> None:
        """Nothing to release."""


# --------------------------------------------------------------------------------------- one answer


def answer(body: Mapping[str, Any], kind: Kind) -> Reply:
    """The scripted model's answer to a validated request body: the same for the same body."""
    limit = int(body.get("max_tokens") or DEFAULT_MAX_TOKENS)
    if kind == "completion":
        prompt = str(body.get("prompt", ""))
        return _text_reply(_complete(prompt), limit, prompt_tokens=count_tokens(prompt))

    messages: Sequence[Mapping[str, Any]] = body.get("messages", ())
    prompt_tokens = sum(count_tokens(_content(message)) + 4 for message in messages) + 3
    system = " ".join(_content(m) for m in messages if m.get("role") == "system")
    question = next((_content(m) for m in reversed(messages) if m.get("role") == "user"), "")
    last = messages[-1] if messages else {}

    if last.get("role") == "tool":
        return _text_reply(_styled(_after_tool(messages), system), limit, prompt_tokens)

    wanted = _wanted_tool(body.get("tools") or (), question)
    if wanted is not None:
        arguments = json.dumps(instance(wanted.get("parameters") or {}, question))
        name = str(wanted["name"])
        call_id = (
            "call_" + hashlib.sha256(f"{name}\n{arguments}\n{question}".encode()).hexdigest()[:24]
        )
        call = {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        return Reply((), Usage(prompt_tokens, count_tokens(name + arguments)), tool_calls=(call,))

    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}
        return _text_reply(
            json.dumps(instance(schema, question), ensure_ascii=False), limit, prompt_tokens
        )
    text = _styled(reply_to(question, system), system)
    if form.get("type") == "json_object":
        text = json.dumps({"answer": text}, ensure_ascii=False)
    return _text_reply(text, limit, prompt_tokens)


def _text_reply(text: str, limit: int, prompt_tokens: int) -> Reply:
    pieces = tuple(split_tokens(text)[:limit])
    return Reply(pieces, Usage(prompt_tokens, len(pieces)))


def split_tokens(text: str) -> list[str]:
    """Cut text into pieces of about a token: a short run of letters with the space before it, or
    one other character.

    Joined, the pieces give the text back exactly.
    """
    return re.findall(r"\s?[^\W\d_]{1,7}|\s?\d{1,3}|\s+|[^\w\s]|_|.", text, flags=re.DOTALL)


def count_tokens(text: str) -> int:
    """How many pieces :func:`split_tokens` makes."""
    return len(split_tokens(text))


def _content(message: Mapping[str, Any]) -> str:
    """A message's text; of a list of parts only the text counts (hosts of April 2026 drop
    images)."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(
            str(p.get("text", ""))
            for p in content
            if isinstance(p, Mapping) and p.get("type") == "text"
        )
    return content if isinstance(content, str) else ""


def _styled(text: str, system: str) -> str:
    """A system prompt is honoured lightly: brevity, capitals, a pirate."""
    wish = system.lower()
    if re.search(r"\b(brief|briefly|short|concise|one sentence|tersely?)\b", wish):
        text = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    if re.search(r"\bone word\b", wish):
        text = (re.findall(r"\w[\w.]*", text) or [text])[0].rstrip(".")
    if "pirate" in wish:
        text = "Arr! " + text
    if re.search(r"\b(upper ?case|capitals|all caps)\b", wish):
        text = text.upper()
    return text


def _complete(prompt: str) -> str:
    if re.search(r"once upon( a time)?\W*$", prompt, re.IGNORECASE):
        start = "" if re.search(r"a time\W*$", prompt, re.IGNORECASE) else " a time"
        return (
            start
            + " there was a small machine that signed every word it said, and so nobody had to "
            "trust it."
        )
    return " " + reply_to(prompt, "")


# ---------------------------------------------------------------------------------- plain questions

_WHO = (
    "I am the scripted model of a simulated network: a few rules and canned answers, not a "
    "language model. "
    "Whichever model you ask for, I answer."
)

_KNOWLEDGE: tuple[tuple[str, str], ...] = (
    (
        r"\b(who|what) are you\b|\byour name\b|\bwhich model\b|\bare you (an? "
        r")?(ai|llm|gpt|real|model)",
        _WHO,
    ),
    (
        r"\btees?\b.*\bprotects?\b|\bprotects?\b.*\btees?\b|\btrusted execution environment",
        "A trusted execution environment protects code and data while they are in use: the "
        "operator of the machine, "
        "its operating system and other tenants can neither read nor change what runs inside. It "
        "signs a measurement "
        "of the code it runs, so that a stranger can check what answered. It does not protect "
        "against flaws in that "
        "code, against side channels, or against a wrong answer from the model behind it.",
    ),
    (
        r"\bside.?channels?\b",
        "A side channel leaks a secret through something other than the output: timing, power, "
        "cache traffic, the "
        "length of an encrypted message. A trusted execution environment hides memory, not these.",
    ),
    (
        r"\battestation\b|\battest\b",
        "Attestation is a signed statement by hardware about the code that it runs: a measurement "
        "of that code, keys "
        "made inside, and a nonce that shows the statement is fresh. Whoever trusts the hardware's "
        "root can then "
        "trust that this code, and no other, holds those keys.",
    ),
    (
        r"\bpcrs?\b|\bmeasurements?\b",
        "A PCR is a register that holds a hash of what was loaded: PCR0 the enclave image, PCR1 "
        "the kernel and boot "
        "files, PCR2 the application. All three are zero in debug mode, so such an enclave proves "
        "nothing.",
    ),
    (
        r"\bnonces?\b",
        "A nonce is a number used once. Put into what is to be signed, it shows that the signature "
        "was made after "
        "the question, and is not an old one replayed.",
    ),
    (
        r"\bmerkle\b",
        "A Merkle tree hashes items in pairs, level by level, to one root. A path of a few hashes "
        "then proves that an "
        "item is under that root, without showing the others.",
    ),
    (
        r"\bhash(es|ing)?\b",
        "A cryptographic hash turns any text into a short fixed-length value. The same text always "
        "gives the same "
        "value, and nobody knows how to find another text with it.",
    ),
    (
        r"\bzero.?knowledge\b",
        "A zero-knowledge proof convinces a verifier that a statement is true while showing "
        "nothing else, not even "
        "why.",
    ),
    (
        r"\bsmart contracts?\b",
        "A smart contract is a program on a chain: anyone can call it, every node runs it alike, "
        "and nobody can "
        "quietly change what it did.",
    ),
    (
        r"\bblockchains?\b",
        "A blockchain is a list of blocks, each holding the hash of the one before, that many "
        "machines keep alike, so "
        "that the past cannot be changed unnoticed.",
    ),
    (r"\bcapital\b.*\bfrance\b", "The capital of France is Paris."),
    (r"\bcapital\b.*\bgermany\b", "The capital of Germany is Berlin."),
    (r"\bcapital\b.*\bitaly\b", "The capital of Italy is Rome."),
    (r"\bcapital\b.*\bspain\b", "The capital of Spain is Madrid."),
    (r"\bcapital\b.*\bjapan\b", "The capital of Japan is Tokyo."),
    (r"\bcapital\b.*\bindia\b", "The capital of India is New Delhi."),
    (r"\bcapital\b.*\bkenya\b", "The capital of Kenya is Nairobi."),
    (r"\bcapital\b.*\bbrazil\b", "The capital of Brazil is Brasília."),
    (
        r"\bspeed of light\b",
        "The speed of light in a vacuum is 299,792,458 metres per second, exactly.",
    ),
    (
        r"\bhow many (days|months) .*\byear\b",
        "A year has 12 months, and 365 days, or 366 in a leap year.",
    ),
    (
        r"\bmeaning of life\b",
        "42, by one well-known account. The question is still being worked on.",
    ),
    (
        r"^\W*(say )?(hi|hello|hey|good (morning|day|evening))\b",
        "Hello! Ask me something small, then check the receipt.",
    ),
    (r"\bthank(s| you)\b", "You are welcome."),
)


def reply_to(question: str, system: str) -> str:
    """The plain-text answer to one question."""
    text = question.strip()
    if not text:
        return "There was nothing to answer."
    for solver in (_say_exactly, _primes, _arithmetic):
        found = solver(text)
        if found is not None:
            return found
    name = re.search(r"\byou are (?:an? )?([\w -]{2,40})", system, re.IGNORECASE)
    for pattern, known in _KNOWLEDGE:
        if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            if known is _WHO and name:
                return f"You asked me to be {name.group(1).strip()}. {known}"
            return known
    if re.search(r"\b(summari[sz]e|summary|tl;?dr)\b", text, re.IGNORECASE):
        return _summary(text)
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
    heard = " ".join(text.split())
    heard = heard if len(heard) <= 160 else heard[:159] + "…"
    tail = f" The numbers in it: {', '.join(numbers[:8])}." if numbers else ""
    return f"You asked: “{heard}”. I am a scripted model and know no answer to that.{tail}"


def _say_exactly(text: str) -> str | None:
    match = re.match(
        r"(?:please )?(?:echo|repeat|say exactly|reply with|answer with)\b[: ]+(.+)",
        text,
        re.I | re.S,
    )
    return match.group(1).strip().strip("\"“”'") if match else None


def _primes(text: str) -> str | None:
    match = re.search(
        r"\bis (\d{1,18}) (?:a )?prime\b|\bprime\b.*?\bis (\d{1,18})\b", text, re.IGNORECASE
    )
    if match:
        number = int(match.group(1) or match.group(2))
        factor = _smallest_factor(number)
        if number < 2:
            return f"No. {number} is not prime: primes begin at 2."
        if factor == number:
            return f"Yes. {number} is prime: no number from 2 to {math.isqrt(number)} divides it."
        return f"No. {number} is not prime: {number} = {factor} × {number // factor}."
    match = re.search(r"\bfirst (\d{1,3}) primes?\b", text, re.IGNORECASE)
    if match:
        found: list[str] = []
        candidate = 2
        while len(found) < min(int(match.group(1)), 100):
            if _smallest_factor(candidate) == candidate:
                found.append(str(candidate))
            candidate += 1
        return ", ".join(found) + "."
    return None


def _smallest_factor(number: int) -> int:
    """The smallest divisor above 1, exact below about 10^18 (Miller-Rabin for the large ones)."""
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        if number % prime == 0:
            return prime
    if number < 2 or number < 37 * 37 or _is_large_prime(number):
        return number
    # Trial division, then Pollard's rho: the prompt may hold a number of eighteen digits, and a
    # demo must not hang.
    for divisor in range(41, min(math.isqrt(number), 100_000) + 1, 2):
        if number % divisor == 0:
            return divisor
    return _rho(number)


def _is_large_prime(number: int) -> bool:
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):  # exact below 3.3e24
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def _rho(number: int) -> int:
    if math.isqrt(number) ** 2 == number:
        return math.isqrt(number)
    for shift in range(1, 50):
        slow = fast = 2
        divisor = 1
        while divisor == 1:
            slow = (slow * slow + shift) % number
            fast = (fast * fast + shift) % number
            fast = (fast * fast + shift) % number
            divisor = math.gcd(abs(slow - fast), number)
        if divisor != number:
            return min(divisor, number // divisor)
    return number


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def _arithmetic(text: str) -> str | None:
    plain = text.lower()
    for word, sign in (
        ("plus", "+"),
        ("minus", "-"),
        ("times", "*"),
        ("multiplied by", "*"),
        ("divided by", "/"),
    ):
        plain = plain.replace(word, sign)
    plain = (
        plain.replace("×", "*")
        .replace("·", "*")
        .replace("÷", "/")
        .replace("−", "-")
        .replace("^", "**")
    )
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", plain)
    candidates = re.findall(r"[\d(][\d\s.+\-*/%()]*[\d)]", plain)
    for candidate in sorted(candidates, key=len, reverse=True):
        if not re.search(r"\d\s*[+\-*/%]", candidate) or re.fullmatch(
            r"\d{4}-\d{2}(-\d{2})?", candidate.strip()
        ):
            continue
        try:
            value = _evaluate(ast.parse(candidate.strip(), mode="eval").body)
        except (SyntaxError, ValueError, ArithmeticError, KeyError):
            continue
        shown = (
            str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.10g}"
        )
        return f"{' '.join(candidate.split()).replace('**', '^')} = {shown}"
    return None


def _evaluate(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](_evaluate(node.operand))
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
        if isinstance(node.op, ast.Pow) and (abs(right) > 64 or abs(left) > 1e6):
            raise ValueError("too large")
        return _OPERATORS[type(node.op)](left, right)
    raise ValueError("not arithmetic")


def _summary(text: str) -> str:
    body = re.sub(
        r"^.*?\b(?:summari[sz]e|summary|tl;?dr)\b[^:\n]*[:\n]", "", text, count=1, flags=re.I | re.S
    ).strip()
    body = body or text
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", " ".join(body.split())) if s]
    words = re.findall(r"[^\W\d_]{5,}", body.lower())
    common = sorted(dict.fromkeys(words), key=lambda w: (-words.count(w), words.index(w)))[:3]
    lead = sentences[0] if sentences else body
    return f"In short: {lead} ({len(sentences)} sentences; it keeps coming back to {', '.join(common) or 'nothing'}.)"


def _after_tool(messages: Sequence[Mapping[str, Any]]) -> str:
    results = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        results.append(_content(message))
    told = "; ".join(reversed(results))
    return f"The tool answered: {told}"


# ----------------------------------------------------------------------------------- tools, schemas


def _wanted_tool(tools: Sequence[Any], question: str) -> Mapping[str, Any] | None:
    """The offered tool that the prompt mentions, whole or by a telling word ("weather" of
    "get_weather")."""
    asked = question.lower()
    functions = [
        t.get("function") or {}
        for t in tools
        if isinstance(t, Mapping) and t.get("type") == "function"
    ]
    named = [f for f in functions if isinstance(f.get("name"), str) and f["name"]]
    for function in named:
        if function["name"].lower() in asked:
            return function
    plain = {
        "get",
        "set",
        "the",
        "find",
        "list",
        "fetch",
        "make",
        "run",
        "call",
        "do",
        "look",
        "up",
        "search",
        "for",
    }
    for function in named:
        words = [
            w
            for w in re.split(
                r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", function["name"]).lower()
            )
            if w
        ]
        if any(
            len(w) > 2 and w not in plain and re.search(rf"\b{re.escape(w)}", asked) for w in words
        ):
            return function
    return None


_FORMATS = {
    "date": "2026-04-01",
    "time": "12:00:00Z",
    "date-time": "2026-04-01T12:00:00Z",
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.org",
}


def instance(schema: Any, question: str = "") -> Any:
    """A deterministic value that is valid for the JSON schema, taking names, numbers and yes/no
    from the question.

    Understands ``type``, ``properties``, ``items``, ``prefixItems``, ``enum``, ``const``,
    ``default``, ``anyOf``, ``oneOf``, ``allOf``, local ``$ref``, ``format`` and the usual bounds.
    A ``pattern`` is not honoured."""
    return _instance(schema, question, schema, "", 0)


def _instance(schema: Any, question: str, root: Any, name: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > 32:
        return None
    if "$ref" in schema:
        return _instance(_resolve(root, str(schema["$ref"])), question, root, name, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        mentioned = [
            v for v in schema["enum"] if isinstance(v, str) and v and v.lower() in question.lower()
        ]
        return mentioned[0] if mentioned else schema["enum"][0]
    if schema.get("allOf"):
        merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
        for part in schema["allOf"]:
            part = _resolve(root, str(part["$ref"])) if "$ref" in part else part
            merged["properties"] = {**merged.get("properties", {}), **part.get("properties", {})}
            merged["required"] = [*merged.get("required", []), *part.get("required", [])]
            merged.update({k: v for k, v in part.items() if k not in ("properties", "required")})
        return _instance(merged, question, root, name, depth + 1)
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return _instance(schema[choice][0], question, root, name, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    if kind == "object":
        return _object(schema, question, root, depth)
    if kind == "array":
        return _array(schema, question, root, name, depth)
    if kind == "string":
        return _string(schema, question, name)
    if kind in ("integer", "number"):
        return _number(schema, question, whole=kind == "integer")
    if kind == "boolean":
        return not reply_to(question, "").lower().startswith("no")
    return None


def _resolve(root: Any, reference: str) -> Any:
    node = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        node = (
            node.get(step.replace("~1", "/").replace("~0", "~"), {})
            if isinstance(node, Mapping)
            else {}
        )
    return node


def _object(schema: Mapping[str, Any], question: str, root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    # All properties near the top, only what is required further down: a recursive schema must come
    # to an end.
    chosen = properties if depth < 4 else {k: v for k, v in properties.items() if k in required}
    value = {key: _instance(part, question, root, key, depth + 1) for key, part in chosen.items()}
    for key in required:
        value.setdefault(key, None if key in properties else "")
    return value


def _array(schema: Mapping[str, Any], question: str, root: Any, name: str, depth: int) -> list[Any]:
    prefix = [
        _instance(part, question, root, name, depth + 1) for part in schema.get("prefixItems") or ()
    ]
    least = int(schema.get("minItems", 1 if depth < 6 else 0))
    items = schema.get("items")
    if not isinstance(items, Mapping):
        return prefix
    more = max(least - len(prefix), 0)
    values = prefix + [_instance(items, question, root, name, depth + 1) for _ in range(more)]
    if schema.get("uniqueItems") and len(values) > 1:
        values = [
            v + n if isinstance(v, int | float) else f"{v}{n or ''}" for n, v in enumerate(values)
        ]
    return values[: int(schema.get("maxItems", len(values)))]


def _string(schema: Mapping[str, Any], question: str, name: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[str(schema["format"])]
    text = _about(name, question) or reply_to(question, "")
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    text = text.ljust(least, ".")
    return text[: int(most)] if most is not None else text


def _about(name: str, question: str) -> str | None:
    """What a field of that name most likely means in this prompt: a place, a name, the question
    itself."""
    if re.search(r"city|place|location|town|where|country", name, re.IGNORECASE):
        match = re.search(r"\b(?:in|at|for|of|to|from)\s+((?:[A-Z][\w'’-]+\s?)+)", question)
        return match.group(1).strip() if match else "Nairobi"
    if re.search(r"^(query|question|prompt|q|text|input)$", name, re.IGNORECASE):
        return " ".join(question.split()) or "nothing"
    if re.search(r"^(unit|units)$", name, re.IGNORECASE):
        return "celsius"
    if re.search(r"name$", name, re.IGNORECASE):
        match = re.search(r"(?<!^)(?<![.!?]\s)\b([A-Z][\w'’-]+)\b", question)
        return match.group(1) if match else "Ada"
    return None


def _number(schema: Mapping[str, Any], question: str, *, whole: bool) -> int | float:
    low, high = schema.get("minimum"), schema.get("maximum")
    step = schema.get("multipleOf")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + (1 if whole else 1e-6)
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - (1 if whole else 1e-6)
    found = re.search(r"-?\d+(?:\.\d+)?", question)
    value: int | float = float(found.group()) if found else 1
    value = int(value) if whole or float(value).is_integer() else value
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    if step:
        value = math.floor(value / step) * step
        if low is not None and value < low:
            value += step
    return int(value) if whole else value
