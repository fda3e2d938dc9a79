"""Libraries of which things are imported when they are called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainwright.plugins.late import Late, Library, stood_in_for

LIBRARY: list[Library] = [{"faraway": {}, "faraway.part": {"near": 3}}, {"nowhere": {}}]


@pytest.fixture(autouse=True)
def faraway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A library with a module and in it a class."""
    (tmp_path / "faraway").mkdir()
    (tmp_path / "faraway" / "__init__.py").write_text("def loud(word):\n    return word.upper()\n")
    (tmp_path / "faraway" / "part.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("faraway", "faraway.part"):
        sys.modules.pop(name, None)


def test_it_is_imported_when_something_is_called() -> None:
    with stood_in_for(LIBRARY):
        import faraway.part as part  # type: ignore[import-not-found]
        from faraway import loud  # type: ignore[import-not-found]
        from faraway.part import Thing
    assert part.near == 3
    assert isinstance(Thing, Late)
    assert not {"faraway", "faraway.part", "nowhere"} & sys.modules.keys()
    assert loud("so") == "SO"
    assert "faraway.part" not in sys.modules
    thing = Thing()
    assert type(thing) is sys.modules["faraway.part"].Thing
    assert isinstance(thing, Thing)
    assert not isinstance(3, Thing)


def test_what_is_not_installed_is_not_there() -> None:
    with stood_in_for(LIBRARY), pytest.raises(ModuleNotFoundError):
        import nowhere  # type: ignore[import-not-found]  # noqa: F401


def test_what_is_there_already_is_left_as_it_is() -> None:
    import faraway

    with stood_in_for(LIBRARY):
        from faraway.part import Thing
    assert not isinstance(Thing, Late)
    assert sys.modules["faraway"] is faraway
