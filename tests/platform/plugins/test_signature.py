"""What a constructor's annotations are resolved to, asked once and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainwright.plugins.signature import parameters_of, resolved_hints

if TYPE_CHECKING:
    from decimal import Decimal


class Options:
    """Has an annotation that only a type checker can resolve."""

    def __init__(self, size: int, rate: Decimal, name: str = "a") -> None: ...


class Maker:
    """A factory that is an object, equal to others and without a hash."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Maker)

    def __call__(self, size: int) -> int:
        """Something made."""
        return size


def found(factory: Any) -> list[tuple[str, Any]]:
    return [(item.name, item.annotation) for item in parameters_of(factory)]


def test_the_second_answer_is_the_first() -> None:
    expected = [("size", int), ("rate", Any), ("name", str)]
    assert found(Options) == found(Options) == expected


def test_an_answer_that_is_changed_changes_no_other() -> None:
    resolved_hints(Options.__init__).clear()
    assert found(Options)[0] == ("size", int)


def test_functions_of_one_name_are_kept_apart() -> None:
    def make(kind: type) -> Any:
        def build(value: Any) -> None: ...

        build.__annotations__["value"] = kind
        return build

    assert [found(make(kind)) for kind in (int, str)] == [[("value", int)], [("value", str)]]


def test_a_factory_without_a_hash_is_asked_anew() -> None:
    assert [name for name, _ in found(Maker())] == ["size"]
