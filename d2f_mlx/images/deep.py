"""16-bit colour files, which Pillow would silently reduce to 8 bits, through OpenImageIO (extra ``deep``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_deep(path: Path) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Decode the first picture of a PNG or TIFF at its own bit depth.

    Returns:
        Colour channels, the alpha channel if there is one, and whether colour is already multiplied by it.

    Shape: (H, W, 1 or 3), (H, W, 1)
    Range: uint8 [0, 255] or uint16 [0, 65535]

    Raises:
        ValueError: where OpenImageIO is missing or cannot decode the file.
    """
    try:
        import OpenImageIO as oiio
    except ImportError as error:
        raise ValueError("16-bit colour needs OpenImageIO: pip install 'd2f_mlx[deep]'") from error
    as_stored = oiio.ImageSpec()
    as_stored.attribute("oiio:UnassociatedAlpha", 1)  # do not multiply colour by alpha
    source = oiio.ImageInput.open(str(path), as_stored)
    if source is None:
        raise ValueError(oiio.geterror() or "OpenImageIO cannot open it")
    try:
        spec = source.spec()
        pixels = source.read_image("uint8" if str(spec.format) == "uint8" else "uint16")
        problem = source.geterror()
    finally:
        source.close()
    if pixels is None or problem:
        raise ValueError(problem or "OpenImageIO cannot decode it")
    colour = pixels[..., : 3 if spec.nchannels > 2 else 1]
    if spec.alpha_channel < 0:
        return colour, None, False
    alpha = pixels[..., spec.alpha_channel : spec.alpha_channel + 1]
    return colour, alpha, not spec.get_int_attribute("oiio:UnassociatedAlpha")
