"""Perceptual losses: of a network's features instead of pixels.

Where a loss takes pictures, it takes the network too: a trunk ``(pictures, layers) -> {layer: features}`` with pictures
in [0, 1], as `models.VGG` is. All are finite, with their gradients, for pictures that are equal, plain or black.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import mlx.core as mx

from .pixel import average, mse

Trunk = Callable[[mx.array, Sequence[str]], Mapping[str, mx.array]]
"""A network of features, as `models.VGG` is."""

LPIPS_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""The layers of VGG16 that LPIPS looks at."""
FIDELITY = {"relu1_1": 1 / 64, "relu2_1": 1 / 64, "relu3_1": 1 / 32, "relu4_1": 1 / 32, "relu5_1": 1.0}
"""The layers of VGG19 that UEGAN's fidelity looks at, and their weights."""


def gram(features: mx.array) -> mx.array:
    """Return which features go together in a picture, wherever they are: its style.

    G = F^T F / M, with F the features as a matrix of M pixels by C channels, so that pictures of different sizes can be
    compared.

    Shape: (B, H, W, C) -> (B, C, C), float32
    Reference: Gatys, Ecker and Bethge 2015, equation 3 (there without 1 / M). arXiv:1508.06576
    """
    batch, height, width, channels = features.shape
    matrix = features.astype(mx.float32).reshape(batch, height * width, channels)
    return (matrix.swapaxes(1, 2) / (height * width)) @ matrix


def gram_distance(prediction: mx.array, target: mx.array) -> mx.array:
    """Return the style loss of one layer: sum (G - A)^2 / (4 C^2), the mean over the batch.

    For features of one size this is Gatys' sum (G - A)^2 / (4 C^2 M^2), as `gram` divides by M already.

    Shape: features (B, H, W, C), the target's H and W may differ -> ()
    Reference: Gatys, Ecker and Bethge 2015, equation 4. arXiv:1508.06576
    """
    return average(mx.square(gram(prediction) - gram(target))) / 4


def content_distance(prediction: mx.array, target: mx.array) -> mx.array:
    """Return the mean squared difference of one layer's features.

    Shape: (B, H, W, C), (B, H, W, C) -> ()
    Reference: Johnson, Alahi and Fei-Fei 2016, section 3.2. arXiv:1603.08155
    """
    return mse(prediction, target)


def fidelity(prediction: mx.array, target: mx.array, trunk: Trunk) -> mx.array:
    """Return UEGAN's fidelity loss, which asks whether pictures show the same, whatever their contrast.

    The weighted sum, over `FIDELITY`'s layers, of the mean squared differences of features that each picture's and
    channel's mean and deviation are taken out of.

    Args:
        prediction: Pictures.
        target: Pictures.
        trunk: VGG19.

    Shape: (B, H, W, 3) -> ()
    Range: sRGB, [0, 1]
    Reference: Ni et al. 2020, 'Towards unsupervised deep image enhancement with generative adversarial network'.
        arXiv:2012.15020
    """
    found, wanted = trunk(prediction, tuple(FIDELITY)), trunk(target, tuple(FIDELITY))
    parts = [w * content_distance(_normed(found[name]), _normed(wanted[name])) for name, w in FIDELITY.items()]
    return mx.stack(parts).sum()


def lpips(prediction: mx.array, target: mx.array, trunk: Trunk, heads: Mapping[str, mx.array]) -> mx.array:
    """Return the learned perceptual distance of pictures, LPIPS version 0.1 for VGG16, the mean over the batch.

    d = sum over layers of the mean over pixels of w . (x / |x| - y / |y|)^2, with x and y a pixel's features, |x| their
    Euclidean norm plus 1e-10, and w the layer's head. LPIPS' own shift and scale of pictures in [-1, 1] are ImageNet's
    mean and deviation in [0, 1], so pictures only have to be brought to the trunk's range.

    Args:
        prediction: Pictures.
        target: Pictures.
        trunk: VGG16.
        heads: A weight for each channel of each layer in `LPIPS_LAYERS`, as `checkpoint.lpips_heads` reads them.

    Shape: (B, H, W, 3) -> ()
    Range: sRGB in [-1, 1]; result 0 or more, 0 for equal pictures
    Raises: ValueError for a layer without a head.
    Reference: Zhang et al. 2018, equation 1, whose w is the root of the head's. arXiv:1801.03924
    """
    if missing := [name for name in LPIPS_LAYERS if name not in heads]:
        raise ValueError(f"lpips expects heads for {', '.join(LPIPS_LAYERS)}, got none for {', '.join(missing)}")
    found, wanted = (trunk((pictures + 1) / 2, LPIPS_LAYERS) for pictures in (prediction, target))
    parts = [average(mx.square(_unit(found[name]) - _unit(wanted[name])) @ heads[name]) for name in LPIPS_LAYERS]
    return mx.stack(parts).sum()


def _unit(features: mx.array) -> mx.array:
    """Bring each pixel's features to a length of one; where all are zero they stay so, with a gradient that is finite.

    Shape: (B, H, W, C)
    """
    features = features.astype(mx.float32)
    square = mx.square(features).sum(-1, keepdims=True)
    length = mx.sqrt(mx.where(square > 0, square, 1))
    return features / (length + 1e-10)


def _normed(features: mx.array) -> mx.array:
    """Take each picture's and channel's mean and deviation out, as instance normalisation does.

    Shape: (B, H, W, C)
    """
    features = features.astype(mx.float32)
    rest = features - features.mean((1, 2), keepdims=True)
    return rest * mx.rsqrt(mx.square(rest).mean((1, 2), keepdims=True) + 1e-5)
