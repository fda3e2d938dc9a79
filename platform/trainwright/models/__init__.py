"""Small models to start with; every other one comes by its import path."""

from __future__ import annotations

from trainwright.models.convnet import ConvNet
from trainwright.models.mlp import MLP
from trainwright.models.resnet import ResNet
from trainwright.models.vit import ViT

__all__ = ["MLP", "ConvNet", "ResNet", "ViT"]
