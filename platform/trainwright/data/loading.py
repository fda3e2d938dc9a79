"""From the data section of a job to tables that are ready to train and evaluate on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from trainwright.data.facts import target_column
from trainwright.data.heldout import Array, held_out, held_out_groups, rounded
from trainwright.data.rows import Rows
from trainwright.data.source import Source, load_source
from trainwright.data.table import Column, Table
from trainwright.data.transforms import TransformChain, build_chain
from trainwright.errors import DataError, Problem
from trainwright.job.models import DataSpec, HeldOut

_NAMES = ("test", "validation")  # the test split is taken first: it does not move with validation


@dataclass(frozen=True)
class Splits:
    """The data of a job.

    Attributes:
        train: training samples; ``sample_id`` is the row number in their source.
        validation: samples evaluated during training, if any.
        test: samples evaluated at the end, if any.
        fingerprint: identifies the content of all sources.
        transforms: fitted on ``train``; to be applied to every batch of every split.
        others: the job's named sources, each with its fitted transforms.
    """

    train: Rows
    validation: Rows | None
    test: Rows | None
    fingerprint: str
    transforms: TransformChain
    others: Mapping[str, tuple[Rows, TransformChain]] = field(default_factory=dict)

    @property
    def columns(self) -> Mapping[str, Column]:
        """What the columns of a batch hold after the transforms."""
        return self.transforms.columns


def load_splits(spec: DataSpec, *, base: Path, workers: int, seed: int = 0) -> Splits:
    """Read all sources, split them and fit the transforms; the same on every worker.

    Args:
        spec: the data section of a job that was validated (:mod:`trainwright.job`).
        base: folder of the job file, against which relative paths stand.
        workers: number of training processes; 0 trains in this one.
        seed: the job's seed, for the random numbers of transforms.

    Raises:
        DataError: a source cannot be read as declared, or a split or a transform does not fit it.
        PluginError: there is no such dataset or transform, or its options are wrong.
        JobError: a source in memory with workers.
    """
    chain = build_chain(spec.transforms, base=base, seed=seed)
    source = load_source(spec.source, spec, base, "data.source", workers)
    train, from_it = _split(source.table, spec)
    held = dict(from_it)
    prints = [source.fingerprint]
    for name in _NAMES:
        wanted = getattr(spec, name)
        if wanted is not None and wanted.source is not None:
            other = _load_other(wanted, spec, base, name, workers, train)
            held[name] = other.table
            prints.append(f"{name}={other.fingerprint}")
    _fit(chain, train, "data.transforms")
    others = {name: _load_named(name, spec, base, workers, seed) for name in spec.sources}
    prints += [f"{name}={print_}" for name, (_, _, print_) in others.items()]
    fingerprint = hashlib.sha256("|".join(prints).encode()).hexdigest()[:32]
    named = {name: (table, transforms) for name, (table, transforms, _) in others.items()}
    return Splits(train, held.get("validation"), held.get("test"), fingerprint, chain, named)


def _load_other(
    wanted: HeldOut, spec: DataSpec, base: Path, name: str, workers: int, train: Rows
) -> Source:
    assert wanted.source is not None
    return load_source(wanted.source, spec, base, f"data.{name}.source", workers, like=train)


def _load_named(
    name: str, spec: DataSpec, base: Path, workers: int, seed: int
) -> tuple[Rows, TransformChain, str]:
    """Samples, fitted transforms and fingerprint of one named source."""
    named, path = spec.sources[name], f"data.sources.{name}"
    chain = build_chain(named.transforms, base=base, seed=seed, path=f"{path}.transforms")
    source = load_source(named.source, named, base, f"{path}.source", workers)
    _fit(chain, source.table, f"{path}.transforms")
    return source.table, chain, source.fingerprint


def _fit(chain: TransformChain, table: Rows, path: str) -> None:
    """Fit transforms on a table, of a streamed one on a part of it."""
    if isinstance(table, Table):
        chain.fit(table)
    else:
        from trainwright.data.streaming.fitting import fit_on_sample

        fit_on_sample(chain, table, path)


def _split(table: Rows, spec: DataSpec) -> tuple[Rows, Mapping[str, Rows]]:
    """The training split and the splits held out of the same source."""
    if isinstance(table, Table):
        return _split_rows(table, spec)
    from trainwright.data.streaming.splitting import split_groups

    fractions = {
        name: wanted
        for name in _NAMES
        if (wanted := getattr(spec, name)) is not None and wanted.fraction is not None
    }
    return split_groups(table, fractions)


def _split_rows(table: Table, spec: DataSpec) -> tuple[Table, dict[str, Table]]:
    rows = np.arange(len(table))
    held: dict[str, Table] = {}
    for name in _NAMES:
        wanted: HeldOut | None = getattr(spec, name)
        if wanted is None or wanted.fraction is None:
            continue
        try:
            chosen = _chosen(table, rows, wanted, name)
        except ValueError as error:
            path = f"data.{name}.fraction"
            raise DataError(
                Problem(path=path, message=f"would hold out {error}", got=wanted.fraction)
            ) from error
        held[name] = table.subset(torch.from_numpy(chosen))
        rows = np.setdiff1d(rows, chosen, assume_unique=True)
    return (table.subset(torch.from_numpy(rows)) if held else table), held


def _chosen(table: Table, rows: Array, wanted: HeldOut, name: str) -> Array:
    """The rows of a held-out split: a share of the samples, or of the groups where there are any.

    Raises:
        ValueError: too few rows.
    """
    assert wanted.fraction is not None
    groups = _groups(table, name)
    if groups is None:
        classes = _classes(table, wanted, name)
        size = rounded(len(table), wanted.fraction)
        return held_out(rows, size, wanted.seed, None if classes is None else classes[rows])
    _refuse_stratified_groups(wanted, name)
    size = rounded(len(np.unique(groups)), wanted.fraction)
    return held_out_groups(rows, groups[rows], size, wanted.seed)


def _groups(table: Table, name: str) -> Array | None:
    """The group of each row; None for a table without groups."""
    found = [column for column, about in table.columns.items() if about.kind == "group"]
    if len(found) > 1:
        raise DataError(
            Problem(
                path=f"data.{name}.fraction",
                message="a share would have to keep the groups of several columns whole",
                got=found,
                allowed="one column of type group, or a source of its own for this split",
            )
        )
    return table.tensors[found[0]].numpy() if found else None


def _refuse_stratified_groups(wanted: HeldOut, name: str) -> None:
    if wanted.stratify:
        raise DataError(
            Problem(
                path=f"data.{name}.stratify",
                message="groups are held out whole, which class proportions do not allow",
                got=True,
                mend="remove it, or give this split a source of its own",
            )
        )


def _classes(table: Table, wanted: HeldOut, name: str) -> Array | None:
    """The class of each row, if the split keeps class proportions."""
    if wanted.stratify is False:
        return None
    target = target_column(table.columns)
    about = None if target is None else table.columns[target]
    if target is not None and about is not None and about.kind == "class" and about.shape == ():
        classes: Array = table.tensors[target].numpy()
        return classes
    if wanted.stratify:
        raise DataError(
            Problem(
                path=f"data.{name}.stratify",
                message="keeping class proportions needs a target of type class",
                got=True,
                allowed="a class column named target, or only one class column; or false",
            )
        )
    return None
