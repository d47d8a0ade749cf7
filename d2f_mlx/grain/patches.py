"""Flat blocks of a picture, where all that varies is grain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FlatBlocks:
    """How flat a block must be to be measured.

    A block is cut into 4x4 cells. Grain averages out over a cell and a scene's structure does not, so the spread of the
    cells' means, against the spread of single pixels, tells one from the other without preferring weak grain.

    Args:
        size: Side of a block in pixels, a multiple of 4.
        stride: Distance between blocks in pixels.
        max_structure: Largest spread of cell means over pixels' spread, after a plane is removed.
        max_variance: Largest variance of a block in levels of 255, squared (the notes' limit).
        margin: Levels of 255 that a block's mean must keep from black and white, where grain is clipped.
    """

    size: int = 32
    stride: int = 16
    max_structure: float = 0.4
    max_variance: float = 300.0
    margin: float = 4.0

    def __post_init__(self) -> None:
        if self.size < 8 or self.size % 4:
            raise ValueError(f"FlatBlocks expects size to be a multiple of 4, 8 or more, got {self.size}")
        if self.stride < 1:
            raise ValueError(f"FlatBlocks expects stride to be 1 or more, got {self.stride}")


def flat_blocks(pixels: np.ndarray, rule: FlatBlocks | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Find a picture's flat blocks and return their residuals about a plane, and their means.

    Assumes that grain's correlation length is well below a cell (a quarter of a block).

    Shape: (H, W, C) -> (N, size, size, C), (N, C); N may be 0
    Range: integers as decoded -> levels of 255
    Raises: ValueError for pixels that are not integers (H, W, C).
    """
    if pixels.ndim != 3 or not np.issubdtype(pixels.dtype, np.integer):
        raise ValueError(f"flat_blocks expects integer pixels (H, W, C), got {pixels.dtype} {pixels.shape}")
    rule = rule or FlatBlocks()
    size = rule.size
    if min(pixels.shape[:2]) < size:
        return np.zeros((0, size, size, pixels.shape[2]), np.float32), np.zeros((0, pixels.shape[2]), np.float32)
    scale = 255.0 / np.iinfo(pixels.dtype).max
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), (0, 1))
    blocks = windows[:: rule.stride, :: rule.stride].reshape(-1, pixels.shape[2], size, size)
    blocks = blocks.transpose(0, 2, 3, 1).astype(np.float32) * np.float32(scale)
    means = blocks.mean((1, 2))
    residuals = blocks - means[:, None, None] - _plane(blocks)
    variance = residuals.var((1, 2))
    cells = residuals.reshape(len(blocks), 4, size // 4, 4, size // 4, -1).mean((2, 4))
    structure = cells.std((1, 2)) / np.sqrt(variance).clip(1e-6)
    flat = (
        (structure < rule.max_structure)
        & (variance <= rule.max_variance)
        & (variance > 0)
        & (means > rule.margin)
        & (means < 255 - rule.margin)
    ).all(-1)
    return residuals[flat], means[flat]


def _plane(blocks: np.ndarray) -> np.ndarray:
    """Fit each block's slopes by least squares (the axes are orthogonal about the centre)."""
    size = blocks.shape[1]
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / size
    norm = (axis**2).sum() * size
    down = np.einsum("nijc,i->nc", blocks, axis) / norm
    right = np.einsum("nijc,j->nc", blocks, axis) / norm
    return down[:, None, None] * axis[:, None, None] + right[:, None, None] * axis[None, :, None]
