"""Job files spoilt at random as text: bytes, signs and lines; the same seed spoils alike."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

Rng = random.Random

SIGNS = [
    *"\t\n\r :-?,[]{}#&*!|>'\"%@`~\\$=<.0",
    *("\x00", "\x07", "\x1b[31m", "\x85", "\u2028", "\ufeff", "\ud7ff", "\U0001f600", "\u202e"),
    *(
        "\r\n",
        ": ",
        "- ",
        " #",
        "---\n",
        "...\n",
        "<<: ",
        "&a ",
        "*a",
        "!!python/object:os.system ",
    ),
    *(
        "!!binary ",
        "!!set ",
        "? ",
        "${HOME}",
        "${",
        "$${",
        '"\\ud800"',
        '"\\0"',
        "0x",
        "0o9",
        "1e999",
    ),
]


def spoilt_text(rng: Rng, text: str) -> bytes:
    """A job file whose bytes, signs or lines were changed in one to four places."""
    content = text
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_TEXT)(rng, content)
    raw = content.encode("utf-8", "surrogatepass")
    return rng.choice(_BYTES)(rng, raw) if rng.random() < 0.3 else raw


def _span(rng: Rng, size: int, longest: int = 40) -> tuple[int, int]:
    start = rng.randrange(size + 1)
    return start, min(size, start + rng.randint(1, longest))


def _delete(rng: Rng, text: str) -> str:
    start, stop = _span(rng, len(text))
    return text[:start] + text[stop:]


def _repeat(rng: Rng, text: str) -> str:
    start, stop = _span(rng, len(text))
    return text[:stop] + text[start:stop] * rng.choice((1, 1, 2, 50)) + text[stop:]


def _insert(rng: Rng, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(SIGNS) * rng.choice((1, 1, 3)) + text[at:]


def _random_sign(rng: Rng, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + chr(rng.randrange(0x20000)) + text[at + 1 :]


def _lines(change: Callable[[Rng, list[str]], None]) -> Callable[[Rng, str], str]:
    def changed(rng: Rng, text: str) -> str:
        lines = text.splitlines(keepends=True)
        if lines:
            change(rng, lines)
        return "".join(lines)

    return changed


def _line_twice(rng: Rng, lines: list[str]) -> None:
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))


def _lines_swapped(rng: Rng, lines: list[str]) -> None:
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _line_moved_in(rng: Rng, lines: list[str]) -> None:
    at = rng.randrange(len(lines))
    lines[at] = rng.choice((" ", "  ", "\t", "- ", "      ")) + lines[at]


def _line_gone(rng: Rng, lines: list[str]) -> None:
    del lines[rng.randrange(len(lines))]


def _number(rng: Rng, text: str) -> str:
    """One digit becomes a number without measure."""
    digits = [index for index, sign in enumerate(text) if sign.isdecimal()]
    if not digits:
        return text
    at = rng.choice(digits)
    huge = ("9" * 30, "9" * 5000, "1e400", "-1", "1_000", "0x" + "f" * 40, ".nan", "-.inf", "1:30")
    return text[:at] + rng.choice(huge) + text[at + 1 :]


def _nested(rng: Rng, text: str) -> str:
    depth = rng.choice((3, 30, 300, 3000))
    opening, closing = rng.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("a:\n ", "")))
    at = text.find(": ", rng.randrange(len(text) + 1))
    inside = opening * depth + "1" + closing * rng.choice((depth, depth - 1, 0))
    return text[: at + 2] + inside + text[at + 2 :].partition("\n")[2] if at >= 0 else inside


def _laughs(rng: Rng, text: str) -> str:
    """Aliases of aliases of aliases."""
    names = "abcdefghijkl"[: rng.randint(2, 12)]
    lines = [f"{names[0]}: &{names[0]} [x, x, x, x, x, x, x, x, x]"]
    for inner, name in itertools.pairwise(names):
        lines.append(f"{name}: &{name} [{', '.join([f'*{inner}'] * 9)}]")
    return "\n".join(lines) + "\n" + text + f"\nmodel: *{names[-1]}\n"


def _circle(rng: Rng, text: str) -> str:
    return text + rng.choice(("\nx: &a [*a]\n", "\nx: &a {b: *a}\n", "\nextends: job.yaml\n"))


def _endings(rng: Rng, text: str) -> str:
    return text.replace("\n", rng.choice(("\r\n", "\r", "\n\n", "\u2028", "\x85", "")))


def _blanks(rng: Rng, text: str) -> str:
    return text.replace(
        rng.choice(("  ", ": ", "- ", " ")), rng.choice(("\t", "", "   ", "\u00a0"))
    )


def _cut(rng: Rng, text: str) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _second_document(rng: Rng, text: str) -> str:
    return f"{text}\n---\n{text}"


_TEXT: tuple[Callable[[Rng, str], str], ...] = (
    *(
        _delete,
        _repeat,
        _insert,
        _insert,
        _random_sign,
        _number,
        _number,
        _nested,
        _laughs,
        _circle,
    ),
    *(map(_lines, (_line_twice, _lines_swapped, _line_moved_in, _line_gone))),
    *(_endings, _blanks, _cut, _second_document),
)


def _bits(rng: Rng, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(min(len(raw), rng.choice((1, 1, 5, 50)))):
        changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(changed)


_BYTES: tuple[Callable[[Rng, bytes], bytes], ...] = (
    _bits,
    _bits,
    lambda rng, raw: b"\xef\xbb\xbf" * rng.randint(1, 2) + raw,
    lambda rng, raw: raw.decode(errors="replace").encode(rng.choice(("utf-16", "utf-16-le"))),
    lambda rng, raw: rng.randbytes(rng.choice((0, 1, 100, 5000))),
    lambda rng, raw: raw + rng.choice((b"\x00", b"\xff\xfe", b"\xc3", b"\x1a", b"\n" * 5000)),
    lambda rng, raw: b"# " + b"x" * rng.choice((10_000, 900_000, 1_200_000)) + b"\n" + raw,
    lambda rng, raw: raw[: rng.randrange(len(raw) + 1)],
)
