"""The battery of ``opg audit-model``: short questions whose answers are a number or one word.

Models give themselves away in what they compute wrongly and in what they choose where nothing is
right.  The questions are asked in this order, and a smaller battery is its beginning: kinds
alternate.  A changed question, or another reading of answers, makes another battery."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from opg_magic.models import Prompt

NAME = "numbers-and-words-1"
#: Room for one word after some that were not asked for; the estimate counts all of it.
MAX_TOKENS = 64

_NUMBER = "Answer with the number only."
_WORD = "Answer with one word only."

_PRODUCTS = (
    (347, 29), (518, 73), (764, 86), (923, 47), (689, 58), (831, 94), (476, 67), (295, 83),
    (957, 62), (384, 79), (4821, 37), (7069, 54), (3918, 76), (6547, 89), (8273, 46),
)  # fmt: skip
_CHOICES = (
    "Choose a number from 1 to 100.",
    "Choose a number from 1 to 1000.",
    "Choose an odd number from 1 to 99.",
    "How many grains of rice fit into a teaspoon? Give one estimate.",
    "Choose a year of the nineteenth century.",
    "How many trees stand in an average city park? Give one estimate.",
    "Choose a prime number below 200.",
    "How many words does an average novel have? Give one estimate.",
    "Choose a number from 200 to 300.",
    "How many steps does a postman walk in a day? Give one estimate.",
    "Rate the colour green from 0 to 100.",
    "Choose a four-digit number.",
    "How many piano tuners work in Chicago? Give one estimate.",
    "Rate the sound of rain from 0 to 100.",
    "Choose a number from 10 to 99 that is not a multiple of 5.",
)
_FACTS = (
    "In which year was the Peace of Westphalia signed?",
    "What is the atomic number of ruthenium?",
    "How high is Mount Elbrus, in metres?",
    "In which year was the composer Clara Schumann born?",
    "How many letters are in the word 'incomprehensibilities'?",
    "How many times does the letter r occur in 'refrigerator repairer'?",
    "In which year did Ada Lovelace die?",
    "What is the melting point of gallium, in degrees Celsius, to one decimal?",
    "How long is the river Loire, in kilometres?",
    "How many days lie between 3 March and 17 November of one year?",
    "In which year was the Brooklyn Bridge opened?",
    "What is the sum of the first 17 prime numbers?",
    "How many moons of Uranus were known in 2010?",
    "In which year was the periodical Nature first published?",
    "What is 2 to the power of 23?",
)
_WORDS = (
    "Name an animal.",
    "Name a colour other than blue.",
    "Name a city in South America.",
    "Name a musical instrument.",
    "Name a tree.",
    "Name a profession.",
    "Name a feeling.",
    "Name a fruit that is not an apple.",
    "Name a river in Asia.",
    "Name a tool.",
    "Give a word that rhymes with 'light'.",
    "Name a philosopher.",
    "Name a spice.",
    "Give a synonym of 'quick'.",
    "Name a bird.",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its ID, its text as it is sent, and how its answers are read."""

    id: str
    text: str
    kind: Literal["number", "word"]

    def prompt(self, model: str) -> Prompt:
        """The question as a prompt, at temperature 0."""
        return Prompt(
            text=self.text, model=model, temperature=0.0, max_tokens=MAX_TOKENS, stream=False
        )


def _questions() -> tuple[Question, ...]:
    made = []
    for number, (product, choice, fact, word) in enumerate(
        zip(_PRODUCTS, _CHOICES, _FACTS, _WORDS, strict=True), 1
    ):
        a, b = product
        made += [
            Question(f"product-{number}", f"What is {a} * {b}? {_NUMBER}", "number"),
            Question(f"choice-{number}", f"{choice} {_NUMBER}", "number"),
            Question(f"word-{number}", f"{word} {_WORD}", "word"),
            Question(f"fact-{number}", f"{fact} {_NUMBER}", "number"),
        ]
    return tuple(made)


#: All questions, in the order in which they are asked.
QUESTIONS = _questions()


@lru_cache(maxsize=1)
def digest() -> str:
    """SHA-256 of the questions and of what is sent with them (``sha256:`` and hex)."""
    content = [NAME, MAX_TOKENS, [[one.id, one.text, one.kind] for one in QUESTIONS]]
    return "sha256:" + hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read(question: Question, text: str) -> str:
    """What an answer says: its last number, or its first word; empty if it has none.

    Case, separators of thousands and what stands around it do not count."""
    plain = unicodedata.normalize("NFKC", text)
    if question.kind == "word":
        found = re.search(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", plain)
        return found.group().casefold()[:64] if found else ""
    plain = re.sub(r"(?<=\d)[,\u2009\u202f ](?=\d{3}(?!\d))", "", plain)
    numbers = re.findall(r"[-−]?\d+(?:\.\d+)?", plain)
    if not numbers:
        return ""
    last = numbers[-1].replace("−", "-")
    whole, dot, fraction = last.partition(".")
    sign = "-" if whole.startswith("-") else ""
    whole, fraction = whole.lstrip("-").lstrip("0") or "0", fraction.rstrip("0")
    return f"{sign}{whole}{dot if fraction else ''}{fraction}"[:64]
