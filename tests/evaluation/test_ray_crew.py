from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.evaluation.making import digits
from tests.evaluation.test_crews import fill, same

from uncollapse.data.opening import open_source
from uncollapse.data.source import Source
from uncollapse.distributed import RanksFailed
from uncollapse.errors import UserError
from uncollapse.evaluation.ray_crew import AHEAD, RayCrew, Reader, ray_crew
from uncollapse.features.extraction import extract, extract_together
from uncollapse.features.pixels import Pixels

EXTRACTOR = Pixels(side=8)


class Gone(Exception):
    """Stands for Ray's errors."""


class Late(Exception):
    """Stands for Ray's time-out."""


class HereRay:
    """Readers in this process, which answer when they are asked for an answer."""

    exceptions = SimpleNamespace(RayError=Gone, GetTimeoutError=Late)

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble, self.waiting, self.most, self.readers, self.killed = trouble, 0, 0, 0, 0

    def remote(self, **options: object) -> Any:
        self.options = options

        def make(reader: type[Reader]) -> Any:
            def start(*given: Any) -> Any:
                self.readers += 1
                made = reader(*given)
                return SimpleNamespace(read=SimpleNamespace(remote=lambda *part: self.asked(made, part)))

            return SimpleNamespace(remote=start)

        return make

    def asked(self, reader: Reader, part: Any) -> Any:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return lambda: reader.read(*part)

    def get(self, ref: Any, timeout: float) -> bytes:
        assert timeout == 1800
        self.waiting -= 1
        if self.trouble is not None:
            raise self.trouble
        return bytes(ref())

    def kill(self, reader: object) -> None:
        self.killed += 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("ray"))


def source(folder: Path, max_bad: float = 0.1) -> Source:
    return open_source(str(folder / "real"), side="real", max_bad=max_bad)


def test_readers_give_the_rows_of_one_process_in_its_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.features.shards.LEAST_ROWS", 32)
    ray = HereRay()
    given = source(folder)
    found = extract_together(given, EXTRACTOR, RayCrew(ray, 3, 0.0), reopen=lambda: source(folder, 1.0))
    alone = source(folder)
    expected = extract(alone, EXTRACTOR)
    assert found is not None
    np.testing.assert_array_equal(found.features, expected.features)
    assert (found.names, found.labels, found.notes) == (expected.names, expected.labels, expected.notes)
    assert found.notes.bad_count == 1
    last = len(found.names) - 1
    np.testing.assert_array_equal(given.fetch([0, last])[1], alone.fetch([last])[0])
    assert (ray.readers, ray.killed, ray.most) == (3, 3, 3 * AHEAD)
    assert ray.options["num_gpus"] == 0.0


def test_what_a_reader_finds_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    def failure(ray: HereRay, reopen: Any) -> str:
        with pytest.raises((UserError, RanksFailed)) as caught:
            extract_together(source(folder), EXTRACTOR, RayCrew(ray, 2, 0.0), reopen=reopen)
        assert ray.killed == ray.readers > 0
        return str(caught.value)

    def here() -> Source:
        return source(folder, 1.0)

    assert failure(HereRay(Late()), here).startswith("A reader of Ray was silent for 30 minutes")
    assert "is gone (Gone: node died)" in failure(HereRay(Gone("trace\nnode died")), here)
    other = open_source(digits()[0][:5], side="real")
    assert failure(HereRay(), lambda: other).startswith("A reader finds 5 rows where there were 301")
    assert "does not exist" in failure(HereRay(), lambda: open_source(str(tmp_path / "no"), side="real"))


def test_too_many_unreadable_rows_are_refused_as_by_one_process(folder: Path) -> None:
    ray = HereRay()
    with pytest.raises(UserError, match="1 of 301 rows cannot be read, more than the allowed share of 0"):
        extract_together(source(folder, 0.0), EXTRACTOR, RayCrew(ray, 2, 0.0), reopen=lambda: source(folder, 1.0))
    assert ray.killed == 2


def test_impossible_numbers_of_readers() -> None:
    with pytest.raises(UserError, match="--jobs 0 is not possible"), ray_crew(0):
        pass


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed here")
def test_on_ray_the_command_gives_the_document_of_one_process(folder: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "uncollapse", "evaluate", str(folder / "real"), str(folder / "fake")]
    words += ["--metrics", "coverage,recall,c2st,frechet_distance", "--no-cache"]
    found = []
    for name, more in (("alone", []), ("ray", ["--engine", "ray", "--jobs", "2"])):
        done = subprocess.run(
            [*words, "--out", str(tmp_path / name), *more], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        found.append(json.loads((tmp_path / name / "evaluation.json").read_text()))
    same(*found)
