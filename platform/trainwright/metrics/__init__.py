"""Metrics: a thin layer over torchmetrics that finds arguments by name and shapes them."""

from trainwright.metrics.binding import MetricBinding
from trainwright.metrics.building import build_metric, higher_is_better, metric_label

__all__ = ["MetricBinding", "build_metric", "higher_is_better", "metric_label"]
