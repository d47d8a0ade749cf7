"""Draw one photograph in eleven film stocks, as prints, slides and scans.

    python examples/contact_sheet.py --out examples        # 20 s on two cores

Writes contact.jpg: the photograph (scikit-image's coffee, by Rachel Michetti) and eleven labelled pictures of it; and
velvia.cube, one film's colours as a table that other programs read.
"""

import argparse
from pathlib import Path

import d2f_mlx as d2f

from skimage import data

STOCKS = [
    "kodak-portra-400",
    "kodak-gold-200",
    "fuji-pro-400h",
    "fuji-velvia-50",
    "kodak-ektachrome-100d",
    "kodak-kodachrome-64",
    "kodak-vision3-500t",
    "cinestill-800t",
    "kodak-eastman-5247",
    "agfa-vista-100",
    "kodak-tri-x-400",
]

parser = argparse.ArgumentParser(description="Draw one photograph in eleven film stocks.")
parser.add_argument("--out", type=Path, default=Path())
out = parser.parse_args().out

sheet = d2f.contact_sheet(data.coffee(), STOCKS, width=300, columns=4)
d2f.write(out / "contact.jpg", sheet, quality=88)
print(f"{out / 'contact.jpg'}: {sheet.shape[1]} x {sheet.shape[0]} pixels")

slide = d2f.film_look("fuji-velvia-50", points=33)
slide.save(out / "velvia.cube")
print(f"{out / 'velvia.cube'}: Velvia's colours for other programs; it turns 0.5 grey into {slide.table[16, 16, 16]}")
