"""Values as YAML that people read and any program takes."""

from __future__ import annotations

import re
from typing import Any

import yaml

_PLAIN = re.compile(
    r"[A-Za-z/][A-Za-z0-9 /._:@,()*-]*|[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|m|k|M|G|T|P)"
)
"""Texts that every reader of YAML takes for texts, whichever version of YAML it knows; but for
``_WORDS`` and what PyYAML itself puts into quotes."""

_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
_LINES = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]*")


class _Dumper(yaml.SafeDumper):
    """Lists stand further in than their names; the same values are written out again."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style: str | None = '"'
    if "\n" in value and _LINES.fullmatch(value):
        style = "|"
    elif _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        style = None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _represent)


def yaml_of(values: Any) -> str:
    """Plain values as one YAML document, in their own order."""
    return yaml.dump(
        values,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=2**20,
    )
