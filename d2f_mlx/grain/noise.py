"""Random numbers addressed by where a pixel is: the same key gives the same film on every crop and tile."""

from __future__ import annotations

import mlx.core as mx


def _mix(x: mx.array) -> mx.array:
    """Scramble 32 bits (lowbias32, Chris Wellons 2018, public domain)."""
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


def uniform_at(key: mx.array, origin: mx.array, shape: tuple[int, int, int], salt: int = 0) -> mx.array:
    """Draw a uniform number for every pixel and channel from a hash of its position.

    Args:
        key: Two 32-bit words, as `mlx.core.random.key` gives.
        origin: Row and column of the first pixel, int32 (negative ones are fine).
        shape: Rows, columns and channels (16 at most) to draw.
        salt: Tells independent fields with one key apart.

    Shape: -> (H, W, C)
    Range: the open interval (0, 1), in steps of 2^-23
    """
    words = key.astype(mx.uint32)
    rows, columns = (mx.arange(n).astype(mx.int32) for n in shape[:2])
    channels = mx.arange(shape[2]).astype(mx.uint32) + (salt * 16) % 2**32
    h = _mix(_mix(words[0] ^ _mix(words[1])) ^ _mix(channels + 0x85EBCA6B))
    h = _mix(h[None, :] ^ (columns + origin[1]).astype(mx.uint32)[:, None])
    h = _mix(h[None, :, :] ^ (_mix((rows + origin[0]).astype(mx.uint32) + 0x9E3779B9))[:, None, None])
    return ((h >> 9).astype(mx.float32) + 0.5) * 2.0**-23


def normal_at(key: mx.array, origin: mx.array, shape: tuple[int, int, int], salt: int = 0) -> mx.array:
    """Draw a standard normal number for every pixel and channel; otherwise as `uniform_at`.

    Shape: -> (H, W, C)
    """
    return mx.erfinv(2 * uniform_at(key, origin, shape, salt) - 1) * 2**0.5
