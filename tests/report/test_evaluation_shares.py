from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binomtest
from tests.report.synthetic_evaluation import digit_images, write_evaluation

from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_record import Classes, Dimension
from uncollapse.report.evaluation_shares import class_bars, clusters, dimensions
from uncollapse.report.evaluation_tiles import DETAILS, Thumbs


def classes(real: tuple[int, ...], fake: tuple[int, ...], other: tuple[int, ...] | None = None) -> Classes:
    names = tuple(f"c{i}" for i in range(len(real)))
    return Classes(source="classifier", names=names, real=real, fake=fake, other=other)


def test_bars_show_shares_with_wilson_intervals() -> None:
    bars = class_bars(classes((60, 40), (100, 0), (50, 50)), "theirs")
    assert bars is not None
    assert [bar.name for bar in bars.bars] == ["c0", "c1"]
    sides = {side: (share, interval, count) for side, share, interval, count, _ in bars.bars[1].sides}
    wanted = binomtest(40, 100).proportion_ci(method="wilson")
    assert sides["real"] == ("40 %", f"{100 * wanted.low:.0f} to {100 * wanted.high:.0f} %", "40")
    assert sides["fake"][0] == "0 %"
    assert sides["other"][2] == "50"
    strip = bars.bars[0].sides[1][4]
    # The line ends at 1.03 x the largest upper end, cut at 1: the fakes' 100 % fill it.
    assert strip.spans[0] == (0.0, 0.0, "bar fake")
    assert "n = 100 real, 100 generated, 100 theirs rows" in bars.note
    assert "the classes that a classifier sees" in bars.note


def test_of_many_classes_the_most_changed_stand_first() -> None:
    real = tuple([10] * 300)
    fake = tuple([10] * 299 + [500])
    bars = class_bars(classes(real, fake))
    assert bars is not None
    assert bars.bars[0].name == "c299"
    assert (len(bars.bars), len(bars.folded), bars.left_out) == (24, 200, 76)
    assert "changed most stand first" in bars.note


@pytest.mark.parametrize("counts", [None, ((), ()), ((0, 0), (1, 2)), ((1, 2), (0, 0))])
def test_without_counts_there_are_no_bars(counts: tuple[tuple[int, ...], tuple[int, ...]] | None) -> None:
    assert class_bars(None if counts is None else classes(*counts)) is None


def test_changed_clusters_have_pictures_and_all_have_numbers(tmp_path: Path) -> None:
    record = load_evaluation(write_evaluation(tmp_path, *digit_images(n_real=400, n_fake=400), clusters=8))
    pictured, rows, left_out = clusters(record, Thumbs(record.pictures.thumbs), DETAILS[0])
    assert (len(rows), left_out) == (8, 0)
    changed = [cluster for cluster in record.clusters if cluster.state != "even"]
    assert changed
    assert [row.name for row in pictured] == [cluster.name for cluster in changed]
    first, row = record.clusters[0], rows[0]
    assert first.share_real
    assert first.share_fake is not None
    assert row.ratio == f"{first.share_fake / first.share_real:.2g}"
    assert (row.state, row.n_real, row.p) == ("starved", str(first.n_real), "below 0.001")
    assert pictured[0].pictures is not None
    assert [line.lead for line in pictured[0].pictures.rows] == ["real", "generated"]
    # Vectors have the numbers alone.
    assert clusters(record, Thumbs(None), DETAILS[0])[0] == []


def test_dimensions_are_listed_with_their_spread_and_counted() -> None:
    row = Dimension(name="x", real_mean=0.0, fake_mean=1.0, real_sd=1.0, fake_sd=0.5, effect=0.7, sentence="Moved.")
    gone = Dimension(name="y", real_mean=None, fake_mean=1.0, real_sd=1.0, fake_sd=0.5, effect=None, sentence="")
    shown, left_out = dimensions((row, gone, *[row] * 48))
    assert (len(shown), left_out) == (40, 10)
    assert (shown[0].real, shown[0].fake, shown[0].effect) == ("0.00 ± 1.00", "1.00 ± 0.50", "0.70")
    assert shown[0].strip is not None
    # From -1 to 1.5 with 8 % of that on each side: 0 stands at 1.2 / 2.9.
    assert shown[0].strip.marks[0] == (pytest.approx(100 * 1.2 / 2.9, abs=0.01), "mean upper")
    assert (shown[1].strip, shown[1].effect) == (None, "none")
