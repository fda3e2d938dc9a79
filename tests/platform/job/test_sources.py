from __future__ import annotations

import pytest

from trainwright.job.models import PluginSpec
from trainwright.job.sources import ENDINGS, in_memory, is_file_source, name_of

CASES = {
    "digits": False,
    "package.module.make": False,
    "package.module:make": False,
    "data.py:make": False,
    "sub/data.py:make": False,
    "s3://bucket/a.parquet": True,
    "memory://a": True,
    "a.csv": True,
    "folder/": True,
    "./folder": True,
    "../folder": True,
    "/data/folder": True,
    "~/folder": True,
    "part-*": True,
    "part-?.x": True,
    "zip::/a.zip": True,
    **{f"a{ending}": True for ending in ENDINGS},
}


@pytest.mark.parametrize(("source", "expected"), CASES.items())
def test_files_and_plugins(source, expected):
    assert is_file_source(source) is expected


def test_a_format_says_that_it_is_a_file():
    assert is_file_source("folder", "csv")


def test_the_endings_are_those_that_can_be_read():
    from trainwright.data.files.location import ENDINGS as READABLE

    assert set(ENDINGS) == set(READABLE)


def test_names_and_memory():
    assert name_of("x") == "x"
    assert name_of(PluginSpec(name="y")) == "y"
    assert in_memory("memory://x")
    assert not in_memory("s3://memory")
