"""Jobs and inputs that the lines of the conformance table share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainwright.testing import IMAGES, class_scores

LICENSE = {"files": str(Path(__file__).resolve().parents[2] / "LICENSE"), "length": 64}

GPT = {"dim": 12, "depth": 1, "heads": 2}

GPT2 = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 12}

TOWERS = {"query": "bag_of_tokens", "dim": 6, "normalize": False}

AT_MAXIMUM = {"temperature": 1.0, "margin_in_q": True, "num_steps": 60, "eps": 0.0}

BAGS = {
    "data": {"source": {"name": "synthetic_bags", "options": {"num_bags": 30}}},
    "objective": {"name": "aggregate_interpolating"},
}

INTERACTIONS = {"num_users": 12, "num_items": 15, "num_liked": 7, "num_train": 6}

CHOICES = {
    "data": {
        "source": {
            "name": "synthetic_interactions",
            "options": {**INTERACTIONS, "noise_ratio": 0.4},
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

SUPERNET = {"model": {"name": "residual_supernet", "options": {"edges": 2}}}

TRUTH = str(Path(__file__).with_name("truth.csv"))

ALDR = {"objective": {"name": "aldr_kl", "options": {"temperature": 1.0}}}

TEXT = {
    "data": {"source": {"name": "text", "options": LICENSE}},
    "model": {"name": "gpt", "options": GPT},
    "objective": {"name": "causal_lm"},
}

SEM = {
    "data": {
        "source": {"name": "synthetic_sem", "options": {"num_samples": 97, "num_nodes": 6}},
    },
    "model": {"name": "linear_sem"},
    "objective": {"name": "dag_sem_loss"},
}

SHAPES = {
    "data": {
        "source": {"name": "synthetic_shapes", "options": {"num_samples": 96, "image_size": 8}}
    },
    "model": {"name": "unet", "options": {"width": 4, "depth": 1}},
}

RINGS: Mapping[str, Any] = {
    "data": {
        "source": {"name": "synthetic_rings", "options": {"num_samples": 96, "image_size": 16}}
    },
    "model": {"name": "unet", "options": {"width": 4, "depth": 1}},
    "objective": {"name": "betti_matching", "options": {"betti_weight": 0.0}},
}
LINKS = {
    "data": {"source": {"name": "graph_links"}, "batch_size": 64},
    "model": {
        "name": "two_tower",
        "options": TOWERS,
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

CONDITIONALS = {
    "data": {
        "source": {
            "name": "synthetic_conditionals",
            "options": {"num_points": 12, "num_draws": 8},
        }
    },
}

DEGREES = {
    "data": LINKS["data"],
    "model": {"inputs": {"tokens": "node_1"}},
    "objective": {"name": "bce_with_logits"},
}

_RETRIEVAL = {"source": {"name": "synthetic_retrieval", "options": {"num_labels": 96}}}

LABELS = {"data": _RETRIEVAL, "model": {"name": "mlp", "inputs": {"x": "query_features"}}}

PAIRS = {
    "data": _RETRIEVAL,
    "model": {
        "name": "two_tower",
        "options": {"query": {"name": "mlp", "hidden": [17]}, "dim": 6},
        "inputs": {"query": "query_features", "document": "document_features"},
    },
    "objective": {"name": "decoupled_softmax", "options": {"in_batch": True}},
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

HELD = {
    **IMAGES,
    "data": {**IMAGES["data"], "sources": {"held": {"source": IMAGES["data"]["source"]}}},
}

ATTACK = {"eps": 0.3, "steps": 2, "clip": None}


def masks(size: int, generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of each pixel of a small image, and which pixels are inside."""
    target = torch.randn(size, 4, 5, generator=generator) > 0
    return {"logits": torch.randn(size, 1, 4, 5, generator=generator)}, {"target": target}


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


def label_sets(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of 9 labels, and up to 3 different positives of each sample; some have none."""
    target = torch.rand(size, 9, generator=generator).argsort(dim=1)[:, :3]
    target[::3, 1:] = -100
    target[::6] = -100
    return {"logits": torch.randn(size, 9, generator=generator)}, {"target": target}


def scores_and_features(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of 5 classes and the 3 features they are made of, and the class of each sample."""
    outputs, batch = class_scores()(size, generator)
    return {**outputs, "embedding": torch.randn(size, 3, generator=generator)}, batch


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


def graph_of_four(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What is said of four nodes, and the weights that say so; the nodes themselves as a column."""
    logits, features = torch.randn(2, size, 4, generator=generator)
    weights = 0.2 * torch.randn(4, 4, generator=generator)
    return {"logits": logits, "weights": weights.repeat(size, 1, 1)}, {"features": features}


def two_scores(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of chosen and of other items as outputs, and users as a column."""
    first, second = torch.randn(2, size, 1, generator=generator)
    return {"score": first, "negative_score": second}, {"user": torch.arange(size)}


def attacked_scores(
    size: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of clean and of perturbed inputs as outputs, and the class of each sample."""
    outputs, batch = class_scores()(size, generator)
    noise = torch.randn(size, 5, generator=generator)
    return {**outputs, "adv_logits": outputs["logits"] + noise}, batch


LOGITS: Mapping[str, Any] = {
    "data": {
        "source": {
            "name": "synthetic_regression",
            "options": {"num_samples": 96, "num_features": 8, "num_outputs": 4},
        }
    },
    "objective": {"name": "mse", "bind": {"teacher_logits": "target"}},
}
