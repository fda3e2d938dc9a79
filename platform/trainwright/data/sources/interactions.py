"""Generated interactions of users with items, some of them noise."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field

from trainwright.data.random import key, normal, uniform
from trainwright.data.table import Table

_Count = Annotated[int, Field(gt=0)]


def synthetic_interactions(
    num_users: _Count = 300,
    num_items: _Count = 200,
    rank: _Count = 6,
    num_liked: _Count = 30,
    num_train: _Count = 20,
    noise_ratio: Annotated[float, Field(ge=0)] = 0.0,
    part: Literal["train", "ranking"] = "train",
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """Which users chose which items: implicit feedback, with choices that mean nothing.

    Columns ``user`` and ``item`` (tokens of shape (1,)) and ``relevant`` (1 where the user likes
    the item, shape (1,)). A user likes the items of the largest scores, an inner product of normal
    vectors and Gumbel noise. Part ``train`` has some of them, drawn at random, and as noise
    other items, which are not relevant. Part ``ranking``, of the same seed, has each user with
    every item that is not in the other part; relevant are the liked ones that were left out.

    Args:
        num_users: number of users.
        num_items: number of items.
        rank: length of the vectors behind the scores.
        num_liked: items that a user likes.
        num_train: liked items in part ``train``; fewer than ``num_liked``.
        noise_ratio: noise per liked item in part ``train``.
        part: which part.
        seed: decides everything.

    Raises:
        ValueError: so many items cannot be liked, trained on or added as noise.
    """
    num_noise = round(noise_ratio * num_train)
    if not num_train < num_liked or num_liked + num_noise >= num_items:
        raise ValueError(
            f"num_train {num_train} must be below num_liked {num_liked}, and those with the "
            f"{num_noise} noisy ones below num_items {num_items}"
        )
    users = torch.arange(num_users)
    scores = _scores(num_users, num_items, rank, seed)
    liked = torch.zeros(num_users, num_items, dtype=torch.bool)
    liked.scatter_(1, scores.topk(num_liked, dim=1).indices, True)
    lots = uniform(key("interactions", seed, "lots"), users, (num_items,))
    train = torch.zeros_like(liked)
    train.scatter_(1, (lots - 2.0 * liked).topk(num_train, dim=1, largest=False).indices, True)
    noise = (lots + 2.0 * liked).topk(num_noise, dim=1, largest=False).indices
    train.scatter_(1, noise, True)
    shown = train if part == "train" else ~train
    user, item = shown.nonzero(as_tuple=True)
    table = Table.from_arrays(
        {"user": user[:, None], "item": item[:, None], "relevant": liked[user, item]},
        {"user": "tokens", "item": "tokens", "relevant": "value"},
    )
    return table.with_classes({"user": num_users, "item": num_items})


def _scores(num_users: int, num_items: int, rank: int, seed: int) -> torch.Tensor:
    users, items = torch.arange(num_users), torch.arange(num_items)
    first = normal(key("interactions", seed, "users"), users, (1, rank))
    second = normal(key("interactions", seed, "items"), items, (rank,))
    # Summed one by one: a matrix product may round differently on another machine.
    match = (first * second).sum(dim=2)
    u = uniform(key("interactions", seed, "gumbel"), users, (num_items,)) + 2.0**-25
    return 2.0 * match / math.sqrt(rank) - 0.5 * torch.log(-torch.log(u))
