"""What the scripted model knows: a few plain questions, and what it says to all others."""

from __future__ import annotations

import re

from opg_magic.simnet.model.numbers import arithmetic, primes

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
    (
        r"\bsky\b.*\bblue\b",
        "Molecules of air scatter short waves of light far more than long ones. So blue light "
        "reaches the eye from all over the sky, and the rest comes straight from the sun.",
    ),
    (r"\bhow many days\b.*\bweek\b", "A week has 7 days."),
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
    for solver in (_say_exactly, primes, arithmetic):
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


def _summary(text: str) -> str:
    body = re.sub(
        r"^.*?\b(?:summari[sz]e|summary|tl;?dr)\b[^:\n]*[:\n]", "", text, count=1, flags=re.I | re.S
    ).strip()
    body = body or text
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", " ".join(body.split())) if s]
    words = re.findall(r"[^\W\d_]{5,}", body.lower())
    common = sorted(dict.fromkeys(words), key=lambda w: (-words.count(w), words.index(w)))[:3]
    lead = sentences[0] if sentences else body
    about = ", ".join(common) or "nothing"
    return f"In short: {lead} ({len(sentences)} sentences; it keeps coming back to {about}.)"
