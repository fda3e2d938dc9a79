"""The settings under which data sets and transforms are checked: one line for each."""

from __future__ import annotations

from conformance_jobs import (
    CHOICES,
    CODES,
    INTERACTIONS,
    LABELS,
    LICENSE,
    LINKS,
    RINGS,
    SEM,
    SHAPES,
    TEXT,
)

from trainwright.testing import IMAGES, Case

DATASETS = [
    *(
        Case("datasets", name, job={"model": {"name": "mlp"}})
        for name in ("breast_cancer", "digits", "synthetic_images", "synthetic_sets", "wine")
    ),
    Case("datasets", "modular_arithmetic", {"modulus": 7}, {"model": {"name": "mlp"}}),
    Case("datasets", "synthetic_classification"),
    Case("datasets", "diabetes", job={"objective": {"name": "mse"}}),
    Case("datasets", "synthetic_regression", job={"objective": {"name": "mse"}}),
    Case("datasets", "graph_links", job=LINKS),
    Case("datasets", "graph_nodes", {"hops": 2}, {"data": {"batch_size": 8}}),
    Case("datasets", "synthetic_conditionals", {"num_points": 12, "num_draws": 8}),
    Case("datasets", "synthetic_dictionary", job=CODES),
    Case(
        "datasets",
        "synthetic_bags",
        {"num_bags": 30},
        {"objective": {"name": "mse", "bind": {"target": "bag_target"}}},
    ),
    Case("datasets", "synthetic_interactions", INTERACTIONS, CHOICES),
    Case(
        "datasets",
        "synthetic_retrieval",
        {"num_labels": 96},
        {**LABELS, "objective": {"name": "decoupled_softmax"}},
    ),
    Case("datasets", "synthetic_rings", {"num_samples": 96, "image_size": 16}, RINGS),
    Case("datasets", "synthetic_sem", {"num_nodes": 6}, SEM),
    Case("datasets", "synthetic_shapes", {"num_samples": 96, "image_size": 8}, SHAPES),
    Case(
        "datasets",
        "random_bags",
        {"dataset": "synthetic_regression"},
        {"objective": {"name": "mse"}},
    ),
    Case("datasets", "text", LICENSE, TEXT),
]

_WHERE = "no dataset has tokens without targets; on files it trains in tests/system/test_small_jobs"

_ON_FILES = {"trains": _WHERE, "resumes": _WHERE}

TRANSFORMS = [
    Case("transforms", "standardize"),
    Case("transforms", "scale", {"factor": 0.5}),
    Case("transforms", "gaussian_noise", {"std": 0.1}),
    Case("transforms", "one_hot"),
    Case("transforms", "flatten", job={**IMAGES, "model": {"name": "mlp"}}),
    Case("transforms", "reshape", {"shape": [2, 4]}),
    Case("transforms", "random_crop", {"padding": 1}, IMAGES),
    Case("transforms", "random_flip", job=IMAGES),
    Case("transforms", "color_jitter", job=IMAGES),
    Case("transforms", "cutout", {"size": 2}, IMAGES),
    Case("transforms", "label_noise", {"rate": 0.2}),
    Case("transforms", "next_token", {"target": "following"}, TEXT, exempt=_ON_FILES),
    Case("transforms", "pixel_dropout"),
    Case(
        "transforms",
        "random_negative",
        job={**CHOICES, "data": {**CHOICES["data"], "transforms": []}},
    ),
    Case(
        "transforms",
        "two_views",
        {"transforms": ["gaussian_noise"]},
        {"model": {"inputs": {"x": "features"}}},
        exempt={"evaluates_the_same": "its views are new ones in each epoch, in evaluation too"},
    ),
]
