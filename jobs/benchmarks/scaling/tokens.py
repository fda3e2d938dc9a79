"""Random tokens, for a language model of which only the speed counts."""

from __future__ import annotations

import torch

from trainwright.data.table import Column, Table


def random_tokens(num_samples: int, length: int, vocabulary: int, seed: int = 0) -> Table:
    """Sequences of random tokens; each target is the token that follows.

    Args:
        num_samples: sequences.
        length: tokens of each.
        vocabulary: different tokens.
        seed: of the numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    stream = torch.randint(vocabulary, (num_samples, length + 1), generator=generator)
    column = Column("tokens", (length,), torch.int64, vocabulary)
    tensors = {"tokens": stream[:, :-1].contiguous(), "target": stream[:, 1:].contiguous()}
    return Table({"tokens": column, "target": column}, tensors)
