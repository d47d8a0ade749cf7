import io
import struct
import sys

from d2f_mlx.color import ADOBE_RGB, DISPLAY_P3, PROPHOTO, SPACES, SRGB, convert, managed, profile_of

import colour
import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

D65 = [0.3127, 0.3290, 1.0]
SRGB_XY = [0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1]
P3_XY = [0.68, 0.32, 1, 0.265, 0.69, 1, 0.15, 0.06, 1]
ADOBE_XY = [0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1]
REC2020_XY = [0.708, 0.292, 1, 0.170, 0.797, 1, 0.131, 0.046, 1]
NARROW_XY = [0.60, 0.34, 1, 0.31, 0.57, 1, 0.16, 0.08, 1]
NEARLY_SRGB_XY = [0.6402, 0.33, 1, 0.30, 0.6001, 1, 0.15, 0.06, 1]
DTYPES = pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
LEVEL = {np.uint8: 1.01 / 255, np.uint16: 0.1 / 255}  # of 16 bits a tenth: a profile's matrix has 16 binary places
EACH = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def _profile(primaries, **curve):
    return imagecodecs.cms_profile("rgb", whitepoint=D65, primaries=primaries, **curve)


def _tabulated(space, entries=1024):
    return np.rint(space.decode(np.linspace(0, 1, entries)) * 65535).astype(np.uint16)


def _pixels(dtype, seed=0):
    """Colours that are all about, with the corners of the cube, but none so dark that a curve is vertical there."""
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(top // 16, top, (40, 50, 3), endpoint=True).astype(dtype)
    corners = np.array([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]) * top
    pixels[0, :8] = np.maximum(corners, top // 16)
    return pixels


def _colour_science(pixels, primaries, gamma, target):
    """What colour-science makes of pixels: through XYZ, adapted by Bradford, clipped as integers are."""
    xy = np.reshape(primaries, (3, 3))[:, :2]
    source = colour.RGB_Colourspace("camera", xy, np.array(D65[:2]), cctf_decoding=lambda values: values**gamma)
    titles = {"srgb": "sRGB", "display-p3": "Display P3", "adobe-rgb": "Adobe RGB (1998)", "prophoto": "ProPhoto RGB"}
    known = colour.RGB_COLOURSPACES[titles[target.name]].copy()
    for space in (source, known):
        space.use_derived_transformation_matrices(True)
    values = pixels / np.iinfo(pixels.dtype).max
    linear = source.cctf_decoding(values) @ colour.matrix_RGB_to_RGB(source, known, "Bradford").T
    return known.cctf_encoding(np.clip(linear, 0, 1))


@DTYPES
def test_without_a_profile_it_is_srgb(dtype):
    pixels = _pixels(dtype)
    result, space, icc = managed(pixels, None)
    assert result is pixels
    assert (space, icc) == (SRGB, None)


@DTYPES
@pytest.mark.parametrize(
    ("make", "space"),
    [
        *[(lambda space=space: profile_of(space), space) for space in SPACES.values()],
        (lambda: imagecodecs.cms_profile("srgb"), SRGB),
        (lambda: imagecodecs.cms_profile("adobergb"), ADOBE_RGB),
        (lambda: ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), SRGB),
        (lambda: _profile(SRGB_XY, transferfunction=_tabulated(SRGB)), SRGB),  # HP's sRGB is a table of 1024
        (lambda: _profile(P3_XY, transferfunction=_tabulated(SRGB)), DISPLAY_P3),
        (lambda: _profile(ADOBE_XY, gamma=2.2), ADOBE_RGB),
        (lambda: _profile(NEARLY_SRGB_XY, transferfunction=_tabulated(SRGB)), SRGB),
    ],
    ids=[*SPACES, "lcms srgb", "lcms adobe", "Pillow", "srgb table", "p3 table", "adobe 2.2", "srgb nearly"],
)
def test_a_known_space_is_known_by_any_name_and_left_untouched(make, space, dtype):
    pixels, icc = _pixels(dtype), make()
    result, found, carried = managed(pixels, icc)
    assert found == space
    assert result is pixels
    assert carried is icc


CONVERTED = [
    pytest.param(SRGB_XY, 2.2, SRGB, SRGB, id="sRGB's primaries with gamma 2.2"),
    pytest.param(NARROW_XY, 1.8, SRGB, SRGB, id="narrow"),
    pytest.param(P3_XY, 2.6, DISPLAY_P3, DISPLAY_P3, id="P3's primaries with gamma 2.6"),
    pytest.param(ADOBE_XY, 1.8, ADOBE_RGB, ADOBE_RGB, id="Adobe's primaries with gamma 1.8"),
    pytest.param(REC2020_XY, 2.4, DISPLAY_P3, PROPHOTO, id="Rec. 2020"),
]


@DTYPES
@pytest.mark.parametrize(("primaries", "gamma", "of8", "of16"), CONVERTED)
def test_other_profiles_are_converted_as_colour_science_does(primaries, gamma, of8, of16, dtype):
    pixels, target = _pixels(dtype), of8 if dtype == np.uint8 else of16
    before = pixels.copy()
    result, space, icc = managed(pixels, _profile(primaries, gamma=gamma))
    assert (space, icc) == (target, profile_of(target))
    assert (result.dtype, result.shape) == (pixels.dtype, pixels.shape)
    np.testing.assert_array_equal(pixels, before)
    expected = _colour_science(pixels, primaries, gamma, target)
    # Where a component is nearly clipped to 0 the target's curve is steep, and a profile's rounding shows.
    error = np.abs(result / np.iinfo(dtype).max - expected)[expected > 0.05]
    assert error.max() <= LEVEL[dtype]
    assert np.median(error) < LEVEL[dtype] / 3


def test_a_saturated_p3_picture_is_read_as_what_it_is():
    red = np.full((2, 2, 3), [255, 0, 0], np.uint8)
    pixels, space, icc = managed(red, _profile(P3_XY, transferfunction=_tabulated(SRGB)))
    assert space == DISPLAY_P3
    light = colour.RGB_to_RGB(pixels / 255, "Display P3", "sRGB", apply_cctf_decoding=True)
    np.testing.assert_allclose(SRGB.decode(convert(pixels / 255, space, SRGB)), light, atol=2e-4)  # matrices as printed
    assert light[0, 0, 0] > 1.2
    # And the profile that is written says the same to littleCMS.
    shown = ImageCms.profileToProfile(
        Image.fromarray(pixels), io.BytesIO(icc), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert np.asarray(shown)[0, 0].tolist() == [255, 0, 0]


def _scanner(gamma, black=0.0):
    """An input profile of tables alone (lut16Type, sRGB's primaries, paper white), as scanner software writes them.

    Its black has a share of white's light.
    """
    matrix = colour.adaptation.matrix_chromatic_adaptation_VonKries(
        SRGB.white_xyz, np.array([0.9642, 1, 0.8249]), transform="Bradford"
    )
    matrix = matrix @ colour.normalised_primary_matrix(SRGB.primaries, SRGB.white)
    curve = np.rint(np.linspace(0, 1, 1024) ** gamma * 65535)
    corners = np.array([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]) @ matrix.T
    corners = black * corners[-1] + (1 - black) * corners
    table = b"mft2" + bytes(4) + bytes([3, 3, 2, 0]) + struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    table += struct.pack(">2H", 1024, 2) + np.tile(curve, 3).astype(">u2").tobytes()
    table += np.rint(corners * 32768).astype(">u2").tobytes() + struct.pack(">6H", *(0, 65535) * 3)
    head = bytearray(profile_of(SRGB)[:128])
    head[8:16], head[20:24] = b"\x02\x40\0\0scnr", b"XYZ "
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 52000, 54000, 40000)
    tags = [(b"A2B0", table), (b"A2B1", table), (b"wtpt", white)]
    place, places = 128 + 4 + 12 * len(tags), b""
    for name, data in tags:
        places += struct.pack(">4sII", name, place, len(data))
        place += len(data)
    head[0:4] = struct.pack(">I", place)
    return bytes(head) + struct.pack(">I", len(tags)) + places + table + table + white


@DTYPES
@pytest.mark.parametrize("black", [0.0, 0.02])
def test_a_profile_of_tables_is_converted_too_from_its_black_to_its_white(black, dtype):
    pixels = _pixels(dtype)
    result, space, icc = managed(pixels, _scanner(1.8, black))
    assert (space, icc) == (SRGB, profile_of(SRGB))
    expected = _colour_science(pixels, SRGB_XY, 1.8, SRGB)
    error = np.abs(result / np.iinfo(dtype).max - expected)[expected > 0.05]
    assert error.max() <= 3 * LEVEL[dtype]  # XYZ in these tables has 15 binary places


def test_without_imagecodecs_eight_bits_work_and_sixteen_say_what_to_install(monkeypatch):
    icc = _profile(P3_XY, gamma=2.6)
    with_it = managed(_pixels(np.uint8), icc)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    without = managed(_pixels(np.uint8), icc)
    np.testing.assert_array_equal(without[0], with_it[0])
    known = managed(_pixels(np.uint16), profile_of(PROPHOTO))
    assert known[1] == PROPHOTO
    with pytest.raises(ValueError, match=r"16-bit pictures with this colour profile need .*'d2f_mlx\[icc\]'"):
        managed(_pixels(np.uint16), icc)


@DTYPES
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"", "cannot open profile"),
        (lambda: b"not a profile", "cannot open profile"),
        (lambda: profile_of(SRGB)[:300], "cannot build transform"),
        (lambda: profile_of(SRGB)[:128] + bytes(400), "cannot build transform"),
        (lambda: imagecodecs.cms_profile("gray"), "it is for GRAY pixels, not RGB"),
        (lambda: imagecodecs.cms_profile("lab4"), "it is for Lab pixels, not RGB"),
    ],
    ids=["empty", "text", "cut", "no tags", "grey", "Lab"],
)
def test_a_profile_that_cannot_be_used_is_refused_in_one_line(make, reason, dtype):
    with pytest.raises(ValueError, match=f"^the photo's colour profile cannot be used .*{reason}") as raised:
        managed(_pixels(dtype), make())
    assert "\n" not in str(raised.value)


def test_a_damaged_profile_is_used_or_refused_and_nothing_else():
    rng, pixels, refused = np.random.default_rng(0), _pixels(np.uint8)[:2], 0
    for _ in range(150):
        damaged = bytearray(_scanner(1.8)[:6400] if rng.integers(2) else profile_of(DISPLAY_P3))
        for place in rng.integers(0, min(len(damaged), 400), 4):
            damaged[place] = rng.integers(256)
        try:
            result, space, _ = managed(pixels, bytes(damaged))
        except ValueError as error:
            assert str(error).startswith("the photo's colour profile cannot be used (")  # noqa: PT017
            refused += 1
        else:
            assert (result.shape, result.dtype, space in SPACES.values()) == (pixels.shape, pixels.dtype, True)
    assert 10 < refused < 140


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_other_pixels_are_refused(pixels):
    with pytest.raises(ValueError, match=r"^managed expects \(H, W, 3\) uint8 or uint16 pixels, got"):
        managed(pixels, None)


@EACH
def test_our_profiles_hold_the_spaces_matrix_and_curve(space):
    icc = profile_of(space)
    assert len(icc) < 600
    assert icc == profile_of.__wrapped__(space)  # nothing in it depends on when it was made
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
    assert (profile.profile_description, profile.version, profile.is_matrix_shaper) == (space.title, 4.4, True)
    white = np.array([0.9642, 1, 0.8249])
    chad = colour.adaptation.matrix_chromatic_adaptation_VonKries(space.white_xyz, white, transform="Bradford")
    colorants = [profile.red_colorant[0], profile.green_colorant[0], profile.blue_colorant[0]]
    np.testing.assert_allclose(np.transpose(colorants), chad @ space.to_xyz, atol=3e-5)
    np.testing.assert_allclose(np.sum(colorants, axis=0), profile.media_white_point[0], atol=1e-9)
    np.testing.assert_allclose(profile.chromatic_adaptation[0], chad, atol=2e-5)


@EACH
def test_littlecms_converts_with_our_profiles_as_we_do(space):
    pixels = np.random.default_rng(0).uniform(0.1, 0.9, (20, 20, 3))
    pixels[:10] = np.linspace(0.002, 0.06, 20)[:, None]  # greys down to where the curve is a line
    into = DISPLAY_P3 if space is SRGB else SRGB
    inside = convert(pixels, into if into is SRGB else SRGB, space).clip(0, 1).astype(np.float32)
    flags = imagecodecs.CMS.FLAGS.NOOPTIMIZE
    theirs = imagecodecs.cms_transform(
        inside, profile_of(space), profile_of(into), colorspace="rgb", outcolorspace="rgb", flags=flags
    )
    np.testing.assert_allclose(theirs, convert(inside, space, into), atol=5e-4)


def test_white_stays_white_in_our_profiles():
    white = np.full((1, 1, 3), 65535, np.uint16)
    for source in SPACES.values():
        for target in SPACES.values():
            result = imagecodecs.cms_transform(
                white, profile_of(source), profile_of(target), colorspace="rgb", outcolorspace="rgb"
            )
            assert result.min() >= 65534
