"""What the scripted model can calculate: primes and arithmetic."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Any


def primes(text: str) -> str | None:
    """The answer to a question about primes; None where it is none."""
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


def arithmetic(text: str) -> str | None:
    """The value of the longest sum in a text; None where there is none."""
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
