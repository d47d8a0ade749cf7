import csv
import itertools
import json

from d2f_mlx.training import Log, Report

import pytest

METER = {"steps": 3, "prepare_s": 0.25, "process_s": 0.75, "compute_efficiency": 0.75}
HELD_OUT = {"mse": 0.125, "psnr": 9.0}


def report(step, **more):
    return Report(step, 1 / step, meter=METER, **more)


def rows(file):
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text().splitlines()]
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(params=[".jsonl", ".csv"])
def file(request, tmp_path):
    return tmp_path / "logs" / f"training{request.param}"


def test_a_line_has_all_that_was_told(file):
    seconds = itertools.count(10, 5)
    log = Log(file, clock=lambda: next(seconds))
    log(report(1, losses={"gan": 0.5, "lost": float("nan")}, learning_rate=0.01))
    log(report(2, evaluation=HELD_OUT))
    first, second = rows(file)
    for row in (first, second):
        assert row.pop("time").endswith("+00:00")
    times = {"prepare_s": 0.25, "process_s": 0.75, "compute_efficiency": 0.75}
    expected = [
        {"step": 1, "loss": 1.0, "learning_rate": 0.01, "losses/gan": 0.5, **times, "wall_s": 5.0},
        {"step": 2, "loss": 0.5, "held_out/mse": 0.125, "held_out/psnr": 9.0, **times, "wall_s": 10.0},
    ]
    found = [{name: float(value) for name, value in row.items() if value != ""} for row in (first, second)]
    assert found == expected


def test_a_csv_has_every_column_in_every_line(tmp_path):
    file = tmp_path / "log.csv"
    log = Log(file)
    log(report(1))
    log(report(2, evaluation=HELD_OUT))
    log(report(3, losses={'a "b", c': 2.0}))
    lines = [*csv.reader(file.read_text().splitlines())]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert [row["held_out/mse"] for row in rows(file)] == ["", "0.125", ""]
    assert [row['losses/a "b", c'] for row in rows(file)] == ["", "", "2.0"]


def test_there_is_a_line_every_so_many_steps_and_for_every_evaluation(file):
    log = Log(file, 3)
    for step in range(1, 8):
        log(report(step, evaluation=HELD_OUT if step == 4 else None))
    assert [int(row["step"]) for row in rows(file)] == [3, 4, 6]


def test_a_resumed_log_has_each_step_once_and_no_torn_line(file):
    seconds = itertools.count()
    log = Log(file, clock=lambda: next(seconds))
    for step in range(1, 6):
        log(report(step, evaluation=HELD_OUT if step == 2 else None))
    kept = rows(file)[:3]
    with file.open("a") as lines:
        lines.write('{"step": 6, "los' if file.suffix == ".jsonl" else "6,0.1")
    log = Log(file, resume=True, clock=lambda: next(seconds))
    for step in range(4, 7):
        log(report(step, losses={"new": 1.0}))
    found = rows(file)
    assert [int(row["step"]) for row in found] == [1, 2, 3, 4, 5, 6]
    assert [{name: row[name] for name in old} for row, old in zip(found, kept, strict=False)] == kept
    assert [float(row["wall_s"]) for row in found] == [1, 2, 3, 4, 5, 6]
    assert [float(row["losses/new"]) for row in found[3:]] == [1, 1, 1]


def test_a_log_is_not_begun_over_another(file):
    Log(file)
    Log(file)(report(1))  # an empty one is none
    before = file.read_bytes()
    with pytest.raises(ValueError, match="exists; resume"):
        Log(file)
    Log(file, resume=True)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "text", ["hello\nworld\n", "a,b\n1,2\n", "[1]\n", '{"step": 1}\n', "step,wall_s\n1\n", "\xff\n"]
)
def test_what_is_no_log_is_not_resumed(file, text):
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ValueError, match="is not the log of a training"):
        Log(file, resume=True)
    assert file.read_text() == text


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.jsonl or \.csv"):
        Log(tmp_path / "log.txt")
    with pytest.raises(ValueError, match="every >= 1, got"):
        Log(tmp_path / "log.csv", 0)
    assert not list(tmp_path.iterdir())
