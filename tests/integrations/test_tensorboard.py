"""TensorBoard's own reader finds in the event files what the run has in its history."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import uncollapse as uc
from uncollapse.errors import UserError
from uncollapse.integrations import tensorboard
from uncollapse.integrations.tensorboard import TensorBoardLogger
from uncollapse.loggers import Guarded, find_loggers

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed here"
)


def read(folder: Path) -> object:
    found = accumulator.EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    found.Reload()
    return found


def told(directory: Path, history: list[dict[str, object]], result: dict[str, object], seeds: list[int]) -> None:
    (logger,) = find_loggers(["tensorboard", "tensorboard"])
    logger.start({"seeds": seeds, "method": "vanilla"}, directory)
    for row in history:
        logger.log(row)
    logger.finish(result)


def test_a_run_is_read_back(tmp_path: Path) -> None:
    run = uc.train("vanilla", "ring-8", seeds=(3, 5), updates=20, batch=16, out=tmp_path / "run")
    told(run.directory, run.history, run.result, [3, 5])
    folder = run.directory / "tensorboard"
    assert sorted(path.name for path in folder.iterdir()) == ["mean", "seed-3", "seed-5"]
    losses = [row["losses"]["critic"] for row in run.history if "losses" in row]
    one, mean = read(folder / "seed-5"), read(folder / "mean")
    np.testing.assert_allclose([item.value for item in one.Scalars("losses/critic")], [v[1] for v in losses], rtol=1e-6)
    np.testing.assert_allclose([item.value for item in mean.Scalars("losses/critic")], np.mean(losses, 1), rtol=1e-6)
    assert [item.step for item in one.Scalars("losses/critic")] == [
        row["update"] for row in run.history if "losses" in row
    ]
    (final,) = one.Scalars("final/averaged/modes_hit")
    assert (final.step, final.value) == (20, run.metrics[1]["measures"]["averaged"]["modes_hit"])
    pictures = one.Images("samples")
    assert [item.step for item in pictures] == [row["update"] for row in run.history if row.get("snapshot")]
    assert np.asarray(Image.open(io.BytesIO(pictures[-1].encoded_image_string))).std() > 5
    (text,) = mean.Tensors("spec/text_summary")
    assert b"method: vanilla" in text.tensor_proto.string_val[0]


def test_an_alarm_stands_with_its_seed_and_null_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"update": 0, "losses": {"critic": [None, 2.0]}},
        {"update": 7, "alarm": {"status": "collapsed", "seed": 1, "sentence": "Two modes are lost."}},
        {"update": 9, "alarm": {"status": "never-healthy", "seed": None, "sentence": "All."}},
    ]
    told(tmp_path, rows, {}, [0, 1])
    assert read(tmp_path / "tensorboard" / "seed-0").Tags()["scalars"] == []
    assert [item.value for item in read(tmp_path / "tensorboard" / "mean").Scalars("losses/critic")] == [2.0]
    (text,) = read(tmp_path / "tensorboard" / "seed-1").Tensors("monitor/text_summary")
    assert text.step == 7
    assert text.tensor_proto.string_val[0] == b"collapsed: Two modes are lost."
    (text,) = read(tmp_path / "tensorboard" / "mean").Tensors("monitor/text_summary")
    assert text.step == 9


def test_a_continued_run_replaces_what_it_trains_again(tmp_path: Path) -> None:
    told(tmp_path, [{"update": at, "losses": {"critic": [1.0]}} for at in (0, 10, 20, 30)], {}, [0])
    told(tmp_path, [{"update": at, "losses": {"critic": [2.0]}} for at in (20, 30, 40)], {}, [0])
    found = read(tmp_path / "tensorboard" / "seed-0").Scalars("losses/critic")
    assert [(item.step, item.value) for item in found] == [(0, 1), (10, 1), (20, 2), (30, 2), (40, 2)]


def test_a_run_that_was_only_judged_in_its_last_sitting_gets_its_final_measures(tmp_path: Path) -> None:
    told(tmp_path, [{"update": at, "losses": {"critic": [1.0]}} for at in (0, 10)], {}, [0])
    told(tmp_path, [], {"updates": 10, "lanes": [{"measures": {"averaged": {"modes_hit": 3.0}}}]}, [0])
    found = read(tmp_path / "tensorboard" / "seed-0")
    assert [(item.step, item.value) for item in found.Scalars("final/averaged/modes_hit")] == [(10, 3)]
    assert [item.step for item in found.Scalars("losses/critic")] == [0, 10]


def test_files_of_two_sittings_in_one_second_have_names_in_their_order(tmp_path: Path) -> None:
    for at in range(2):
        told(tmp_path, [{"update": at, "losses": {"critic": [1.0]}}], {}, [0])
    names = sorted((tmp_path / "tensorboard" / "seed-0").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    first, second = (int(path.name.split(".")[3]) for path in names)
    assert first < second, "whatever host, process and counter follow in the name"


def test_a_sitting_waits_for_the_last_file_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of one sitting may begin with two different seconds."""
    waited: list[float] = []
    monkeypatch.setattr(tensorboard.time, "time", lambda: 1_000.25)
    monkeypatch.setattr(tensorboard.time, "sleep", waited.append)
    for folder, second in {"mean": 999, "seed-0": 1_000}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"events.out.tfevents.{second}.host.1.0").touch()
        tensorboard._wait_for_a_later_name(tmp_path)
    assert waited == [0.75]


def test_a_run_that_ends_before_its_first_line_leaves_no_file(tmp_path: Path) -> None:
    told(tmp_path, [], {}, [0])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tensorboard").write_text("a file is in the way")
    group = Guarded(find_loggers(["tensorboard"]))
    group.start({"seeds": [0]}, tmp_path)
    group.log({"update": 0, "losses": {"critic": [1.0]}})
    group.finish({})
    assert len(group) == 0
    assert "TensorBoardLogger failed" in caplog.text


def test_without_the_package_one_sentence_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'uncollapse\[tensorboard\]'"):
        TensorBoardLogger()
