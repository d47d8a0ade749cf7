"""Ask a network how film differs from digital photographs: in content, and in style.

    python examples/film_or_digital.py --out .        # some 10 seconds
    python examples/film_or_digital.py --film my-scans --digital my-photos --weights vgg19.safetensors --out .

Writes film_or_digital.txt, a table of VGG19's layers, and film_or_digital.json. Without folders of your own,
photographs that come with scikit-image stand for the digital ones, and the same developed as Kodak Vision3 250D for the
film; without weights (torchvision's vgg19, as .safetensors or .pth) the network is a random one. As the scenes are the
same, all distances are below the floor, which is between different ones: ratios of 0.2 to 0.5. Of different scenes, 9
scans of one roll against 13 digital photographs, the random network finds 1.8 to 4.7; with a second roll, of another
film (a folder for each roll), 1.2 to 2.0, because these differ from each other as well.
"""

import argparse
import json
from pathlib import Path

import d2f_mlx as d2f
from d2f_mlx.evaluate import compare_features

from skimage import data


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--film", type=Path, help="a folder of film scans")
    parser.add_argument("--digital", type=Path, help="a folder of digital photographs")
    parser.add_argument("--weights", type=Path, help="torchvision's VGG19 (default: random weights)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder (default: this one)")
    arguments = parser.parse_args()
    if (arguments.film is None) != (arguments.digital is None):
        parser.error("--film and --digital belong together")

    network = d2f.models.VGG(19)
    if arguments.weights:
        network = d2f.checkpoint.pretrained_vgg(arguments.weights, 19)

    if arguments.film:
        film, digital = d2f.images.find(arguments.film), d2f.images.find(arguments.digital)
        found = compare_features(film, digital, network, rolls=[scan.parent for scan in film])
    else:
        digital = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
        film = [d2f.develop(photo, key=key) for key, photo in enumerate(digital)]
        found = compare_features(film, digital, network)

    print(found.table())
    (arguments.out / "film_or_digital.txt").write_text(found.table() + "\n")
    (arguments.out / "film_or_digital.json").write_text(json.dumps(found.as_dict(), indent=2) + "\n")


if __name__ == "__main__":
    main()
