"""Generated bags and sets of instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch.nn import functional

from trainwright.data.random import bits, integers, key, normal
from trainwright.data.table import SAMPLE_ID, Column, Kind, Table
from trainwright.data.transforms.selection import require_column
from trainwright.plugins.markers import Nested

_Count = Annotated[int, Field(gt=0)]
_Sizes = _Count | tuple[_Count, _Count]
_Seed = Annotated[int, Field(ge=0)]


def synthetic_bags(
    num_bags: _Count = 200,
    bag_size: _Sizes = 4,
    num_features: _Count = 10,
    label: Literal["mean", "any"] = "mean",
    noise: Annotated[float, Field(ge=0)] = 0.5,
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.2,
    seed: _Seed = 0,
) -> Table:
    """Instances in bags of which only the bag's label would be known; one row per instance.

    Columns ``features``, ``target`` (the instance's own label), ``bag_id`` (a group, whose rows
    stay together) and ``bag_target`` (the bag's label, on each of its rows). With label ``mean``
    targets are linear in standard normal features, plus noise, and a bag's is their mean, as in
    learning from aggregate responses. With ``any`` targets are classes: features of class 1 are
    shifted by 2 along one direction, and a bag is of class 1 if any of its instances is, as in
    multiple-instance learning.

    Args:
        num_bags: number of bags.
        bag_size: instances of a bag, or [smallest, largest].
        num_features: length of an instance.
        label: how a bag's label follows from those of its instances.
        noise: standard deviation of the noise on a target of label ``mean``.
        rate: share of instances of class 1 in bags of class 1, with label ``any``; half of the
            bags are of class 1 and have one at least.
        seed: decides everything.

    Raises:
        ValueError: the smallest bag is larger than the largest.
    """
    bag_id = torch.repeat_interleave(torch.arange(num_bags), _sizes(num_bags, bag_size, seed))
    rows = torch.arange(len(bag_id))
    features = normal(key("bags", seed, "features"), rows, (num_features,))
    direction = normal(key("bags", seed, "direction"), torch.arange(1), (num_features,))[0]
    direction = direction / direction.square().sum().sqrt()
    if label == "any":
        target = _witnesses(bag_id, rate, seed)
        features = features + 2.0 * target[:, None] * direction
        bag_target = torch.zeros(num_bags, dtype=torch.int64).index_add(0, bag_id, target) > 0
        kind: Kind = "class"
    else:
        # Summed feature by feature: a matrix product may round differently on another machine.
        target = (features * direction).sum(dim=1)
        target = target + noise * normal(key("bags", seed, "noise"), rows)
        sums = torch.zeros(num_bags).index_add(0, bag_id, target)
        bag_target = sums / bag_id.bincount(minlength=num_bags)
        kind = "value"
    return Table.from_arrays(
        {
            "features": features,
            "target": target,
            "bag_id": bag_id,
            "bag_target": bag_target[bag_id],
        },
        {"features": "vector", "target": kind, "bag_id": "group", "bag_target": kind},
    )


def random_bags(
    dataset: Annotated[Callable[..., Table], Nested("datasets")],
    bag_size: _Count = 4,
    column: str = "target",
    seed: _Seed = 0,
) -> Table:
    """The samples of another data set in random bags of equal size, of which the mean is known.

    Its columns stay. ``bag_id`` (a group, whose rows stay together) and ``bag_target`` (the mean of
    a column over the bag, on each of its rows) are added. What is left over after the last full
    bag is left out.

    Args:
        dataset: the data set that is cut into bags.
        bag_size: samples of a bag.
        column: a column of values, or of classes, whose shares are then the bag's.
        seed: decides which samples share a bag.

    Raises:
        ValueError: there is no such column, or there are too few samples for a bag.
    """
    table = dataset()
    kind = require_column(column, table.columns, ("value", "class")).kind
    num_bags = len(table) // bag_size
    if num_bags == 0:
        raise ValueError(f"bag_size is {bag_size}, and there are {len(table)} samples")
    order = torch.argsort(bits(key("bags", seed, "members"), torch.arange(len(table))))
    tensors = {name: values[order[: num_bags * bag_size]] for name, values in table.tensors.items()}
    columns = dict(table.columns)
    del tensors[SAMPLE_ID], columns[SAMPLE_ID]
    values = tensors[column]
    if kind == "class":
        values = functional.one_hot(values, columns[column].num_classes or -1).float()
    means = values.reshape(num_bags, bag_size, *values.shape[1:]).mean(dim=1)
    tensors["bag_id"] = torch.arange(num_bags).repeat_interleave(bag_size)
    tensors["bag_target"] = means.repeat_interleave(bag_size, dim=0)
    columns["bag_id"] = Column("group", (), torch.int64)
    columns["bag_target"] = Column("value", tuple(means.shape[1:]), torch.float32)
    return Table(columns, tensors)


def synthetic_sets(
    num_samples: _Count = 500,
    set_size: _Sizes = (4, 12),
    num_features: _Count = 8,
    num_classes: Annotated[int, Field(gt=1)] = 3,
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.3,
    seed: _Seed = 0,
) -> Table:
    """Sets of vectors of which a few show the class; one row per set, padded.

    Columns ``features`` (largest set, num_features), ``mask`` (True where a vector stands, the
    others are 0) and ``target``. Vectors are standard normal; about ``rate`` of a set's vectors,
    and one at least, are shifted by 2.5 in the feature that belongs to the set's class.

    Args:
        num_samples: number of sets, with classes in turn.
        set_size: vectors of a set, or [smallest, largest].
        num_features: length of a vector; at least ``num_classes``.
        num_classes: number of classes.
        rate: share of the vectors that show the class.
        seed: decides everything.

    Raises:
        ValueError: fewer features than classes, or the smallest set is larger than the largest.
    """
    if num_features < num_classes:
        raise ValueError(
            f"each of the {num_classes} classes needs a feature of its own, got {num_features}"
        )
    sizes = _sizes(num_samples, set_size, seed)
    target = torch.arange(num_samples) % num_classes
    owner = torch.repeat_interleave(torch.arange(num_samples), sizes)
    place = torch.arange(len(owner)) - (sizes.cumsum(0) - sizes)[owner]
    shown = _shown(owner, rate, seed)
    values = normal(key("sets", seed, "features"), torch.arange(len(owner)), (num_features,))
    values[torch.arange(len(owner)), target[owner]] += 2.5 * shown
    features = torch.zeros(num_samples, int(sizes.max()), num_features)
    features[owner, place] = values
    mask = torch.arange(features.shape[1]) < sizes[:, None]
    return Table.from_arrays(
        {"features": features, "mask": mask, "target": target},
        {"features": "vector", "mask": "mask", "target": "class"},
    )


def _sizes(count: int, size: Any, seed: int) -> torch.Tensor:
    """The size of each bag, int64 of shape (count,)."""
    low, high = (size, size) if isinstance(size, int) else size
    if low > high:
        raise ValueError(f"sizes are [smallest, largest], got [{low}, {high}]")
    return integers(key("bags", seed, "sizes"), torch.arange(count), low, high + 1)


def _witnesses(bag_id: torch.Tensor, rate: float, seed: int) -> torch.Tensor:
    """Class of each instance: in every other bag about ``rate`` of them are of class 1."""
    return torch.where(bag_id % 2 == 1, _shown(bag_id, rate, seed), 0)


def _shown(owner: torch.Tensor, rate: float, seed: int) -> torch.Tensor:
    """0 or 1 for each member of consecutive groups: 1 with probability ``rate``, one at least.

    Args:
        owner: group of each member, 0, 1, 2... without gaps.
        rate: probability.
        seed: decides the draws.
    """
    counts = owner.bincount()
    draws = integers(key("bags", seed, "shown"), torch.arange(len(owner)), 0, 2**24)
    shown = (draws < rate * 2**24).long()
    one = integers(key("bags", seed, "one"), torch.arange(len(counts)), 0, 2**24) % counts
    shown[counts.cumsum(0) - counts + one] = 1
    return shown
