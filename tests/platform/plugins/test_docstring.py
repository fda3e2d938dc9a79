"""Docstrings, as ``trainwright show`` reads them."""

from __future__ import annotations

import pytest

from trainwright.plugins.docstring import Docstring


class TestDocstring:
    def test_parts(self):
        found = Docstring.parse(
            """Says :class:`~torch.nn.ReLU` and ``code`` over
            two lines. And a second sentence.

            A paragraph with a colon: not a section.

            Args:
                a: first (see below):
                    goes on.
                b (float, optional): second.
                **rest: third.

            Raises:
                ValueError: never.

            Source:
                The paper.

            Example:
                >>> 1 + 1
                2
            """
        )
        assert found.purpose == "Says ReLU and code over two lines."
        assert found.arguments == {
            "a": "first (see below): goes on.",
            "b": "second.",
            "rest": "third.",
        }
        assert found.sections["Source"] == "The paper."
        assert found.sections["Example"] == ">>> 1 + 1\n2"

    @pytest.mark.parametrize("text", [None, "", "   "])
    def test_nothing(self, text):
        assert Docstring.parse(text) == Docstring()

    def test_a_number_does_not_end_a_sentence(self):
        text = "Uses 0.5 of it, v1.2 of that. More."
        assert Docstring.parse(text).purpose == "Uses 0.5 of it, v1.2 of that."

    def test_constructor_fills_in(self):
        of_class = Docstring.parse("A class.\n\nArgs:\n    a: from the class.")
        of_init = Docstring.parse("Make it.\n\nArgs:\n    a: no.\n    b: from init.")
        merged = of_class.merged(of_init)
        assert merged.purpose == "A class."
        assert merged.arguments == {"a": "from the class.", "b": "from init."}
