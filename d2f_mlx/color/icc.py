"""ICC profiles of the known spaces, a few hundred bytes each, made from what defines them.

Reference: ICC.1:2022 (profile version 4.4), sections 7.2, 8.4.3 (matrix display profiles), 10.15, 10.18 and 10.31
"""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np

from .spaces import RGBSpace, Transfer, adaptation

_D50 = np.array([0.9642, 1.0, 0.8249])
"""The white of the profile connection space, section 7.2.16."""


@lru_cache
def profile_of(space: RGBSpace) -> bytes:
    """Return the ICC profile to write beside pixels of a space: version 4, matrix and curves, adapted by Bradford.

    Raises: ValueError for a space whose matrix or curve a profile cannot hold.
    """
    chad = adaptation(space.white_xyz, _D50)
    red, _, blue = (_fixed(column) for column in (chad @ space.to_xyz).T)
    green = _fixed(_D50) - red - blue  # rounded so that white is white
    curve = _curve(space.transfer)
    tags = {
        b"desc": _text(space.title),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _numbers(b"XYZ ", _fixed(_D50)),
        b"chad": _numbers(b"sf32", _fixed(chad)),
        b"rXYZ": _numbers(b"XYZ ", red),
        b"gXYZ": _numbers(b"XYZ ", green),
        b"bXYZ": _numbers(b"XYZ ", blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _assembled(tags)


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    """Put header, table of tags and data together; equal data is stored once."""
    place = 128 + 4 + 12 * len(tags)
    places = {}
    for data in dict.fromkeys(tags.values()):
        places[data] = place
        place += len(data)
    table = b"".join(struct.pack(">4sII", name, places[data], len(data)) for name, data in tags.items())
    head = struct.pack(">I4sI4s4s4s", place, b"", 0x04400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp")  # a fixed date: the same bytes every time
    head += bytes(28) + _big_endian(_fixed(_D50))  # platform, flags, device, relative intent 0; then the white
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + b"".join(places)


def _fixed(values: np.ndarray) -> np.ndarray:
    """Round to s15Fixed16Number."""
    return np.rint(np.asarray(values, np.float64) * 65536).astype(np.int64)


def _big_endian(fixed: np.ndarray) -> bytes:
    return fixed.astype(">i4").tobytes()


def _numbers(kind: bytes, fixed: np.ndarray) -> bytes:
    return kind + bytes(4) + _big_endian(fixed)


def _text(text: str) -> bytes:
    """Return a multiLocalizedUnicodeType with one record, padded to a multiple of four."""
    encoded = text.encode("utf-16-be")
    data = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded
    return data + bytes(-len(data) % 4)


def _curve(transfer: Transfer) -> bytes:
    """Return a parametricCurveType: a plain power (0), or a power above a line (3)."""
    if transfer.toe == 0 and transfer.offset == 0:
        kind, parameters = 0, [transfer.gamma]
    else:
        offset = transfer.offset
        kind, parameters = (
            3,
            [transfer.gamma, 1 / (1 + offset), offset / (1 + offset), 1 / transfer.slope, transfer.toe],
        )
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _big_endian(_fixed(np.array(parameters)))
