"""The settings under which every plugin of the catalogue is checked: one line for each."""

from __future__ import annotations

from trainwright.testing import IMAGES, Case, class_scores

STRATEGIES = [
    Case(
        "strategies",
        "early_stopping",
        {"patience": 2, "min_delta": 10.0},
        exempt={"changes_training": "it only ends training: tests/strategies/test_early_stopping"},
    ),
    Case("strategies", "ghost_batch_norm", {"ghost_batch_size": 5}, IMAGES),
    Case("strategies", "multi_sample_dropout", {"num_samples": 3}, IMAGES),
    Case("strategies", "multiplicative_gradient_noise", {"base_batch_size": 8}),
    Case("strategies", "regime_adaptation", {"base_batch_size": 12}),
    Case("strategies", "sqrt_lr_scaling", {"base_batch_size": 6}),
]

OBJECTIVES = [Case("objectives", "z_loss", inputs=class_scores())]

MODELS = [
    Case("models", "mlp", {"hidden": [17], "dropout": 0.1}),
    Case("models", "convnet", {"width": 4}, IMAGES),
    Case("models", "resnet", {"depth": 8, "width": 4}, IMAGES),
    Case("models", "vit", {"patch": 4, "dim": 12, "depth": 1, "heads": 2}, IMAGES),
]

DATASETS = [
    Case("datasets", name, job={"model": {"name": "mlp"}})
    for name in ("breast_cancer", "digits", "synthetic_classification", "synthetic_images", "wine")
] + [
    Case("datasets", name, job={"objective": "mse"})
    for name in ("diabetes", "synthetic_regression")
]

TRANSFORMS = [
    Case("transforms", "standardize"),
    Case("transforms", "scale", {"factor": 0.5}),
    Case("transforms", "gaussian_noise", {"std": 0.1}),
    Case("transforms", "one_hot"),
    Case("transforms", "flatten", job={**IMAGES, "model": {"name": "mlp"}}),
    Case("transforms", "reshape", {"shape": [2, 4]}),
    Case("transforms", "random_crop", {"padding": 1}, IMAGES),
    Case("transforms", "random_flip", job=IMAGES),
]

SCHEDULES = [
    Case("schedules", "constant"),
    Case("schedules", "cosine", {"warmup": 0.2}),
    Case("schedules", "inverse_sqrt"),
    Case("schedules", "linear"),
    Case("schedules", "one_cycle"),
    Case("schedules", "polynomial", {"power": 2.0}),
    Case("schedules", "step", {"milestones": ["1 epoch", 0.8]}),
]

CASES = [*STRATEGIES, *OBJECTIVES, *MODELS, *DATASETS, *TRANSFORMS, *SCHEDULES]
