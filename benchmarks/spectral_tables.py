"""Write the colorimetric tables that the film chain computes with, from the colour-science package (BSD-3-Clause).

    python benchmarks/spectral_tables.py d2f_mlx/film/spectral_tables.csv

Columns, every 5 nm from 380 to 780: the CIE 1931 2 degree observer (x, y, z; CIE 015:2018), the components of daylight
(s0, s1, s2; CIE 015:2018, joined by lines) and the reflectances of sRGB's primaries (red, green, blue; Mallett &
Yuksel 2019, 'Spectral Primary Decomposition for Rendering with sRGB Reflectance', EGSR).
"""

import argparse
from pathlib import Path

import colour
import numpy as np

COLUMNS = ["nm", "x", "y", "z", "s0", "s1", "s2", "red", "green", "blue"]


def table() -> np.ndarray:
    """Return the table, (81, 10)."""
    shape = colour.SpectralShape(380, 780, 5)
    observer = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"].copy().align(shape).values
    basis = [colour.colorimetry.SDS_BASIS_FUNCTIONS_CIE_ILLUMINANT_D_SERIES[name] for name in ("S0", "S1", "S2")]
    daylight = np.stack([np.interp(shape.wavelengths, part.wavelengths, part.values) for part in basis], axis=1)
    primaries = colour.recovery.MSDS_BASIS_FUNCTIONS_sRGB_MALLETT2019.copy().align(shape).values
    return np.column_stack([shape.wavelengths, observer, daylight, primaries])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    lines = [",".join(COLUMNS), *(",".join(f"{value:.7g}" for value in row) for row in table())]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
