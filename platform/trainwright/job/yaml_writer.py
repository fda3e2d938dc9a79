"""Jobs as text: YAML that job files are read from again with the same values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from trainwright.job.yaml_core import CORE, CORE_SCHEMA


class _Dumper(yaml.SafeDumper):
    """Puts quotes around a text that YAML 1.1, or 1.2 as jobs are read, takes for another value.

    ``1e3`` is a text in YAML 1.1, which the library writes, and a number in YAML 1.2.
    """

    def ignore_aliases(self, data: Any) -> bool:
        """Values that occur twice are written twice."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Breaks of lines that are none in YAML 1.2 would be folded outside of double quotes."""
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None
    return dumper.represent_scalar(f"{CORE}str", text, style=style)


_Dumper.add_representer(str, _text)
for _tag, _pattern in CORE_SCHEMA:
    _Dumper.add_implicit_resolver(_tag, _pattern, None)


def yaml_text(values: Mapping[str, Any]) -> str:
    """The text of a job file with these values, in their order."""
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
