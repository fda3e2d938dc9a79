from __future__ import annotations

import pytest
import torch

from trainwright.data import Table
from trainwright.errors import InputError, JobError, PluginError
from trainwright.federated import Drawn, Indexed
from trainwright.federated.population.partitioning import class_column, make_partition
from trainwright.job.plugin_spec import PluginSpec

TABLE = Table.from_arrays(
    {
        "features": torch.arange(24.0).reshape(12, 2),
        "target": torch.arange(12) % 3,
        "person": torch.arange(12) // 5,
        "picture": torch.full((12, 1, 2, 2), 51, dtype=torch.uint8),
    },
    {"features": "vector", "target": "class", "person": "group", "picture": "image"},
)


def make(spec, num_clients=None, table=TABLE, base=None, seed=0):
    return make_partition(PluginSpec.model_validate(spec), num_clients, table, base, seed)


@pytest.mark.parametrize(
    ("spec", "num_clients", "kind"),
    [
        ("iid", 4, Indexed),
        ({"name": "dirichlet", "alpha": 1.0, "equal_sizes": True}, 4, Indexed),
        ({"name": "shards", "classes_per_client": 2}, 4, Indexed),
        ({"name": "by_column", "column": "person"}, None, Indexed),
        ("quantity_skew", 4, Indexed),
        ({"name": "drawn", "samples_per_client": [1, 3], "alpha": 0.3}, 10**9, Drawn),
    ],
)
def test_every_partition_of_the_catalogue(tmp_path, spec, num_clients, kind):
    partition = make(spec, num_clients, base=tmp_path)
    assert isinstance(partition, kind)
    assert partition.num_clients == (num_clients or 3)
    assert make(spec, num_clients, base=tmp_path).digest() == partition.digest()
    if num_clients:
        assert make(spec, num_clients, base=tmp_path, seed=1).digest() != partition.digest()


def problem(kind: type[InputError], *args, **kwargs):
    with pytest.raises(kind) as raised:
        make(*args, **kwargs)
    (found,) = raised.value.problems
    return found


def test_what_the_table_does_not_allow_is_told_at_the_partition(tmp_path):
    found = problem(JobError, "iid", 13, base=tmp_path)
    assert (found.path, found.got) == ("federation.partition", "iid")
    assert "12 training samples are too few for 13 clients" in found.message
    found = problem(JobError, "iid", base=tmp_path)
    assert "federation.clients" in found.message
    found = problem(JobError, {"name": "by_column", "column": "person"}, 3, base=tmp_path)
    assert "remove federation.clients" in found.message


def test_options_are_told_where_they_stand(tmp_path):
    found = problem(PluginError, {"name": "dirichlet", "alpha": 0}, 3, base=tmp_path)
    assert (found.path, found.got) == ("federation.partition.alpha", 0)
    found = problem(PluginError, "dirichlet", 3, base=tmp_path)
    assert found.path == "federation.partition.alpha"
    found = problem(PluginError, "dirichlett", 3, base=tmp_path)
    assert (found.path, found.nearest) == ("federation.partition.name", "dirichlet")


def test_a_column_that_is_none_is_told_with_those_there_are(tmp_path):
    found = problem(JobError, {"name": "by_column", "column": "persn"}, base=tmp_path)
    assert (found.path, found.got) == ("federation.partition.column", "persn")
    assert found.nearest == "person"
    assert "features, target" in found.allowed


OWN = """
from trainwright.federated import Indexed, Partitioner, Population
import numpy as np

class Halves(Partitioner):
    def __call__(self, population):
        self.image = population.column("picture")
        assert abs(float(self.image.max()) - 0.2) < 1e-6
        assert (population.target, population.num_classes) == ("target", 3)
        return Indexed.of(np.arange(population.num_samples) % 2, 2)

class Fails(Partitioner):
    def __call__(self, population):
        return 1 / 0

class Returns(Partitioner):
    def __call__(self, population):
        return [[0], [1]]
"""


def test_a_partitioner_beside_the_job(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    partition = make("own.py:Halves", 2, base=tmp_path)
    assert partition.rows(1).tolist() == [1, 3, 5, 7, 9, 11]
    found = problem(PluginError, "own.py:Halves", 3, base=tmp_path)
    assert "made 2 clients" in found.message
    found = problem(PluginError, "own.py:Fails", 3, base=tmp_path)
    assert "own.py:14: ZeroDivisionError" in found.message
    found = problem(PluginError, "own.py:Returns", 3, base=tmp_path)
    assert (found.path, found.got) == ("federation.partition", "list")


def test_the_column_of_classes_is_a_target_with_one_class_each():
    assert class_column(TABLE) == "target"
    values = Table.from_arrays({"target": torch.zeros(3)}, {"target": "value"})
    assert class_column(values) is None
    pixels = Table.from_arrays({"target": torch.ones(3, 2, dtype=int)}, {"target": "class"})
    assert class_column(pixels) is None
    without = Table.from_arrays({"features": torch.zeros(3, 2)}, {"features": "vector"})
    assert class_column(without) is None
