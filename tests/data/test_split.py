from pathlib import Path

from d2f_mlx.data import roll_names, split_by_roll

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROLLS = [Path(f"scans/roll{roll:02}/{frame}.jpg") for roll in range(40) for frame in range(3)]


def rolls(paths):
    return {path.parent.name for path in paths}


@given(st.floats(0.05, 0.95), st.integers(0, 2**40), st.integers(2, 40))
@settings(max_examples=50, deadline=None)
def test_every_file_is_on_one_side_with_its_roll(fraction, seed, count):
    paths = ROLLS[: 3 * count]
    train, held_out = split_by_roll(paths, fraction, seed)
    assert sorted([*train, *held_out]) == sorted(paths)
    assert rolls(train).isdisjoint(rolls(held_out))
    assert train == sorted(train)
    assert min(len(train), len(held_out)) > 0


def test_order_of_the_files_does_not_matter():
    train, held_out = split_by_roll(ROLLS, 0.25, 3)
    back = split_by_roll(ROLLS[::-1], 0.25, 3)
    assert back == (train[::-1], held_out[::-1])


def test_rolls_keep_their_side_as_the_collection_grows():
    early, late = (split_by_roll(ROLLS[:count], 0.3, 5)[1] for count in (60, 120))
    assert rolls(early) == rolls(late) & rolls(ROLLS[:60])


def test_share_of_rolls_is_about_the_fraction():
    many = [Path(f"scans/{roll}/a.jpg") for roll in range(2000)]
    # binomial: 4 standard deviations of 2000 draws at 0.2 are 72
    assert abs(len(split_by_roll(many, 0.2, 0)[1]) - 400) < 72


def test_published_draw_stays_the_same():
    # Written down once: another draw would let held-out rolls into the training of a resumed run.
    assert sorted(rolls(split_by_roll(ROLLS, 0.1, 0)[1])) == ["roll07", "roll13", "roll24"]


def test_seed_changes_the_draw():
    assert split_by_roll(ROLLS, 0.5, 0) != split_by_roll(ROLLS, 0.5, 1)


def test_named_rolls_are_held_out():
    train, held_out = split_by_roll(ROLLS, ["roll03", "roll07"])
    assert rolls(held_out) == {"roll03", "roll07"}
    assert len(train) == 114


def test_files_of_a_flat_folder_are_their_own_rolls():
    paths = ["scans/a.jpg", "scans/b.jpg", "scans/a.tif"]
    assert roll_names(paths) == ["a", "b", "a"]
    assert split_by_roll(paths, ["a"]) == ([Path("scans/b.jpg")], [Path("scans/a.jpg"), Path("scans/a.tif")])


def test_folders_are_the_rolls_of_their_files():
    assert roll_names(["x/gold/1.jpg", "x/portra/1.jpg", "y/gold/2.jpg"]) == ["gold", "portra", "gold"]


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ("roll03", "expects a list of roll names or a fraction, got 'roll03'"),
        (["roll99"], r"expects names among the 40 rolls \(roll00, .*\), got \['roll99'\]"),
        ([], "expects rolls on both sides, got 0 of 40 rolls held out"),
        (sorted(rolls(ROLLS)), "expects rolls on both sides, got 40 of 40 rolls held out"),
        (0.0, "fraction between 0 and 1, got 0.0"),
        (1, "fraction between 0 and 1, got 1"),
    ],
)
def test_split_errors(held_out, message):
    with pytest.raises(ValueError, match=message):
        split_by_roll(ROLLS, held_out)


def test_a_single_roll_cannot_be_split():
    with pytest.raises(ValueError, match="expects rolls on both sides, got 1 of 1 rolls held out"):
        split_by_roll(["scans/only.jpg"], 0.5)
    with pytest.raises(ValueError, match="expects rolls on both sides, got 0 of 0"):
        split_by_roll([], 0.5)
