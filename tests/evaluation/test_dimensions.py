from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.making import cloud, ring, side

from uncollapse.evaluation import dimensions as module
from uncollapse.evaluation.dimensions import dimensions, moments, whereabouts


def test_moments_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 7)
    for rows in (cloud(50, 0) + 1e6, cloud(50, 0).astype(np.float32)):
        mean, spread = moments(side(rows))
        np.testing.assert_allclose(mean, rows.mean(0, dtype=np.float64), rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(spread, rows.std(0, ddof=1, dtype=np.float64), rtol=1e-6)


def test_the_most_changed_feature_comes_first_with_its_change() -> None:
    real, fake = cloud(400, 0), cloud(400, 1)
    fake[:, 2] = fake[:, 2] / 4
    fake[:, 1] -= 3
    rows = dimensions(side(real), side(fake, "fake")).rows
    assert [row["name"] for row in rows][:2] == ["x2", "x3"]
    assert rows[0]["effect"] == pytest.approx(3, abs=0.2)
    assert rows[1]["effect"] == pytest.approx(np.log(4), abs=0.15)
    assert "real standard deviations lower" in rows[0]["sentence"]
    assert (
        f"its spread is {100 * rows[1]['fake_sd'] / rows[1]['real_sd']:.3g} % of the real one." in rows[1]["sentence"]
    )
    assert rows[0]["real_mean"] == pytest.approx(real[:, 1].mean())
    assert all(row["effect"] < 0.3 for row in rows[2:])


def test_features_without_spread_are_told_as_such() -> None:
    real, fake = cloud(30, 0, 3), cloud(30, 1, 3)
    real[:, 0], fake[:, 0] = 5, 5
    real[:, 1] = 2
    fake[:, 2] = 0
    rows = {row["name"]: row for row in dimensions(side(real), side(fake, "fake")).rows}
    assert rows["x1"]["sentence"] == "The real rows all have one value, and so do the fakes."
    assert rows["x1"]["effect"] == 0
    assert rows["x2"]["sentence"] == "The real rows all have one value, and the fakes do not."
    assert rows["x2"]["effect"] > 10
    assert rows["x3"]["sentence"].endswith("its spread is 0 % of the real one.")
    assert all(np.isfinite(row["effect"]) for row in rows.values())


def test_at_most_forty_are_listed() -> None:
    found = dimensions(side(cloud(30, 0, 50)), side(cloud(30, 1, 50), "fake"))
    assert len(found.rows) == 40
    assert found.test["dimensions"] == 50


def test_differences_within_chance_are_told_as_such() -> None:
    # Of sixteen features some differ by half a standard deviation in so few rows.
    found = dimensions(side(cloud(40, 0, 16)), side(cloud(25, 1, 16), "fake"))
    assert found.rows[0]["effect"] > 0.4
    assert not any(row["beyond_chance"] for row in found.rows)
    assert found.test == {
        "dimensions": 16, "beyond_chance": 0, "alpha": 0.03, "n_real": 40, "n_fake": 25,
        "sentence": "None of the 16 dimensions differs by more than chance.",
    }  # fmt: skip


def test_differences_beyond_chance_are_counted_at_the_level_asked_for() -> None:
    real, fake = cloud(200, 0, 5), cloud(200, 1, 5)
    fake[:, 2] += 0.7
    found = dimensions(side(real), side(fake, "fake"))
    assert [row["name"] for row in found.rows if row["beyond_chance"]] == ["x3"]
    assert found.test["sentence"] == "1 of the 5 dimensions differs by more than chance."
    assert found.rows[0]["p_adjusted"] == pytest.approx(0.001)
    fake[:, :4] += 2
    found = dimensions(side(real), side(fake, "fake"))
    assert found.test["sentence"] == "4 of the 5 dimensions differ by more than chance."
    all_ = dimensions(side(real), side(fake + 2, "fake"))
    assert all_.test["sentence"] == "All of the 5 dimensions differ by more than chance."
    # What lies between two levels is beyond chance at one of them alone.
    fake = cloud(200, 1, 5)
    fake[:, 2] += 0.4
    p = dimensions(side(real), side(fake, "fake")).rows[0]["p_adjusted"]
    assert 0.01 < p < 0.3
    verdicts = [dimensions(side(real), side(fake, "fake"), alpha=level).test["beyond_chance"] for level in (0.01, 0.3)]
    assert verdicts[0] == 0 < verdicts[1]


@pytest.mark.parametrize(("shift", "words"), [(0, "does not differ"), (3, "differs")])
def test_a_single_feature_is_called_one(shift: int, words: str) -> None:
    found = dimensions(side(cloud(60, 0, 1)), side(cloud(60, 1, 1) + shift, "fake"))
    assert found.test["sentence"] == f"The one dimension {words} by more than chance."


def test_where_a_group_lies_is_told_by_the_features_that_set_it_apart() -> None:
    points, place = ring(400, 0, sd=0.01)
    assert whereabouts(side(points), np.flatnonzero(place == 2).tolist()).endswith("x2 near 1")
    rows = cloud(200, 0, 5)
    rows[:20, 3] += 6
    rows[:20, 0] -= 4
    told = whereabouts(side(rows), range(20))
    centre = rows[:20].mean(0)
    assert told == f"x1 near {centre[0]:.2g}, x4 near {centre[3]:.2g}"
    assert whereabouts(side(np.ones((9, 2))), [0]) == "x1 near 1, x2 near 1"
    assert whereabouts(side(cloud(9, 0, 1)), [0]).count("near") == 1
