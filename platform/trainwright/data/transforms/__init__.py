"""Transforms of batches, and the chain that applies them."""

from __future__ import annotations

from trainwright.data.transforms.build import build_chain
from trainwright.data.transforms.chain import TransformChain
from trainwright.data.transforms.color_jitter import ColorJitter
from trainwright.data.transforms.cutout import Cutout
from trainwright.data.transforms.flatten import Flatten
from trainwright.data.transforms.gaussian_noise import GaussianNoise
from trainwright.data.transforms.label_noise import LabelNoise
from trainwright.data.transforms.next_token import NextToken
from trainwright.data.transforms.one_hot import OneHot
from trainwright.data.transforms.pixel_dropout import PixelDropout
from trainwright.data.transforms.protocol import Batch, Transform, TransformContext
from trainwright.data.transforms.random_crop import RandomCrop
from trainwright.data.transforms.random_flip import RandomFlip
from trainwright.data.transforms.random_negative import RandomNegative
from trainwright.data.transforms.reshape import Reshape
from trainwright.data.transforms.scale import Scale
from trainwright.data.transforms.selection import ColumnTransform
from trainwright.data.transforms.standardize import Standardize
from trainwright.data.transforms.two_views import TwoViews

__all__ = [
    "Batch",
    "ColorJitter",
    "ColumnTransform",
    "Cutout",
    "Flatten",
    "GaussianNoise",
    "LabelNoise",
    "NextToken",
    "OneHot",
    "PixelDropout",
    "RandomCrop",
    "RandomFlip",
    "RandomNegative",
    "Reshape",
    "Scale",
    "Standardize",
    "Transform",
    "TransformChain",
    "TransformContext",
    "TwoViews",
    "build_chain",
]
