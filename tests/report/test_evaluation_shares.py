from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import binomtest
from tests.report.synthetic_evaluation import digit_images, write_evaluation

from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_record import Classes
from uncollapse.report.evaluation_shares import class_bars, clusters
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
    found = clusters(record, Thumbs(record.pictures.thumbs), DETAILS[0])
    assert (len(found.rows), found.left_out, found.further) == (8, 0, 0)
    changed = [cluster for cluster in record.clusters if cluster.state != "even"]
    assert changed
    assert [row.name for row in found.pictured] == [cluster.name for cluster in changed]
    first, row = record.clusters[0], found.rows[0]
    assert first.share_real
    assert first.share_fake is not None
    assert row.ratio == f"{first.share_fake / first.share_real:.2g}"
    assert (row.state, row.n_real, row.p) == ("starved", str(first.n_real), "below 0.001")
    assert found.pictured[0].pictures is not None
    assert [line.lead for line in found.pictured[0].pictures.rows] == ["real", "generated"]
    # Vectors have the numbers alone.
    assert clusters(record, Thumbs(None), DETAILS[0]).pictured == ()


def test_a_table_says_whether_it_holds_all_clusters(tmp_path: Path) -> None:
    record = load_evaluation(write_evaluation(tmp_path, *digit_images(n_real=400, n_fake=300), clusters=8))
    whole = clusters(record, Thumbs(None), DETAILS[0])
    assert whole.head == "All 8 clusters"
    assert whole.note == "All 8 clusters, of 400 real and 300 generated rows that were looked at closely."
    # As in files of old, which hold but the first eight of twenty.
    part = clusters(replace(record, clusters=record.clusters[:3]), Thumbs(record.pictures.thumbs), DETAILS[0])
    held = sum(cluster.share_real or 0 for cluster in record.clusters[:3])
    assert part.head == "The first 3 clusters"
    assert part.note.endswith(f"looked at closely. They hold {100 * held:.0f} % of these real rows.")
    assert clusters(replace(record, clusters=()), Thumbs(None), DETAILS[0]).rows == ()


def test_clusters_beyond_those_with_pictures_are_counted(tmp_path: Path) -> None:
    record = load_evaluation(write_evaluation(tmp_path, *digit_images(n_real=400, n_fake=400), clusters=8))
    changed = sum(cluster.state != "even" for cluster in record.clusters)
    found = clusters(record, Thumbs(record.pictures.thumbs), replace(DETAILS[0], groups=1))
    assert changed > 1
    assert (len(found.pictured), found.further) == (1, changed - 1)


def test_shares_of_one_column_have_one_number_of_digits(tmp_path: Path) -> None:
    bars = class_bars(classes((108, 92, 800), (100, 90, 810)))
    assert bars is not None
    assert [side[1] for bar in bars.bars for side in bar.sides] == [
        "10.8 %",
        "10.0 %",
        "9.2 %",
        "9.0 %",
        "80.0 %",
        "81.0 %",
    ]
    record = load_evaluation(write_evaluation(tmp_path, *digit_images(n_real=400, n_fake=400), clusters=8))
    found = clusters(record, Thumbs(None), DETAILS[0])
    texts = [text for row in found.rows for text in (row.real, row.fake) if text not in ("0 %", "100 %")]
    assert len({len(text.split(".")[-1]) if "." in text else 0 for text in texts}) == 1
