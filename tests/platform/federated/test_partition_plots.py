from __future__ import annotations

import io

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainwright.data import Table
from trainwright.federated import Drawn, Indexed
from trainwright.federated.population.partition_plots import (
    class_counts,
    partition_figure,
    plot_partition,
    spread,
)
from trainwright.storage import Folder


@given(st.integers(1, 10**9), st.integers(2, 60))
def test_clients_that_are_shown_lie_evenly_from_first_to_last(num_clients, most):
    shown = spread(num_clients, most)
    assert len(shown) == min(num_clients, most)
    assert (shown[0], shown[-1]) == (0, num_clients - 1)
    steps = np.diff(shown)
    assert len(steps) == 0 or 1 <= steps.min() <= steps.max() <= steps.min() + 1


def test_rows_are_counted_by_class_and_client():
    partition = Indexed(np.array([0, 1, 2, 5, 3, 4]), np.array([0, 1, 4, 6]))
    labels = np.array([2, 0, 0, 1, 1, 2])
    counts = class_counts(partition, labels, 4, np.array([0, 1, 2]))
    assert counts.tolist() == [[0, 2, 0], [0, 0, 2], [1, 1, 0], [0, 0, 0]]


def table(num_classes: int | None) -> Table:
    rows = torch.arange(400)
    if num_classes is None:
        return Table.from_arrays({"target": rows.float()}, {"target": "value"})
    return Table.from_arrays({"target": rows % num_classes}, {"target": "class"})


SEVENTHS = Indexed.of(np.arange(400) % 7, 7)
POOL = Indexed.of(np.zeros(400, dtype=np.int64), 1)


def heights(axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches]


def test_few_classes_are_bars_one_upon_another():
    left, right = partition_figure("run", SEVENTHS, table(4)).axes
    counts = class_counts(SEVENTHS, np.arange(400) % 4, 4, np.arange(7))
    assert heights(left) == counts.flatten().tolist()
    below = np.cumsum(counts, axis=0) - counts
    assert [bar.get_y() for bar in left.patches] == below.flatten().tolist()
    assert len({bar.get_facecolor() for bar in left.patches}) == 4
    assert left.get_xlabel() == "client"
    assert sum(heights(right)) == 7
    tallest = max(right.patches, key=lambda bar: bar.get_height())
    assert 50 <= tallest.get_x() + tallest.get_width() <= 60  # sizes are 57 and 58


def test_many_classes_are_a_map():
    left, right, bar = partition_figure("run", SEVENTHS, table(40)).axes
    (map_,) = left.collections
    counts = class_counts(SEVENTHS, np.arange(400) % 40, 40, np.arange(7))
    assert np.array_equal(map_.get_array().filled(0).reshape(counts.shape), counts)
    assert bar.get_ylabel() == "samples"
    assert sum(heights(right)) == 7


def test_without_classes_there_are_sizes_alone():
    left, _ = partition_figure("run", SEVENTHS, table(None)).axes
    assert heights(left) == [58.0] + [57.0] * 6


def test_of_many_clients_some_are_shown_which_is_said():
    left, right = partition_figure("run", Drawn(10**9, 0, POOL, (1, 9)), table(4)).axes
    assert left.get_xlabel() == "client (50 of 1,000,000,000 are shown)"
    assert left.get_xticklabels()[1].get_text() == "204,081,632"
    assert len(left.patches) == 4 * 50
    assert right.get_ylabel() == "clients (100,000 of 1,000,000,000 are shown)"
    assert sum(heights(right)) == 100_000


def test_the_picture_in_the_run_s_folder(tmp_path):
    folder = Folder(str(tmp_path))
    name = plot_partition(folder, SEVENTHS, table(4))
    picture = np.asarray(Image.open(io.BytesIO(folder.read_bytes(name))).convert("L"))
    assert picture.shape == (572, 1352)
    assert (picture < 200).mean() > 0.1
