"""Film or digital? What a judge network says of a picture, patch by patch, and a map of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import mlx.core as mx
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .. import images
from ..images.pixels import check_shape, check_values, with_bits
from ..models import ResNet

PATCH = 224
"""Side of the patches that a picture is judged by, in pixels."""
FILM_LIKE = 0.5
"""Probability of film above which a patch counts as film-like."""
_BATCH = 8  # patches; one layer's columns of 224 x 224 take 230 MB on a CPU
_LONGEST, _NARROWEST = 1600, 320
_BAR, _TEXT, _GAP = 14, 13, 8
# Okabe and Ito's blue and vermilion, which people with any colour vision can tell apart, and between them white.
_COLOURS = np.array([[0, 114, 178], [240, 240, 240], [213, 94, 0]], np.float32)


@dataclass(frozen=True, eq=False)
class Judgement:
    """What one network says of a picture.

    Args:
        logits: Of "this is film", by patch. Shape (rows, columns)
        tops: First row of each row of patches, in pixels. Shape (rows,)
        lefts: First column of each column of patches. Shape (columns,)
        patch: Height and width of a patch.
        size: Height and width of the picture.
    """

    logits: np.ndarray
    tops: np.ndarray
    lefts: np.ndarray
    patch: tuple[int, int]
    size: tuple[int, int]

    @property
    def probability(self) -> np.ndarray:
        """Probability of film by patch, as the network has it: 1 / (1 + exp(-logit)). Shape (rows, columns)."""
        return 0.5 + 0.5 * np.tanh(self.logits / 2)

    @property
    def film_share(self) -> float:
        """Share of the patches that are film-like."""
        return float((self.probability > FILM_LIKE).mean())

    @property
    def mean_logit(self) -> float:
        """Mean of the patches' logits: above 0 the film-like ones prevail."""
        return float(self.logits.mean())

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON can hold it."""
        return {
            "film_share": self.film_share,
            "mean_logit": self.mean_logit,
            "probability": self.probability.tolist(),
            "tops": self.tops.tolist(),
            "lefts": self.lefts.tolist(),
            "patch": list(self.patch),
            "size": list(self.size),
        }

    def heat_map(self, picture: np.ndarray | str | Path) -> np.ndarray:
        """Lay the probabilities over the picture in colour, with a scale below.

        Where patches overlap, their mean. The picture is grey, and at most 1600 pixels long; a narrow one gets a
        margin, so that the scale has room.

        Args:
            picture: What was judged.

        Shape: -> (h, w, 3), uint8
        Raises: ValueError for a picture of another size.
        """
        pixels = _eight_bits(picture)
        if pixels.shape[:2] != self.size:
            raise ValueError(f"heat_map expects the picture that was judged, {self.size}, got {pixels.shape[:2]}")
        share = min(1.0, _LONGEST / max(self.size))
        height, width = (max(1, round(length * share)) for length in self.size)
        small = Image.fromarray(pixels).convert("L").resize((width, height), Image.Resampling.BOX)
        colour = _coloured(self._over_pixels(height, width))
        shown = np.rint((np.asarray(small, np.float32)[..., None] + colour) / 2).astype(np.uint8)
        sheet = Image.new("RGB", (max(width, _NARROWEST), height + _scale_height()), "white")
        sheet.paste(Image.fromarray(shown), ((sheet.width - width) // 2, 0))
        _draw_scale(sheet, height, f"{self.film_share:.0%} of {self.logits.size} film-like")
        return np.asarray(sheet)

    def _over_pixels(self, height: int, width: int) -> np.ndarray:
        """Spread the patches' probabilities over a picture of another size, (height, width)."""
        down = _cover(self.tops, self.patch[0], self.size[0], height)
        across = _cover(self.lefts, self.patch[1], self.size[1], width)
        return down.T @ self.probability.astype(np.float32) @ across


def judge(
    picture: np.ndarray | str | Path, network: ResNet, *, patch: int = PATCH, stride: int | None = None
) -> Judgement:
    """Ask a network of every patch of a picture whether it is film.

    Patches reach from edge to edge, at even distances of ``stride`` pixels or a little less. A picture that is smaller
    than a patch is one, whole. It is judged in 8 bits, as networks learn, in memory that does not grow with it.

    Args:
        picture: Pixels (H, W, 3), uint8, uint16 or float in [0, 1]; or a file.
        network: What `checkpoint.judge` loads.
        patch: Side of a patch.
        stride: From patch to patch; by default the patch itself, so that none overlap but at the last edge.

    Raises: ValueError for other arguments, or a picture too small for the network; `images.ImageFileError` for a file
        that cannot be read.
    """
    stride = checked_stride(patch, stride)
    pixels = _eight_bits(picture)
    size = (pixels.shape[0], pixels.shape[1])
    height, width = (min(patch, length) for length in size)
    tops, lefts = _places(size[0], height, stride), _places(size[1], width, stride)
    corners = product(tops.tolist(), lefts.tolist())
    patches = (pixels[top : top + height, left : left + width] for top, left in corners)
    logits = film_logits(patches, network)
    return Judgement(logits.reshape(len(tops), len(lefts)), tops, lefts, (height, width), size)


def checked_stride(patch: int, stride: int | None) -> int:
    """Return the stride that `judge` takes.

    Raises: ValueError where patches would be empty, or leave gaps.
    """
    stride = patch if stride is None else stride
    if not 1 <= stride <= patch:
        raise ValueError(f"judge expects a stride from 1 to patch, got stride {stride} and patch {patch}")
    return stride


def film_logits(patches: Iterable[np.ndarray], network: ResNet) -> np.ndarray:
    """Return a network's logits of "this is film", by the statistics that it learned and not by a batch's.

    Shape: patches (H, W, 3) each, one or more, uint8 -> (patches,)
    """
    patches, logits, training = iter(patches), [], network.training
    network.eval()
    try:
        while batch := list(islice(patches, _BATCH)):
            logits.append(np.array(network.film_logit(mx.array(np.stack(batch)).astype(mx.float32) / 127.5 - 1)))
    finally:
        network.train(training)
    return np.concatenate(logits)


def _places(length: int, patch: int, stride: int) -> np.ndarray:
    """Return where patches begin along one side: evenly, the first and the last at its ends."""
    steps = -(-(length - patch) // stride)
    return np.rint(np.linspace(0, length - patch, steps + 1)).astype(int)


def _eight_bits(picture: np.ndarray | str | Path) -> np.ndarray:
    pixels = picture if isinstance(picture, np.ndarray) else images.read(picture).pixels
    check_shape("judge", pixels)
    check_values("judge", pixels)
    return images.from_float(pixels) if np.issubdtype(pixels.dtype, np.floating) else with_bits(pixels, 8)


def _cover(starts: np.ndarray, patch: int, length: int, shown: int) -> np.ndarray:
    """Return each patch's part in the mean at the middle of every pixel that is shown, (patches, shown)."""
    middle = (np.arange(shown) + 0.5) * length / shown
    inside = (middle >= starts[:, None]) & (middle < starts[:, None] + patch)
    return (inside / inside.sum(0)).astype(np.float32)


def _coloured(probability: np.ndarray) -> np.ndarray:
    """Look probabilities up on the scale: blue at 0, white at a half, orange at 1. Shape (...) -> (..., 3)."""
    return np.stack([np.interp(probability, (0, FILM_LIKE, 1), channel) for channel in _COLOURS.T], -1)


def _scale_height() -> int:
    return _BAR + _TEXT + 3 * _GAP


def _draw_scale(sheet: Image.Image, top: int, title: str) -> None:
    """Draw the scale of colours below a map: digital, 0, on the left and film, 1, on the right."""
    font, draw = ImageFont.load_default(_TEXT), ImageDraw.Draw(sheet)
    width = sheet.width - 2 * _GAP
    # As over a picture of middle grey.
    bar = (np.broadcast_to(_coloured(np.linspace(0, 1, width)), (_BAR, width, 3)) + 128) / 2
    sheet.paste(Image.fromarray(np.rint(bar).astype(np.uint8)), (_GAP, top + _GAP))
    line = top + _BAR + _GAP + 2
    for place, anchor, text in ((0, "la", "0 digital"), (width / 2, "ma", title), (width, "ra", "film 1")):
        draw.text((_GAP + place, line), text, fill="black", font=font, anchor=anchor)
