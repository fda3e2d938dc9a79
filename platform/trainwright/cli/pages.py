"""A plugin's page, as ``trainwright show`` prints it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from trainwright.cli.terminal import folded
from trainwright.plugins.docstring import Docstring, plain

if TYPE_CHECKING:
    from trainwright.plugins.catalogue import Card, Option

_MATHS = (".. math", ":math:", "\\begin{")
"""Signs of a page written for a browser; only its first sentence reads well in a terminal."""


Part = tuple[int, Text]
"""Columns to indent by, and a paragraph."""


def print_page(console: Console, card: Card) -> None:
    """Print the page; the example is never folded, so that it can be copied."""
    document = Docstring.parse(card.text)
    _print(console, _about(card, document))
    _print(console, [_heading("In a job")])
    console.print(Text(textwrap.indent(card.example, "  ")), soft_wrap=True)
    _print(console, _background(card, document))


def _print(console: Console, parts: Iterable[Part]) -> None:
    for indent, text in parts:
        console.print(folded(console, text, indent), soft_wrap=True)


def _about(card: Card, document: Docstring) -> Iterator[Part]:
    yield 0, Text.assemble((card.name, "bold"), (f"  {card.group}, {card.origin}", "dim"))
    yield 2, Text(card.purpose)
    if not any(sign in card.text for sign in _MATHS):
        for paragraph in _body(card.text):
            yield 0, Text()
            yield 2, Text(plain(paragraph))
    yield from _section("Equation", document.sections.get("Equation"))
    yield from _options(card)
    yield from _section("Needs", _needs(card, document))
    if card.declares:
        yield _heading("Works with")
        yield 2, Text("\n".join(_works_with(card.declares)))


def _background(card: Card, document: Docstring) -> Iterator[Part]:
    yield from _section("Measured", document.sections.get("Measured"))
    yield from _section("Source", card.source)
    yield 0, Text()
    names = f"; also known as {', '.join(card.aliases)}" if card.aliases else ""
    yield 0, Text(f"{card.implementation}{names}", style="dim")


def _heading(title: str) -> Part:
    return 0, Text(f"\n{title}", style="bold")


def _section(title: str, text: str | None) -> Iterator[Part]:
    if text:
        yield _heading(title)
        for paragraph in _reflowed(text):
            yield 2, Text(paragraph)


def _reflowed(text: str) -> list[str]:
    """Lines joined to paragraphs; one ends where a line ends with a full stop or is empty."""
    found: list[str] = []
    open_end = False
    for line in text.splitlines():
        if open_end and line.strip():
            found[-1] = f"{found[-1]} {line.strip()}"
        elif line.strip():
            found.append(line)
        open_end = bool(line.strip()) and not line.rstrip().endswith(".")
    return [plain(paragraph) for paragraph in found]


def _body(text: str) -> list[str]:
    """Paragraphs between the first one and the first section."""
    found = []
    for paragraph in text.split("\n\n")[1:]:
        first = paragraph.splitlines()[0] if paragraph.strip() else ""
        if first.endswith(":") and first[:1].isupper() and len(first.split()) <= 2:
            break
        if first:
            found.append(paragraph)
    return found


def _options(card: Card) -> Iterator[Part]:
    if not card.options:
        return
    yield _heading("Options")
    for option in card.options:
        facts = f"  {option.type}{_default(option)}"
        yield 2, Text.assemble((option.name, "cyan"), (facts, "dim"))
        if option.description:
            yield 6, Text(option.description)
    if card.open:
        yield 2, Text("further options are passed on", style="dim")


def _default(option: Option) -> str:
    if option.derived:
        return "; the data gives it"
    if option.required:
        return "; must be given"
    return f"; default {json.dumps(option.default)}"


def _needs(card: Card, document: Docstring) -> str | None:
    lines = []
    if card.needs:
        lines.append(f"Model outputs or batch columns named {', '.join(card.needs)}")
        lines[0] += f" (optional: {', '.join(card.takes)})." if card.takes else "."
        lines[0] += " Other names: bind: {argument: name}."
    if "Needs" in document.sections:
        lines.append(plain(document.sections["Needs"]))
    return "\n".join(lines) or None


_NEEDS_OF_STRATEGIES = {
    "per_sample": "an objective with a value for each sample",
    "full_gradients": "whole gradients",
    "several_forwards": "several forward passes for each batch",
    "unused_parameters": "leaves some parameters without a gradient",
    "world_size_dependent": "numbers depend on the number of workers",
    "probe": "only measures: training is the same bit for bit",
}


def _works_with(declares: Mapping[str, Any]) -> list[str]:
    lines = [
        f"engines: {_listed(declares['engines'])}",
        f"ZeRO stages: {_listed(declares['zero_stages'])}",
        f"precision: {_listed(declares['precisions'])}",
    ]
    lines += [text for key, text in _NEEDS_OF_STRATEGIES.items() if declares.get(key)]
    lines += [f"not with {name}: {why}" for name, why in declares["conflicts"].items()]
    if declares["neutral"]:
        settings = ", ".join(f"{key}: {value}" for key, value in declares["neutral"].items())
        lines.append(f"changes nothing at {settings}")
    return lines


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values) or "none"
