"""Small models to start with; every other one comes by its import path."""

from __future__ import annotations

from trainwright.models.bag_of_tokens import BagOfTokens
from trainwright.models.convnet import ConvNet
from trainwright.models.embedding import Embedding
from trainwright.models.gpt import GPT
from trainwright.models.linear_sem import LinearSem
from trainwright.models.mlp import MLP
from trainwright.models.residual_mlp import ResidualMLP
from trainwright.models.resnet import ResNet
from trainwright.models.sparse_autoencoder import SparseAutoencoder
from trainwright.models.two_tower import TwoTower
from trainwright.models.unet import UNet
from trainwright.models.vit import ViT

__all__ = [
    "GPT",
    "MLP",
    "BagOfTokens",
    "ConvNet",
    "Embedding",
    "LinearSem",
    "ResNet",
    "ResidualMLP",
    "SparseAutoencoder",
    "TwoTower",
    "UNet",
    "ViT",
]
