"""Arrange the research scans in a folder per roll, by links, for the training commands of the model cards.

    python benchmarks/scans_by_roll.py DATA OUT

DATA holds MANIFEST.tsv and the pictures it names: the source and path of a film picture say which roll it came from.
"""

import argparse
import csv
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with (arguments.data / "MANIFEST.tsv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if not row["file"].startswith("film/"):
                continue
            owner = row["source_repo"].split("/")[0]
            roll = Path(row["path"]).parent.name if owner == "salendron" else owner
            link = arguments.out / roll / Path(row["file"]).name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to((arguments.data / row["file"]).resolve())


if __name__ == "__main__":
    main()
