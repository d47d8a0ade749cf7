import json
from functools import partial

from d2f_mlx import evaluate, images
from d2f_mlx.evaluate import INDISTINGUISHABLE, Report
from d2f_mlx.grain import FlatBlocks

import numpy as np
import pytest

realism = partial(evaluate.realism, rule=FlatBlocks())  # the pictures here are small

NOISE = ["white noise, colour", "white noise, mono", "blurred noise, colour", "blurred noise, mono"]


@pytest.fixture(scope="module")
def report(roll, make_roll, photos) -> Report:
    return realism(make_roll(2, pictures=2), roll, photos)


def test_film_of_the_same_kind_is_indistinguishable(report):
    assert list(report.rows) == ["developed", "film (floor)", "undeveloped", *NOISE]
    for name in ("developed", "film (floor)"):
        assert report.rows[name].met() == dict.fromkeys(INDISTINGUISHABLE, True), name
    assert report.indistinguishable
    assert report.rows["film (floor)"].blocks == pytest.approx((2900, 2900), abs=60)


def test_clean_photos_are_far_from_film(report):
    met, summary = report.rows["undeveloped"].met(), report.rows["undeveloped"].summary()
    assert summary["sigma_bias"] < -1
    assert summary["spectrum_error"] > 2
    assert not any(met[name] for name in ("sigma_error", "spectrum_error", "nss_divergence", "peaks_gap"))


def test_each_noise_fails_where_it_should(report):
    """As published: white noise of film's variance is some 2.5 dB and 0.7 in correlation away."""
    summaries = {name: report.rows[name].summary() for name in NOISE}
    for name, found in summaries.items():
        assert abs(found["sigma_bias"]) < 0.2, name
        assert found["sigma_error"] < 0.35, name  # one deviation for all brightnesses
        assert (found["spectrum_error"] > 2) == name.startswith("white")
        assert (found["lag_1_gap"] > 0.3) == name.startswith("white")
        if name.endswith("colour"):
            assert found["correlation_gap"] == pytest.approx(0.85, abs=0.05)
        else:
            assert found["correlation_gap"] == pytest.approx(0.3, abs=0.05)  # 1 - 0.7
    assert report.rows["blurred noise, mono"].met()["lag_1_gap"]


def test_noise_without_photos_lies_on_plain_fields(roll):
    alone = realism(roll[:1], roll[:2])
    assert "undeveloped" not in alone.rows
    summary = alone.rows["white noise, colour"].summary()
    assert summary["correlation_gap"] == pytest.approx(0.85, abs=0.05)
    assert alone.rows["white noise, colour"].bands.min() >= 10
    assert any("plain fields" in note for note in alone.notes)


def test_the_table_marks_what_is_within_limits(report):
    lines = report.table().splitlines()
    by_name = {line[:22].strip(): line[22:].split() for line in lines[2:10]}
    summary = report.rows["white noise, colour"].summary()
    cells = by_name["white noise, colour"]
    assert cells[2] == f"{summary['spectrum_error']:.2f}"
    assert cells[3] == f"{summary['correlation_gap']:.3f}"
    assert [cell.endswith("*") for cell in by_name["developed"][:8]] == [True] * 8
    assert by_name["limit"][:8] == ["0.15", "0.05", "0.40", "0.050", "0.0080", "0.0030", "0.040", "0.10"]
    assert "developed: 8 of 8 limits kept; indistinguishable from the film." in report.table()
    assert "Flat blocks: 16x16 every 8 pixels" in report.table()
    assert len({len(line.rstrip()) for line in lines[3:10]}) <= 2  # aligned


def test_a_film_that_is_not_one_says_so(make_roll, photos):
    mixed = [pixels for pair in zip(make_roll(3, 2), make_roll(4, 2, gain=1.6), strict=True) for pixels in pair]
    found = realism(mixed[:1], mixed, photos)
    assert not found.rows["film (floor)"].met()["sigma_error"]
    (note,) = (note for note in found.notes if "not one with itself" in note)
    assert "sigma" in note


def test_rolls_are_parted_whole(make_roll, photos):
    strong, weak = make_roll(5, 2, gain=1.6), make_roll(6, 2)
    rolls = realism(weak[:1], [*strong, *weak], photos, rolls=["s", "s", "w", "w"]).rows["film (floor)"]
    assert rolls.summary()["sigma_bias"] == pytest.approx(np.log(1.6), abs=0.05)
    pictures = realism(weak[:1], [*strong, *weak], photos).rows["film (floor)"]
    assert abs(pictures.summary()["sigma_bias"]) < 0.1


def test_a_picture_on_both_sides_is_pointed_out(tmp_path, roll, photos, report):
    path = tmp_path / "scan.png"
    images.write(path, roll[0])
    for both, film in ((roll[0], roll[:2]), (str(path), [path, roll[1]])):
        found = realism([both], film, photos)
        assert any(note.startswith("1 picture(s) are both developed and film") for note in found.notes)
    assert not any("both developed and film" in note for note in report.notes)


def test_few_blocks_are_pointed_out(roll, photos):
    small = realism([roll[0][:64]], [pixels[:64] for pixels in roll[:2]], photos)
    assert not small.indistinguishable
    assert any("chance counts" in note and "developed" in note for note in small.notes)


def test_files_are_as_good_as_arrays(tmp_path, roll):
    small = [pixels[:96] for pixels in roll[:2]]
    paths = [tmp_path / f"{index}.png" for index in range(2)]
    for path, pixels in zip(paths, small, strict=True):
        images.write(path, pixels)
    told: list[str] = []
    by_file = realism(map(str, paths[:1]), paths, paths[1:], progress=told.append)
    by_array = realism(small[:1], small, small[1:])
    assert by_file.as_dict() == by_array.as_dict()
    assert told == ["film", "developed", "film (floor)", "film (floor)", "undeveloped", *NOISE]


def test_a_report_goes_into_json(report):
    values = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert values["indistinguishable"] is True
    assert values["rule"]["size"] == 16
    assert values["figures"]["spectrum_error"] == {
        "title": "spectrum",
        "unit": "dB",
        "summary": "RMS over channels",
        "limit": 0.4,
    }
    row = values["rows"]["white noise, mono"]
    assert row["summary"]["lag_1_gap"] == report.rows["white noise, mono"].summary()["lag_1_gap"]
    assert values["film"]["blocks"] == report.film.blocks


def test_a_film_too_small_for_a_floor_is_still_compared(roll, photos):
    found = realism(roll[:1], [roll[0], np.zeros_like(roll[0])], photos)
    assert "film (floor)" not in found.rows
    assert any(note.startswith("no floor") for note in found.notes)


@pytest.mark.parametrize(
    ("sides", "options", "message"),
    [
        (([], "roll"), {}, "expects developed pictures, got none"),
        (("roll", []), {}, "expects film scans, got none"),
        (("roll", "roll", []), {}, "expects photos, got none"),
        (("roll", "roll"), {"rolls": ["a"]}, "a roll for each of 4 scans, got 1"),
        (("black", "roll"), {}, "developed: GrainMeasurement expects at least 10 flat blocks"),
        (("roll", "black"), {}, "film: GrainMeasurement expects at least 10 flat blocks"),
    ],
)
def test_bad_sides_are_named(roll, sides, options, message):
    known = {"roll": roll, "black": [np.zeros((64, 64, 3), np.uint8)]}
    with pytest.raises(ValueError, match=message):
        realism(*(known[side] if isinstance(side, str) else side for side in sides), **options)


def test_the_rule_holds_for_all_sides(roll, photos):
    rule = FlatBlocks(size=32, stride=16, max_structure=0.4)
    found = realism(roll[:1], roll[:2], photos, rule=rule)
    assert found.rule == rule
    assert {len(measured.frequency) for measured in found.measurements.values()} == {23}
