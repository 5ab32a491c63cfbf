from __future__ import annotations

from pathlib import Path

from tests.report.synthetic import write_run

from uncollapse.report.curves import coverage, families, losses, modes_over_training
from uncollapse.report.load import load
from uncollapse.report.palette import styles
from uncollapse.report.records import Cell, Record


def test_families_are_tasks_that_differ_in_their_number_only() -> None:
    names = ("blobs-16", "ring-8", "blobs-4", "digits")
    cells = tuple(Cell(method="a", task=task, seeds=(), runs=()) for task in names)
    record = Record(directory=Path(), kind="comparison", plan={}, cells=cells, versions={}, command="")
    assert families(record) == {"blobs": [(4, "blobs-4"), (16, "blobs-16")]}


def test_a_diverged_seed_gets_its_cross_and_a_method_its_chart(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8), None], hash_="ab", seeds=(0, 1))
    cells = load(run).cells
    looks = styles(["vanilla"])
    (modes,) = modes_over_training(cells, "ring-8", looks, 1.0)
    (loss,) = losses(cells, "ring-8", looks, 1.0)
    assert "2 seeds and their median" in modes.markup
    assert loss.caption == ""
    healthy = load(write_run(tmp_path, "wgan", "ring-8", [range(8)] * 2, hash_="cd", seeds=(0, 1))).cells
    (plain,) = losses(healthy, "ring-8", styles(["wgan"]), 1.0)
    # Only the cross is drawn in the page's ink.
    assert "stroke: var(--ink)" in loss.markup
    assert "stroke: var(--ink)" not in plain.markup


def test_losses_of_very_different_sizes_are_drawn_on_a_logarithmic_scale(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)], hash_="ab", seeds=(0,))
    with (run / "history.jsonl").open("a") as stream:
        stream.write('{"update": 4020, "losses": {"critic": [-50000.0], "generator": [50000.0]}}\n')
    (loss,) = losses(load(run).cells, "ring-8", styles(["vanilla"]), 1.0)
    assert "Logarithmic" in loss.caption


def test_coverage_draws_both_measures_and_the_claims_beside_the_measure_they_are_about(comparison: Path) -> None:
    record = load(comparison)
    solid, lenient = coverage(record, "blobs", styles(record.methods))
    assert solid.caption == ""
    assert "what the source claims" in lenient.caption
