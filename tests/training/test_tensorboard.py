import sys
from io import BytesIO

from d2f_mlx.training import Report, TensorBoard

import mlx.nn as nn
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorboardX")
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


@pytest.fixture(scope="module")
def read():
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read(folder):
        found = events.EventAccumulator(str(folder), {"scalars": 0, "images": 0, "histograms": 0})
        found.Reload()
        return found

    return read


def report(step, network, evaluation=None):
    return Report(step, 1 / step, evaluation, losses={"gan": 2.0 * step}, learning_rate=0.5, network=network)


def test_events_are_read_back_as_they_were_told(tmp_path, read):
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    board = TensorBoard(tmp_path / "run", 2, pictures=lambda trained: {"film": PICTURE + (trained is not network)})
    for step in range(1, 6):
        board(report(step, network, {"mse": 0.25} if step == 5 else None))
    found = read(tmp_path / "run")  # while it is open: all is on the disk
    curves = {name: [(e.step, e.value) for e in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert curves == {
        "loss": [(2, 0.5), (4, 0.25), (5, pytest.approx(0.2))],
        "learning_rate": [(2, 0.5), (4, 0.5), (5, 0.5)],
        "losses/gan": [(2, 4), (4, 8), (5, 10)],
        "held_out/mse": [(5, 0.25)],
    }
    (image,) = found.Images("film")
    assert image.step == 5
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(image.encoded_image_string))), PICTURE)
    weight = np.array(network.layers[1].weight)
    (histogram,) = found.Histograms("layers/1/weight")
    value = histogram.histogram_value
    assert (histogram.step, value.num, sum(value.bucket)) == (5, 20, 20)
    np.testing.assert_allclose([value.min, value.max, value.sum], [weight.min(), weight.max(), weight.sum()], rtol=1e-5)


def test_a_resumed_training_shows_each_step_once(tmp_path, read):
    network = nn.Linear(2, 2)
    before = TensorBoard(tmp_path)
    for step in range(1, 12):
        before(report(step, network))
    after = TensorBoard(tmp_path, resume=True)
    for step in range(10, 14):
        after(report(step, network))
    assert [event.step for event in read(tmp_path).Scalars("loss")] == list(range(1, 14))


def test_a_folder_with_events_is_not_written_to_by_another_training(tmp_path):
    TensorBoard(tmp_path)(report(1, None))
    with pytest.raises(ValueError, match="holds a training's events"):
        TensorBoard(tmp_path)


def test_what_is_missing_is_told_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match=r"pip install 'd2f_mlx\[tensorboard\]'"):
        TensorBoard(tmp_path / "run")
    assert not (tmp_path / "run").exists()
