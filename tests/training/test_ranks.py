import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from d2f_mlx import checkpoint
from d2f_mlx.training import Ranks, train_reconstructor

import numpy as np
import pytest
from PIL import Image

import ranked

TOGETHER = 1e-5  # relative, after 20 steps: sums in another order, and what 20 steps of Adam make of them
PATIENCE = 300  # seconds for processes that share two cores with other work


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(7):
        rng = np.random.default_rng(seed)
        grain = rng.normal(rng.integers(60, 190), 6, (64, 64, 3))
        Image.fromarray(grain.clip(0, 255).round().astype(np.uint8)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def alone(scans, tmp_path_factory):
    return ranked.run(scans, tmp_path_factory.mktemp("alone") / "run")


def start(scans, folder, end="", timeout=120, seed=3, size=2):
    """Start processes that find one another over TCP, as mlx.launch does."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(size)]
    hosts = [[f"127.0.0.1:{s.getsockname()[1]}"] for s in sockets]
    for each in sockets:
        each.close()
    folder.mkdir()
    hostfile = folder.parent / f"{folder.name}.json"
    hostfile.write_text(json.dumps(hosts))
    command = [sys.executable, ranked.__file__, scans, folder, end, str(timeout), str(seed)]
    return [
        subprocess.Popen(
            command,
            env={**os.environ, "MLX_RANK": str(rank), "MLX_HOSTFILE": str(hostfile)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def wait(processes):
    """Return exit codes and what was printed, however they end."""
    try:
        errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], errors


def test_two_processes_train_as_one_does(scans, alone, tmp_path):
    codes, errors = wait(start(scans, tmp_path / "run"))
    assert codes == [0, 0], errors
    losses, evaluations = json.loads(Path(tmp_path, "run", "found.json").read_text())
    np.testing.assert_allclose(losses, alone[0], rtol=TOGETHER)
    np.testing.assert_allclose(evaluations, alone[1], rtol=TOGETHER)
    assert checkpoint.from_pretrained(tmp_path / "run").config == ranked.MODEL


@pytest.mark.parametrize(
    ("end", "message"), [("SIGKILL", "lost another one"), ("SIGSTOP", "had no answer from the others for 20 s")]
)
def test_where_a_process_is_lost_the_first_saves_says_so_and_ends(scans, alone, tmp_path, end, message):
    processes = start(scans, tmp_path / "run", end, timeout=20)
    try:
        _, printed = processes[0].communicate(timeout=PATIENCE)
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert processes[0].returncode == 1
    assert message in printed
    assert "--resume" in printed
    _, metadata = checkpoint.load_arrays(tmp_path / "run" / "last.safetensors")
    assert metadata["step"] == "8"
    reports = []
    paths = sorted(scans.glob("*.png"))
    train_reconstructor(
        paths[:4],
        paths[4:],
        tmp_path / "run",
        model=ranked.MODEL,
        stream=ranked.STREAM,
        config=ranked.CONFIG,
        resume=True,
        callbacks=[reports.append],
    )
    np.testing.assert_allclose([r.loss for r in reports], alone[0][8:], rtol=TOGETHER)


def test_processes_with_different_settings_are_refused(scans, tmp_path):
    codes, errors = wait(start(scans, tmp_path / "run", seed=4))
    assert codes == [1, 1]
    assert all("different settings or scans" in text for text in errors)


def test_a_process_alone_has_nothing_to_exchange():
    ranks = Ranks(timeout=1)
    tree = {"a": 1}
    assert (ranks.rank, ranks.size) == (0, 1)
    assert ranks.mean(tree) is tree
    assert ranks.first(tree) is tree
    assert ranks.agree(5)
