"""Google-style docstrings, read for ``trainwright list`` and ``trainwright show``."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_SECTION = re.compile(r"^([A-Z][A-Za-z]*(?: [a-z]+)?):[ \t]*$")
_ENTRY = re.compile(r"^[*]{0,2}([A-Za-z_]\w*)[ \t]*(?:\([^)]*\))?[ \t]*:[ \t]*(.*)$")
_ROLE = re.compile(r":[a-z:]+:`~?([^`<]+?)(?:\s*<[^>]*>)?`")
_DOTTED = re.compile(r"[A-Za-z_][\w.]*")
_ARXIV = re.compile(r"(?:arXiv[:\s]+|arxiv\.org/abs/)(\d{4}\.\d{4,5}|[a-z-]+/\d{7})")
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)`'\]])\.(?=\s|$)")


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring.

    Attributes:
        text: the whole, indentation removed.
        purpose: the first sentence, on one line.
        arguments: argument -> its description, on one line.
        sections: title (``Source``, ``Example``...) -> text below it, indentation removed.
    """

    text: str = ""
    purpose: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)

    @property
    def paper(self) -> str | None:
        """The first arXiv number in the section ``Source``, for example ``1604.08859``."""
        found = _ARXIV.search(self.sections.get("Source", ""))
        return found.group(1) if found else None

    @classmethod
    def parse(cls, text: str | None) -> Docstring:
        """Take a docstring apart; None gives an empty one."""
        clean = inspect.cleandoc(text or "")
        sections = _sections(clean)
        arguments: dict[str, str] = {}
        for title in ("Args", "Arguments", "Attributes", "Parameters"):
            arguments = _entries(sections.get(title, "")) | arguments
        return cls(clean, first_sentence(clean), arguments, sections)

    def merged(self, other: Docstring) -> Docstring:
        """This docstring with what only ``other`` has of arguments and sections."""
        return Docstring(
            self.text,
            self.purpose,
            {**other.arguments, **self.arguments},
            {**other.sections, **self.sections},
        )


def first_sentence(text: str) -> str:
    """The first sentence of the first paragraph, references as plain words."""
    paragraph = inspect.cleandoc(text).split("\n\n")[0]
    line = plain(paragraph)
    end = _SENTENCE_END.search(line)
    return line[: end.end()] if end else line.rstrip(":")


def plain(text: str) -> str:
    """Text on one line, with the marks of reStructuredText taken off."""
    line = " ".join(text.split())
    line = _ROLE.sub(lambda match: _last_part(match.group(1)), line)
    return line.replace("``", "").replace("`_", "").replace("`", "")


def _last_part(reference: str) -> str:
    """``torch.nn.ReLU`` -> ``ReLU``; a formula stays as it is."""
    return reference.rpartition(".")[2] if _DOTTED.fullmatch(reference) else reference


def _sections(text: str) -> dict[str, str]:
    """Text below each line of the form ``Title:`` at the left edge."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        match = _SECTION.match(line)
        if match:
            current = found.setdefault(match.group(1), [])
        elif line and not line[0].isspace():
            current = None
        elif current is not None:
            current.append(line)
    return {title: inspect.cleandoc("\n" + "\n".join(body)) for title, body in found.items()}


def _entries(body: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in body.splitlines():
        match = _ENTRY.match(line)
        if match:
            current = found.setdefault(match.group(1), [])
            current.append(match.group(2))
        elif current is not None and line[:1].isspace():
            current.append(line)
        elif line:
            current = None
    return {name: plain(" ".join(lines)) for name, lines in found.items()}
