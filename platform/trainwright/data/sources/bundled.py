"""Real data sets that come with scikit-learn: no network, no download.

scikit-learn takes a second to import, so it is imported only where one of them is loaded; for the
digits, on which first jobs train, not even there.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from trainwright.data.table import Table


def digits(
    classes: list[Annotated[int, Field(ge=0, le=9)]] | None = None,
    start: Annotated[int, Field(ge=0)] = 0,
    step: Annotated[int, Field(gt=0)] = 1,
    per_class: list[Annotated[int, Field(gt=0)]] | None = None,
) -> Table:
    """1797 images of handwritten digits, 1 x 8 x 8 in [0, 1], in 10 classes.

    Columns ``image`` and ``target``. Test part of the UCI "Optical Recognition of Handwritten
    Digits" data (Alpaydin and Kaynak, 1998, doi:10.24432/C50P49).

    Args:
        classes: take the images of these digits alone, at least two; they become the classes
            0, 1, ... in this order.
        start: first of these images to take.
        step: take every ``step``-th from there on, so that another source can have the others.
        per_class: take at most so many of those of each class, in the order of the classes.

    Raises:
        ValueError: fewer than two digits are named, or one twice, or ``per_class`` is not as long.
    """
    rows = _digits()
    images = (rows[:, :-1].reshape(-1, 1, 8, 8) / 16.0).astype(np.float32)
    target = rows[:, -1].astype(np.int64)
    if classes is not None:
        if len(set(classes)) < max(2, len(classes)):
            raise ValueError(f"classes must name two digits or more, each once, got {classes}")
        kept = np.isin(target, classes)
        place = np.array([classes.index(d) if d in classes else -1 for d in range(10)])
        images, target = images[kept], place[target[kept]]
    part = np.arange(start, len(target), step)
    if per_class is not None:
        part = part[_first_of_each(target[part], per_class, len(classes or range(10)))]
    return Table.from_arrays(
        {"image": images[part], "target": target[part]}, {"image": "image", "target": "class"}
    )


def _digits() -> Any:
    """What scikit-learn reads them from, of shape (1797, 65): 64 pixels from 0 to 16, the digit."""
    installed = importlib.util.find_spec("sklearn")
    if installed is not None and installed.origin is not None:
        file = Path(installed.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    data = load_digits()
    return np.column_stack([data.data, data.target])


def _first_of_each(target: Any, per_class: list[int], num_classes: int) -> Any:
    """The rows of the first samples of every class."""
    if len(per_class) != num_classes:
        raise ValueError(
            f"per_class must hold one number for each of {num_classes} classes, got {per_class}"
        )
    rows = [np.flatnonzero(target == k)[:most] for k, most in enumerate(per_class)]
    return np.sort(np.concatenate(rows))


def breast_cancer() -> Table:
    """569 tumours described by 30 features; the class is malignant or benign.

    Columns ``features`` (as measured: standardize them) and ``target``.

    Source:
        UCI, "Breast Cancer Wisconsin (Diagnostic)", Wolberg and others, 1995,
        doi:10.24432/C5DW2B.
    """
    from sklearn.datasets import load_breast_cancer

    return _classes(load_breast_cancer())


def wine() -> Table:
    """178 wines described by 13 chemical features, from 3 growers.

    Columns ``features`` (as measured: standardize them) and ``target``.

    Source:
        UCI, "Wine", Aeberhard and Forina, 1991, doi:10.24432/C5PC7J.
    """
    from sklearn.datasets import load_wine

    return _classes(load_wine())


def diabetes() -> Table:
    """442 patients described by 10 features; the value is the disease's progress in a year.

    Columns ``features`` (centred and scaled by scikit-learn) and ``target`` (25 to 346, shape
    (1,)).

    Source:
        B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least Angle Regression", 2004,
        arXiv math/0406456.
    """
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    return Table.from_arrays(
        {"features": data.data, "target": data.target}, {"features": "vector", "target": "value"}
    )


def _classes(data: Any) -> Table:
    return Table.from_arrays(
        {"features": data.data, "target": data.target},
        {"features": "vector", "target": "class"},
        labels={"target": [str(name) for name in data.target_names]},
    )
