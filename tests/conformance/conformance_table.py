"""The settings under which every plugin of the catalogue is checked: one line for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainwright.testing import IMAGES, Case, class_scores

PACKAGE_OF = {"hf": "transformers", "graph_links": "networkx", "graph_nodes": "networkx"}
"""Plugin -> the package without which it cannot be checked."""

_TEXT = {"files": str(Path(__file__).resolve().parents[2] / "LICENSE"), "length": 64}
_GPT = {"dim": 12, "depth": 1, "heads": 2}
_GPT2 = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 12}
_TOWERS = {"query": "bag_of_tokens", "dim": 6, "normalize": False}
_AT_MAXIMUM = {"temperature": 1.0, "margin_in_q": True, "num_steps": 60, "eps": 0.0}

BAGS = {
    "data": {"source": {"name": "synthetic_bags", "options": {"num_bags": 30}}},
    "objective": {"name": "aggregate_interpolating"},
}
_INTERACTIONS = {"num_users": 12, "num_items": 15, "num_liked": 7, "num_train": 6}
CHOICES = {
    "data": {
        "source": {
            "name": "synthetic_interactions",
            "options": {**_INTERACTIONS, "noise_ratio": 0.4},
        },
        "transforms": ["random_negative"],
    },
    "model": {
        "name": "two_tower",
        "options": {"query": "embedding", "document": "embedding", "dim": 6, "normalize": False},
        "inputs": {"query": "user", "document": "item"},
    },
    "objective": {"name": "bpr"},
}
ALDR = {"objective": {"name": "aldr_kl", "options": {"temperature": 1.0}}}
TEXT = {
    "data": {"source": {"name": "text", "options": _TEXT}},
    "model": {"name": "gpt", "options": _GPT},
    "objective": {"name": "causal_lm"},
}
SHAPES = {
    "data": {
        "source": {"name": "synthetic_shapes", "options": {"num_samples": 96, "image_size": 8}}
    },
    "model": {"name": "unet", "options": {"width": 4, "depth": 1}},
}
LINKS = {
    "data": {"source": {"name": "graph_links"}, "batch_size": 64},
    "model": {
        "name": "two_tower",
        "options": _TOWERS,
        "inputs": {"query": "node_1", "document": "node_2"},
    },
    "objective": {"name": "bce_with_logits", "bind": {"input": "score"}},
}
VIEWS = {
    "data": {"transforms": [{"name": "two_views", "transforms": ["gaussian_noise"]}]},
    "model": {
        "name": "two_tower",
        "options": {"query": {"name": "mlp", "hidden": [17]}, "dim": 6},
        "inputs": {"query": "view_1", "document": "view_2"},
    },
}
CODES = {
    "data": {"source": {"name": "synthetic_dictionary", "options": {"num_samples": 96}}},
    "model": {"name": "sparse_autoencoder", "options": {"num_features": 40}},
    "objective": {"name": "mse", "bind": {"input": "reconstruction", "target": "features"}},
}
DEGREES = {
    "data": LINKS["data"],
    "model": {"inputs": {"tokens": "node_1"}},
    "objective": {"name": "bce_with_logits"},
}

FULL_BATCH = {
    "data": {
        "source": {
            "name": "synthetic_classification",
            "options": {"num_samples": 96, "num_features": 8, "num_classes": 2, "noise": 1.0},
        },
        "batch_size": 72,
    },
    "model": {"name": "mlp", "options": {"hidden": []}},
    "optimizer": {"name": "sgd", "options": {"lr": 0.1}},
    "training": {"epochs": 9},
}


def next_tokens(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of 5 tokens at 4 places, and the tokens that follow, some of which do not count."""
    target = torch.randint(5, (size, 4), generator=generator)
    target[::3, 2:] = -100
    return {"logits": torch.randn(size, 4, 5, generator=generator)}, {"target": target}


def two_views(size: int, generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Embeddings of two views of each sample."""
    query = torch.randn(size, 6, generator=generator)
    noise = torch.randn(size, 6, generator=generator)
    return {"query": query, "document": query + 0.5 * noise}, {}


def scores_and_features(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of 5 classes and the 3 features they are made of, and the class of each sample."""
    outputs, batch = class_scores()(size, generator)
    return {**outputs, "embedding": torch.randn(size, 3, generator=generator)}, batch


STRATEGIES = [
    Case(
        "strategies",
        "batch_perceptron",
        job=FULL_BATCH,
        exempt={"learns": "it starts at zero, where its loss is smallest"},
    ),
    Case("strategies", "deep_linear_head", {"num_layers": 2, "weight_decay": 0.1}),
    Case(
        "strategies",
        "dual_head_distillation",
        {
            "teacher": {"name": "mlp", "options": {"hidden": [24]}},
            "teacher_epochs": 3,
            "alignment": "all",
        },
    ),
    Case(
        "strategies",
        "early_stopping",
        {"patience": 2, "min_delta": 10.0},
        exempt={"changes_training": "it only ends training: tests/strategies/test_early_stopping"},
    ),
    Case(
        "strategies",
        "ema",
        {"decay": 0.9},
        IMAGES,
    ),
    Case("strategies", "ghost_batch_norm", {"ghost_batch_size": 5}, IMAGES),
    Case("strategies", "knn_probe", {"num_neighbors": 5}),
    Case("strategies", "label_dp_aggregates", job=BAGS),
    Case("strategies", "lottery_ticket", {"rounds": 1, "rate": 0.5}, IMAGES),
    Case("strategies", "multi_sample_dropout", {"num_samples": 3}, IMAGES),
    Case("strategies", "multiplicative_gradient_noise", {"base_batch_size": 8}),
    Case("strategies", "neural_collapse", {"targets": ["identity", "etf"]}),
    Case("strategies", "normalized_lr_gd", job=FULL_BATCH),
    Case("strategies", "output_scale"),
    Case("strategies", "perp_grad"),
    Case("strategies", "personal_loss_overlap", job=CHOICES),
    Case("strategies", "pld_resampling", {"pool_size": 3, "warmup_epochs": 1}, CHOICES),
    Case("strategies", "regime_adaptation", {"base_batch_size": 12}),
    Case("strategies", "sample_temperature", job=ALDR),
    Case("strategies", "separation", job=FULL_BATCH),
    Case(
        "strategies",
        "sparse_allocation",
        {"allocation": "feature_choice", "k": 2, "warmup": 0.4, "aux": "aux_zipf", "weight": 0.5},
        CODES,
    ),
    Case("strategies", "softmax_collapse"),
    Case("strategies", "sqrt_lr_scaling", {"base_batch_size": 6}),
    Case(
        "strategies",
        "swa",
        {"start": 0.3, "every": "2 steps"},
        IMAGES,
    ),
    Case(
        "strategies",
        "uniformity_tolerance",
        job={**VIEWS, "objective": {"name": "contrastive"}},
    ),
    Case("strategies", "weight_distance"),
]


def logits_of_two(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits of a student as an output, and those of its teacher as a column."""
    student, teacher = torch.randn(2, size, 5, generator=generator)
    return {"logits": student}, {"teacher_logits": teacher}


def bags_of_three(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A prediction for each instance as an output; its bag and the bag's response as columns."""
    prediction, response = torch.randn(2, size, generator=generator)
    bag_id = torch.arange(size) // 3
    return {"prediction": prediction}, {"bag_id": bag_id, "bag_target": response[bag_id]}


def two_scores(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of chosen and of other items as outputs, and users as a column."""
    first, second = torch.randn(2, size, 1, generator=generator)
    return {"score": first, "negative_score": second}, {"user": torch.arange(size)}


LOGITS: Mapping[str, Any] = {
    "data": {
        "source": {
            "name": "synthetic_regression",
            "options": {"num_samples": 96, "num_features": 8, "num_outputs": 4},
        }
    },
    "objective": {"name": "mse", "bind": {"teacher_logits": "target"}},
}

OBJECTIVES = [
    Case("objectives", "aggregate_interpolating", {"rho": 0.3}, BAGS, inputs=bags_of_three),
    # Only at the inner maximum is the gradient, which leaves the temperature out, the loss's own.
    Case("objectives", "aldr_kl", _AT_MAXIMUM, inputs=class_scores()),
    Case("objectives", "binary_kl", job=LOGITS, inputs=logits_of_two),
    Case("objectives", "binary_kl_norm", job=LOGITS, inputs=logits_of_two),
    Case("objectives", "bpr", job=CHOICES, inputs=two_scores),
    Case(
        "objectives",
        "causal_lm",
        job=TEXT,
        inputs=next_tokens,
        exempt={"averages_its_samples": "it is a mean over tokens, and samples differ in length"},
    ),
    Case("objectives", "contrastive", {"kept_fraction": 0.4}, VIEWS, two_views),
    Case("objectives", "distillation_kl", job=LOGITS, inputs=logits_of_two),
    Case("objectives", "ldr_kl", inputs=class_scores()),
    Case("objectives", "ufm_mse", inputs=scores_and_features),
    Case("objectives", "stablemax_cross_entropy", {"ignore_index": 4}, inputs=class_scores()),
    # With stop_gradient its gradient is, as it should be, not that of its value.
    Case("objectives", "groco", {"num_negatives": 4, "stop_gradient": False}, VIEWS, two_views),
    Case("objectives", "z_loss", inputs=class_scores()),
]

MODELS = [
    Case("models", "mlp", {"hidden": [17], "dropout": 0.1}),
    Case("models", "convnet", {"width": 4}, IMAGES),
    Case("models", "resnet", {"depth": 8, "width": 4}, IMAGES),
    Case("models", "bag_of_tokens", {"dim": 8}, DEGREES),
    Case("models", "embedding", job=DEGREES),
    Case("models", "gpt", _GPT, TEXT),
    Case("models", "hf", {"config": _GPT2}, TEXT),
    Case("models", "sparse_autoencoder", {"num_features": 40}, CODES),
    Case("models", "two_tower", _TOWERS, LINKS),
    Case("models", "unet", {"width": 4, "depth": 1}, SHAPES),
    Case("models", "vit", {"patch": 4, "dim": 12, "depth": 1, "heads": 2}, IMAGES),
]

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
    Case("datasets", "synthetic_dictionary", job=CODES),
    Case(
        "datasets",
        "synthetic_bags",
        {"num_bags": 30},
        {"objective": {"name": "mse", "bind": {"target": "bag_target"}}},
    ),
    Case("datasets", "synthetic_interactions", _INTERACTIONS, CHOICES),
    Case("datasets", "synthetic_shapes", {"num_samples": 96, "image_size": 8}, SHAPES),
    Case(
        "datasets",
        "random_bags",
        {"dataset": "synthetic_regression"},
        {"objective": {"name": "mse"}},
    ),
    Case("datasets", "text", _TEXT, TEXT),
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
