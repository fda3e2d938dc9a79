"""Arithmetic modulo a number: small tables of which a part is to be found from the rest."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional

from trainwright.data.table import Table


def modular_arithmetic(
    modulus: Annotated[int, Field(ge=2)] = 97,
    operation: Literal["add", "subtract", "multiply"] = "add",
) -> Table:
    """All pairs of numbers below a modulus; the class is their sum, difference or product.

    Columns ``features`` (both numbers one-hot, one after the other) and ``target``. Networks
    memorise a part of the table long before they know the rest, if they ever do.

    Args:
        modulus: p; there are p * p samples of 2 p features in p classes.
        operation: on the pair, modulo p.
    """
    first, second = torch.meshgrid(torch.arange(modulus), torch.arange(modulus), indexing="ij")
    a, b = first.flatten(), second.flatten()
    result = {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % modulus
    pairs = torch.cat([functional.one_hot(a, modulus), functional.one_hot(b, modulus)], dim=1)
    return Table.from_arrays(
        {"features": pairs.float(), "target": result}, {"features": "vector", "target": "class"}
    )
