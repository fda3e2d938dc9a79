"""The settings under which every plugin of the catalogue is checked: one line for each."""

from __future__ import annotations

from conformance_jobs import (
    ALDR,
    AT_MAXIMUM,
    ATTACK,
    BAGS,
    CHOICES,
    CODES,
    CONDITIONALS,
    DEGREES,
    FULL_BATCH,
    GPT,
    GPT2,
    HELD,
    INTERACTIONS,
    LABELS,
    LICENSE,
    LINKS,
    LOGITS,
    PAIRS,
    RINGS,
    SEM,
    SHAPES,
    TEXT,
    TOWERS,
    VIEWS,
    attacked_scores,
    bags_of_three,
    graph_of_four,
    label_sets,
    logits_of_two,
    masks,
    next_tokens,
    scores_and_features,
    two_scores,
    two_views,
)

from trainwright.testing import IMAGES, Case, class_scores

PACKAGE_OF = {"hf": "transformers", "graph_links": "networkx", "graph_nodes": "networkx"}
"""Plugin -> the package without which it cannot be checked."""

STRATEGIES = [
    Case(
        "strategies",
        "adv_comp_sum",
        ATTACK,
        {**IMAGES, "objective": {"name": "smooth_adv_comp_sum", "options": {"nu": 0.1}}},
    ),
    Case("strategies", "all_negatives", {"chunk_size": 40}, PAIRS),
    Case(
        "strategies",
        "batch_perceptron",
        job=FULL_BATCH,
        exempt={"learns": "it starts at zero, where its loss is smallest"},
    ),
    Case(
        "strategies",
        "ca_calibrator",
        {"source": "held", "epochs": 1, "batch_size": 24, "lr": 0.05},
        HELD,
    ),
    Case("strategies", "calibration_report", {"n_bins": 5}),
    Case("strategies", "betti_matching_error", job=RINGS),
    Case("strategies", "bilevel_hyperparam", {"tune": "norm", "initial": 1.0}),
    Case("strategies", "dag_kkt_probe", job=SEM),
    Case("strategies", "deep_linear_head", {"num_layers": 2, "weight_decay": 0.1}),
    Case("strategies", "done_at", ATTACK, IMAGES),
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
    Case("strategies", "linear_probe"),
    Case(
        "strategies",
        "loss_spike_guard",
        {"warmup": 2, "window": 4},
        exempt={"changes_training": "no loss spikes here: tests/strategies/test_loss_spike_guard"},
    ),
    Case("strategies", "lottery_ticket", {"rounds": 1, "rate": 0.5}, IMAGES),
    Case("strategies", "lv_hba", {"radius": 1.0}),
    Case(
        "strategies",
        "memory_bank",
        {"num_negatives": 40},
        {**VIEWS, "objective": {"name": "contrastive", "options": {"symmetric": False}}},
    ),
    Case("strategies", "minimizability_gap", job=CONDITIONALS),
    Case("strategies", "multi_sample_dropout", {"num_samples": 3}, IMAGES),
    Case("strategies", "multiplicative_gradient_noise", {"base_batch_size": 8}),
    Case("strategies", "mup", job={"optimizer": {"name": "adamw", "options": {"lr": 0.1}}}),
    Case("strategies", "neural_collapse", {"targets": ["identity", "etf"]}),
    Case("strategies", "normalized_lr_gd", job=FULL_BATCH),
    Case("strategies", "ntk_spectrum", {"every": 2, "num_samples": 4}),
    Case("strategies", "output_scale"),
    Case("strategies", "perp_grad"),
    Case("strategies", "personal_loss_overlap", job=CHOICES),
    Case("strategies", "pld_resampling", {"pool_size": 3, "warmup_epochs": 1}, CHOICES),
    Case(
        "strategies",
        "pretraining",
        {
            "objective": {"name": "cross_entropy", "options": {"label_smoothing": 0.1}},
            "epochs": 1,
        },
    ),
    Case("strategies", "regime_adaptation", {"base_batch_size": 12}),
    Case("strategies", "robust_accuracy", ATTACK),
    Case("strategies", "retrieval_probe", {"temperature": 0.1}, PAIRS),
    Case("strategies", "sample_temperature", job=ALDR),
    Case("strategies", "separation", job=FULL_BATCH),
    Case(
        "strategies",
        "sparse_allocation",
        {"allocation": "feature_choice", "k": 2, "warmup": 0.4, "aux": "aux_zipf", "weight": 0.5},
        CODES,
    ),
    Case(
        "strategies",
        "sharpness",
        {"every": 2, "iterations": 3, "preconditioned": True},
        job={"optimizer": {"name": "adamw", "options": {"lr": 0.01}}},
    ),
    Case("strategies", "softmax_collapse"),
    Case(
        "strategies",
        "spherical_output",
        job={"objective": {"name": "z_loss"}, "optimizer": {"name": "sgd", "lr": 0.1}},
    ),
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

OBJECTIVES = [
    Case("objectives", "aggregate_interpolating", {"rho": 0.3}, BAGS, inputs=bags_of_three),
    # Only at the inner maximum is the gradient, which leaves the temperature out, the loss's own.
    Case("objectives", "aldr_kl", AT_MAXIMUM, inputs=class_scores()),
    Case("objectives", "betti_matching", job=RINGS, inputs=masks),
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
    Case("objectives", "comp_sum", {"tau": 1.5, "temperature": 2.0}, inputs=class_scores()),
    Case("objectives", "contrastive", {"kept_fraction": 0.4}, VIEWS, two_views),
    Case("objectives", "correctness_aware_calibration", inputs=class_scores()),
    Case("objectives", "dag_sem_loss", {"l1_weight": 0.1}, SEM, graph_of_four),
    Case("objectives", "decoupled_softmax", job=LABELS, inputs=label_sets),
    Case("objectives", "distillation_kl", job=LOGITS, inputs=logits_of_two),
    # With stop_gradient its gradient is, as it should be, not that of its value.
    Case("objectives", "groco", {"num_negatives": 4, "stop_gradient": False}, VIEWS, two_views),
    Case("objectives", "kl_dro", {"temperature": 0.5, "eta": 1.0}, inputs=class_scores()),
    Case("objectives", "ldr_kl", inputs=class_scores()),
    Case("objectives", "margin_control_ce", inputs=class_scores()),
    Case("objectives", "one_versus_all", job=LABELS, inputs=label_sets),
    Case("objectives", "smooth_adv_comp_sum", {"tau": 0.5}, inputs=attacked_scores),
    Case("objectives", "ufm_mse", inputs=scores_and_features),
    Case("objectives", "stablemax_cross_entropy", {"ignore_index": 4}, inputs=class_scores()),
    Case("objectives", "soft_topk", {"k": 2, "num_iterations": 64}, LABELS, label_sets),
    Case("objectives", "z_loss", inputs=class_scores()),
]

MODELS = [
    Case("models", "mlp", {"hidden": [17], "dropout": 0.1}),
    Case("models", "cell_supernet", {"channels": 4, "cells": 1}, IMAGES),
    Case("models", "convnet", {"width": 4}, IMAGES),
    Case("models", "linear_sem", job=SEM),
    Case("models", "residual_mlp", {"width": 9}),
    Case("models", "residual_supernet", {"edges": 2}),
    Case("models", "resnet", {"depth": 8, "width": 4}, IMAGES),
    Case("models", "bag_of_tokens", {"dim": 8}, DEGREES),
    Case("models", "embedding", job=DEGREES),
    Case("models", "gpt", GPT, TEXT),
    Case("models", "hf", {"config": GPT2}, TEXT),
    Case("models", "sparse_autoencoder", {"num_features": 40}, CODES),
    Case("models", "two_tower", TOWERS, LINKS),
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
