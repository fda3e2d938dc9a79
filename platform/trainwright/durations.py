"""Lengths of training as users write them: ``200 steps``, ``1 epoch``, ``0.5 epochs``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

Unit = Literal["epochs", "steps"]

_PATTERN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(epochs?|steps?)\s*$")
_FORM = "a number and a unit: '200 steps', '1 epoch', '0.5 epochs'"


@dataclass(frozen=True)
class Duration:
    """A length of training with its unit; a bare number has no unit and is refused.

    Attributes:
        amount: greater than 0; whole for steps, any fraction for epochs.
        unit: ``epochs`` or ``steps``. A step is one update of the weights.
    """

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``text``.

        Raises:
            ValueError: not of the form number and unit, not positive, or a fraction of a step.
        """
        match = _PATTERN.match(text)
        if match is None:
            raise ValueError(f"not a duration; write {_FORM}")
        amount = float(match.group(1))
        unit: Unit = "epochs" if match.group(2).startswith("epoch") else "steps"
        if amount <= 0:
            raise ValueError("a duration must be greater than 0")
        if unit == "steps" and not amount.is_integer():
            raise ValueError("a step cannot be divided; write a whole number of steps")
        return cls(amount, unit)

    def in_steps(self, steps_per_epoch: int) -> int:
        """The duration as a number of updates, at least 1.

        Fractions of an epoch are rounded to the nearest update (halves up).
        """
        steps = self.amount * (steps_per_epoch if self.unit == "epochs" else 1)
        return max(1, math.floor(steps + 0.5))

    def __str__(self) -> str:
        amount = f"{self.amount:.15g}"
        return f"{amount} {self.unit[:-1] if self.amount == 1 else self.unit}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: Any) -> Duration:
            if isinstance(value, Duration):
                return value
            if not isinstance(value, str):
                raise PydanticCustomError("duration", f"a duration needs a unit; write {_FORM}")
            try:
                return cls.parse(value)
            except ValueError as error:
                raise PydanticCustomError("duration", str(error)) from None

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": r"^\s*\d+(\.\d+)?\s*(epochs?|steps?)\s*$",
            "examples": ["1 epoch", "200 steps"],
        }
