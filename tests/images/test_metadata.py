from d2f_mlx import images

import numpy as np
import pytest
from PIL import Image

GREY, COLOUR = "L", "RGB"


def sampling_factors(path):
    """Read a JPEG's frame header: how many samples each component has, across and down (ITU-T T.81, B.2.2)."""
    data = path.read_bytes()
    place = 2
    while data[place + 1] not in (0xC0, 0xC2):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    components = data[place + 10 : place + 10 + 3 * data[place + 9]]
    return [divmod(factors, 16) for factors in components[1::3]]


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        (COLOUR, {"subsampling": "4:4:4"}),
        (COLOUR, {"subsampling": "4:2:2"}),
        (COLOUR, {"subsampling": "4:2:0"}),
        (COLOUR, {"subsampling": "4:2:0", "progressive": True}),
        (GREY, {}),
    ],
)
def test_subsampled_colour_is_told_as_the_frame_header_has_it(tmp_path, mode, options):
    path = tmp_path / "scan.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    assert images.subsampled(path) == (len(set(sampling_factors(path))) > 1)
    assert images.subsampled(str(path)) == images.subsampled(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_what_is_written_is_not_subsampled(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    images.write(path, np.full((16, 24, 3), 128, np.uint8))
    assert not images.subsampled(path)


def test_the_name_does_not_decide(tmp_path):
    path = tmp_path / "scan.png"
    Image.new("RGB", (32, 32)).save(path, "JPEG", subsampling="4:2:0")
    assert images.subsampled(path)
