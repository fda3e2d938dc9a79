"""The partition that a job asks for, made of its training table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from trainwright.data.facts import target_column
from trainwright.data.table import Table, as_given
from trainwright.errors import InputError, JobError, PluginError, Problem
from trainwright.federated.partition import Partition, Population
from trainwright.job.plugin_spec import PluginSpec
from trainwright.plugins.causes import import_cause
from trainwright.suggest import nearest, one_of
from trainwright.training.plugins import build_plugin

PATH = "federation.partition"
"""Where the partition stands in a job."""


def make_partition(
    spec: PluginSpec, num_clients: int | None, table: Table, base: Path, seed: int
) -> Partition:
    """Divide the training table among clients, as the job says.

    Args:
        spec: the partitioner and its options.
        num_clients: ``federation.clients``.
        table: the training samples.
        base: folder of the job file.
        seed: the job's.

    Raises:
        PluginError: there is no such partitioner, its options are wrong, or it fails.
        JobError: the table cannot be divided so.
    """
    partitioner = build_plugin("partitioners", spec, base, PATH)
    try:
        partition = partitioner(population_of(spec, num_clients, table, seed))
    except InputError:
        raise
    except ValueError as error:
        raise JobError(Problem(PATH, str(error), got=_written(spec))) from error
    except Exception as error:  # a partitioner may be the user's code and raise anything
        message = f"{spec.name} fails: {import_cause(error)}"
        raise PluginError(Problem(PATH, message, got=_written(spec))) from error
    if not isinstance(partition, Partition):
        raise PluginError(
            Problem(
                PATH,
                f"{spec.name} does not return a partition",
                got=type(partition).__name__,
                allowed="a trainwright.federated.Partition, for example Indexed or Drawn",
            )
        )
    if num_clients not in (None, partition.num_clients):
        message = f"{spec.name} made {partition.num_clients} clients, and not federation.clients"
        raise PluginError(Problem(PATH, message, got=num_clients))
    return partition


def population_of(spec: PluginSpec, num_clients: int | None, table: Table, seed: int) -> Population:
    """What the partitioner is given."""
    target = class_column(table)
    return Population(
        num_clients=num_clients,
        num_samples=len(table),
        seed=seed,
        column=_columns(spec, table),
        target=target,
        num_classes=0 if target is None else table.columns[target].num_classes or 0,
    )


def class_column(table: Table) -> str | None:
    """The target, where it is one class for each sample."""
    target = target_column(table.columns)
    if target is None:
        return None
    about = table.columns[target]
    return target if about.kind == "class" and about.shape == () else None


def _columns(spec: PluginSpec, table: Table) -> Callable[[str], Tensor]:
    """Gives a column of the table by its name; what is none is told where the job names it."""

    def column(name: str) -> Tensor:
        if name in table.columns:
            return as_given(table.columns[name], table.tensors[name])
        options = [option for option, value in spec.options.items() if value == name]
        raise JobError(
            Problem(
                f"{PATH}.{options[0]}" if options else PATH,
                "there is no such column in the training data",
                got=name,
                allowed=one_of(table.columns),
                nearest=nearest(name, table.columns),
            )
        )

    return column


def _written(spec: PluginSpec) -> str | dict[str, object]:
    """The partition as a job has it."""
    return {"name": spec.name, **spec.options} if spec.options else spec.name
