from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.synthetic import UPDATES, write_comparison, write_run

from uncollapse.errors import UserError
from uncollapse.report import build, sheets
from uncollapse.report.load import load
from uncollapse.report.sheets_of import sheets_of

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.broken: list[str] = []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data: str) -> None:
        if not {"style", "svg", "script"} & set(self.open):
            self.words.append(data)


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    return Reader(page)


@pytest.mark.parametrize(
    "sentence",
    [
        # Means by hand: (3+4+5+5)/4 = 4.25, (8+8+0+7)/4 = 5.75 with the diverged seed as 0, (8+9+10+9)/4 = 9.
        "On ring-8, vanilla kept 4.2 of 8 modes on average (95 % interval 2.7 to 5.8, 4 seeds; all modes in 0 of 4).",
        "wgan-gp kept 5.8 of 8 modes on average (95 % interval 0.2 to 8.0, 4 seeds; all modes in 2 of 4); "
        "1 seed diverged and counts as 0.",
        "On ring-8, 4 seeds are too few for the paired test to tell (it takes at least 7 for 2 comparisons); "
        "seen so far: against vanilla, wgan-gp kept 1.5 more modes and wgan kept 0.2 fewer modes.",
        "On blobs-4, wgan-gp kept 3.0 fewer modes than vanilla, beyond chance.",
        "None in any run.",
        "(all 8 modes on each of 4 seeds: 3.2 to 8), because a seed that fails one time in two could by luck",
        "Methods used on this page: t.",
        "A diverged or failed seed is no success.",
        "On digits, wgan-gp kept 9.0 of 10 modes on average (95 % interval 7.7 to 10.0, 4 seeds; all modes in 1 of 4).",
        "Against vanilla, wgan-gp kept 3.0 fewer modes (95 % interval of the paired difference \u22123.4 to \u22122.6, "
        "paired sign-flip test, exact, 4 seeds, Holm-adjusted p 0.001): a difference beyond chance.",
        # 0.75 against 0.88..1, 1.0 against 0.18..0.36, 0.3 against 0.88..1 lie outside; 0.3 against 0.18..0.36 inside.
        "The published numbers lie outside the measured interval in 3 of the 4 cells: "
        "vanilla on blobs-4, wgan-gp on blobs-4 and vanilla on blobs-16. That interval does not count how exact",
        "The published order is reversed on blobs-4: the source puts wgan-gp above vanilla;",
        "wgan-gp on ring-8: seed 1002 diverged at update 2,020.",
        "uncollapse compare synthetic --out here",
        "Training took 1 min 22 s, added over all runs.",
        "sorted by the classifier, as the method takes no label",
        "sorted by the label they were drawn for",
        "on the features of the trained classifier",
        # What the images show, from the numbers of the synthetic cells.
        "cwgan-gp keeps every class in 4 of 4 seeds, wgan-gp in 1 of 4 seeds: 1.0 more solid classes, "
        "which 4 seeds cannot establish (it takes 8 for 4 comparisons).",
        "The classifier sees the label asked for in 98 % (96 to 99 %, 4 seeds) of the images of cwgan-gp; "
        "of held-out real images it is right on 100 %.",
        "cwgan-gp 0.35 (0.26 to 0.44, 4 seeds): collapse inside classes.",
        "wgan-gp 0.75 (0.66 to 0.84, 4 seeds): repetition inside classes, or lost classes.",
        "First row: real training images measured as if a generator had made them",
        "Share of real images as near to a generated one",
    ],
)
def test_says_what_the_numbers_say(reader: Reader, sentence: str) -> None:
    assert sentence in reader.text


def test_every_section_stands_in_order(reader: Reader) -> None:
    sections = [attributes["id"] for tag, attributes in reader.tags if tag == "section"]
    assert "alarms" not in sections
    assert sections == [
        "answer", "table", "coverage", "claims", "density", "strip", "curves", "classes", "methods",
        "cost", "repeat", "glossary", "next",
    ]  # fmt: skip


def test_the_headings_descend_one_by_one(reader: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[:2] == [1, 2]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_section_heading_method_and_row_has_an_address(reader: Reader) -> None:
    rows = [a for tag, a in reader.tags if tag == "tr"]
    heads = sum(tag == "thead" for tag, _ in reader.tags)
    assert sum("id" in a for a in rows) == len(rows) - heads > 20
    names = {a["id"] for _, a in reader.tags if "id" in a}
    assert {"row-ring-8-wgan-gp", "method-wgan-gp", "table-ring-8", "strip-digits", "curves-blobs-4"} <= names
    links = {a.get("href") for tag, a in reader.tags if tag == "a" and a.get("class") == "here"}
    assert all(f"#{a['id']}" in links for tag, a in reader.tags if tag in ("section", "h3"))


def test_every_table_says_what_it_holds_and_which_cells_are_heads(reader: Reader) -> None:
    tables = sum(tag == "table" for tag, _ in reader.tags)
    assert tables == sum(tag == "caption" for tag, _ in reader.tags) > 5
    heads = [a for tag, a in reader.tags if tag == "th"]
    assert all(a.get("scope") in ("row", "col") for a in heads)


def test_the_numbers_are_in_the_page_as_data(page: str, comparison: Path) -> None:
    found = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.DOTALL)
    assert found
    document = json.loads(found[1])
    assert document == json.loads(json.dumps(sheets.document(sheets_of(load(comparison)))))
    (row,) = (
        row for t in document["tables"] if t["name"] == "measures" for row in t["rows"] if row["method"] == "wgan"
    )
    assert row["modes_solid"] == {
        "value": 4.0, "low": 3.1, "high": 4.9, "level": 0.95, "n": 4, "text": "4.0 [3.1, 4.9], 4 seeds",
    }  # fmt: skip


def test_alarms_are_marked_in_the_curves_and_listed(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="ab", seeds=(4, 5))
    hostile = {"status": "collapsed", "seed": 5, "sentence": "Coverage <script>fell</script>."}
    with (run / "history.jsonl").open("a") as stream:
        stream.write(json.dumps({"update": 2400, "alarm": hostile}) + "\n")
    page = build(run).read_text()
    reader = Reader(page)
    assert "The monitor raised 1 alarm: vanilla on ring-8 (seed 5)." in reader.text
    assert "Coverage <script>fell</script>." in reader.text
    assert page.count("<script") == 2
    values = [json.loads(a["data-values"] or "") for tag, a in reader.tags if tag == "svg" and "data-values" in a]
    marks = [line for it in values for line in it["lines"] if "said" in line]
    # One in the modes, one in the losses.
    assert [mark["name"] for mark in marks] == ["vanilla, alarm for seed 5"] * 2
    assert marks[0]["said"] == ["collapsed: Coverage <script>fell</script>."]


def test_a_rollback_is_marked_listed_and_said_where_the_numbers_are(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="ab", seeds=(4, 5))
    rows: list[dict[str, Any]] = [
        {"update": 800, "alarm": {"status": "never-healthy", "seed": 4, "sentence": "Never."}},
        {"update": 2400, "alarm": {"status": "collapsed", "seed": 5, "sentence": "Gone."}},
        {"update": 2400, "rollback": {"seed": 5, "to": 2000, "sentence": "Seed 5 was put back."}},
    ]
    with (run / "history.jsonl").open("a") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    spec = json.loads((run / "spec.json").read_text())
    (run / "spec.json").write_text(json.dumps(spec | {"monitor": {"every": 400, "alpha": 0.03}}))
    reader = Reader(build(run).read_text())
    assert "The monitor raised 1 alarm: vanilla on ring-8 (seed 5). Never seen healthy" in reader.text
    told = "vanilla on ring-8: seed 5 was put back at update 2,400 to what it was at update 2,000; its numbers rest"
    assert reader.text.count(told) == 2  # under the table and among the outcomes
    assert "a false alarm in its whole run with a chance of at most 3 %. That holds for each seed" in reader.text
    values = [json.loads(a["data-values"] or "") for tag, a in reader.tags if tag == "svg" and "data-values" in a]
    marks = [(line["name"], line["said"][0]) for it in values for line in it["lines"] if "said" in line]
    assert set(marks) == {
        ("vanilla, monitor for seed 4", "never-healthy: Never."),
        ("vanilla, alarm for seed 5", "collapsed: Gone."),
        ("vanilla, monitor for seed 5", "rolled back: Seed 5 was put back."),
    }


def test_every_chart_over_training_can_be_read_off(reader: Reader) -> None:
    charts = {a["data-name"]: a for tag, a in reader.tags if tag == "svg" and "data-name" in a}
    for name in ("modes-ring-8-vanilla", "losses-ring-8-vanilla", "coverage-blobs-modes_solid", "entropy-digits"):
        assert "data-values" in charts[name], name
    (line,) = (
        line
        for line in json.loads(charts["modes-ring-8-vanilla"]["data-values"] or "")["lines"]
        if line["name"] == "vanilla, seed 1002"
    )
    assert line["y"][-1] == 5  # the synthetic seed keeps five modes


def test_a_run_of_many_snapshots_shows_eleven_and_scrubs_through_all(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)], hash_="ab", seeds=(4,))
    for update in range(20, 840, 40):
        shutil.copy(run / "samples" / "step-00000400.npz", run / "samples" / f"step-{update:08d}.npz")
    shots = [a for tag, a in Reader(build(run).read_text()).tags if tag == "figure" and "data-update" in a]
    shown = [int(a["data-update"] or 0) for a in shots[:11]]  # the others are folded below
    assert len(shots) == len(list((run / "samples").glob("step-*.npz")))
    assert "hidden" not in {key for a in shots for key in a}
    assert (shown[0], shown[-1]) == (0, UPDATES)


def test_links_lead_somewhere(reader: Reader) -> None:
    names = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    links = [attributes.get("href") or "" for tag, attributes in reader.tags if tag in ("a", "use")]
    assert len(names) == len(set(names))
    papers = [link for link in links if re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}", link)]
    assert papers, "the methods' papers"
    assert all(link in papers or (link.startswith("#") and link[1:] in names) for link in links)


def test_is_well_formed_and_needs_no_network(page: str, reader: Reader) -> None:
    assert not reader.broken
    assert not reader.open
    page = page.replace("http://www.w3.org/2000/svg", "")  # the name of a kind of element, which nobody fetches
    # Nothing is loaded; the only addresses are those of papers, which a reader may follow.
    assert "://" not in re.sub(r'<a href="https://arxiv\.org/abs/[\d.]+" rel="noreferrer">', "", page)
    assert not [tag for tag, _ in reader.tags if tag in ("link", "iframe", "object", "embed", "base", "form")]
    assert [a for tag, a in reader.tags if tag == "script"] == [{"type": "application/json", "id": "numbers"}, {}]
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    assert all((a["src"] or "").startswith("data:image/png;base64,") for tag, a in reader.tags if tag == "img")
    assert "url(" not in page.replace("url(#", "")


def test_every_picture_has_words(reader: Reader) -> None:
    images = [attributes for tag, attributes in reader.tags if tag == "img"]
    charts = [a for tag, a in reader.tags if tag == "svg" and "aria-hidden" not in a]
    assert len(images) > 50
    assert all("alt" in attributes for attributes in images)
    # Only the rings laid over a described picture are decoration.
    assert all(attributes["alt"] for attributes in images if attributes.get("class") != "over")
    assert all(a.get("role") == "img" and a.get("aria-label") for a in charts)


def test_pictures_show_four_panels_a_method_and_every_snapshot(reader: Reader) -> None:
    words = [a["alt"] or "" for tag, a in reader.tags if tag == "img"]
    assert sum("Density of real samples on ring-8" in alt for alt in words) == 3
    assert "Density of samples of vanilla on ring-8" in words
    assert f"Samples of wgan-gp on blobs-16 after {UPDATES} updates" in words
    assert sum("of vanilla on ring-8 after" in alt for alt in words) == 11


def test_every_seed_has_its_classes_over_training(reader: Reader) -> None:
    heats = [a["alt"] or "" for tag, a in reader.tags if tag == "img" and a.get("class") == "heat"]
    assert len(heats) == 8
    assert sum("of wgan-gp on digits" in alt and "hardly made: digit" in alt for alt in heats) == 3


def test_only_what_was_measured_is_explained(reader: Reader) -> None:
    names = {attributes.get("id") for tag, attributes in reader.tags if tag == "dt"}
    assert {"g-modes_solid", "g-recall", "g-label_agreement"} <= names
    assert "g-precision" not in names
    assert "g-modes_five" not in names


def test_is_below_five_megabytes(comparison: Path) -> None:
    assert (comparison / "report.html").stat().st_size < 5_000_000


@pytest.mark.slow
def test_leaves_no_half_file_and_says_the_same_twice(tmp_path: Path) -> None:
    directory = write_comparison(tmp_path / "here", small=True)
    first = build(directory).read_bytes()
    assert build(directory) == directory / "report.html"
    assert (directory / "report.html").read_bytes() == first
    assert not [path for path in directory.iterdir() if "tmp" in path.name]


def test_cards_of_the_methods_are_folded_and_say_what_differs(reader: Reader) -> None:
    cards = [a for tag, a in reader.tags if tag == "details" and a.get("class") == "card"]
    assert [card["id"] for card in cards] == [f"method-{name}" for name in ("vanilla", "wgan-gp", "wgan", "cwgan-gp")]
    assert not [card for card in cards if "open" in card]
    assert "Measured with averaged weights (half-life 500 generator updates)" in reader.text
    assert "The label enters through an embedding as wide as the number of classes." in reader.text


HOSTILE = '<img src=x onerror="alert(1)">$x$--><script>'


def test_a_hostile_method_name_is_only_text(tmp_path: Path) -> None:
    page = build(write_comparison(tmp_path, hostile=HOSTILE, small=True)).read_text()
    reader = Reader(page)
    assert not reader.broken
    assert page.count("<script") == 2
    assert "<img src=x" not in page
    assert not [a for tag, a in reader.tags if tag == "img" and not (a["src"] or "").startswith("data:")]
    assert f"{HOSTILE} kept 4.0 of 8 modes" in reader.text


def test_a_single_run_gets_its_report(tmp_path: Path) -> None:
    every = range(8)
    run = write_run(tmp_path, "vanilla", "ring-8", [every, every, every, [0, 1, 2, 3]], hash_="ab")
    text = Reader(build(run).read_text()).text
    # (8 + 8 + 8 + 4) / 4 = 7
    assert "On ring-8, vanilla lost modes in 1 of 4 seeds." in text
    assert "vanilla kept 7.0 of 8 modes on average" in text
    assert "all modes in 3 of 4" in text
    assert "None: every seed ended with finite losses, no run failed, and no seed was put back." in text
    assert "comparison.json" not in text


def test_an_unfinished_run_shows_how_far_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 4, hash_="ab", until=1200)
    with (run / "history.jsonl").open("a") as stream:
        stream.write('{"update": 1220, "loss')  # a line that a kill cut off
    text = Reader(build(run).read_text()).text
    assert "vanilla on ring-8 is unfinished: update 1,200 of 4,000; run the same command again to continue it." in text
    assert "On ring-8, vanilla is still training: these are the numbers of update 1,200." in text
    assert "vanilla kept 8.0 of 8 modes on average" in text


def test_a_run_that_has_only_begun_still_gets_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="ab", until=0, seeds=(0, 1))
    shutil.rmtree(run / "samples")
    (run / "history.jsonl").unlink()
    text = Reader(build(run).read_text()).text
    assert "On ring-8 nothing is finished yet, so there is no answer so far." in text


def test_failed_and_unfinished_runs_are_shown(tmp_path: Path) -> None:
    again = write_comparison(tmp_path / "again", small=True)
    content = json.loads((again / "comparison.json").read_text())
    content["cells"][0]["failed"] = [{"run": "vanilla-ring-8-a1", "seeds": [7, 8], "error": "disk full."}]
    content["cells"][0] |= {"measures": {}, "runs": [], "seeds": [], "diverged": []}
    content["cells"][0]["success_rate"] = {"value": None, "low": None, "high": None, "successes": 0, "n": 0}
    content["unfinished"] = ["wgan-ring-8-c3"]
    (again / "comparison.json").write_text(json.dumps(content))
    text = Reader(build(again).read_text()).text
    assert "vanilla on ring-8: seeds 7-8 failed: disk full." in text
    assert "1 run is unfinished (wgan-ring-8-c3); run the same command again to continue." in text
    assert "vanilla has no result; 2 seeds failed." in text
    assert "up to 4 seeds each" in text
    assert "0 of 0" not in text


def test_a_task_that_cannot_be_built_leaves_the_real_panels_out(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="ab", seeds=(0, 1))
    spec = json.loads((run / "spec.json").read_text())
    (run / "spec.json").write_text(json.dumps(spec | {"task": {"name": "rings-of-mine"}}))
    reader = Reader(build(run).read_text())
    assert "The real samples are not shown: There is no task 'rings-of-mine'" in reader.text
    words = [a["alt"] or "" for tag, a in reader.tags if tag == "img"]
    assert "Density of samples of vanilla on rings-of-mine" in words
    assert "Rings mark" not in reader.text, "no centres are known"
    assert not any("real" in alt for alt in words)


def rewrite(run: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Changes every snapshot line of a run's history."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    lines = [change(line) if line.get("snapshot") else line for line in lines]
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_warnings_and_damaged_pictures_are_told(tmp_path: Path) -> None:
    directory = write_comparison(tmp_path, small=True)
    run = next((directory / "runs").glob("vanilla-*"))
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"warnings": ["torch changed from 1 to 2."]}))
    (run / "samples" / "step-00000400.npz").write_bytes(b"PK\x03\x04 cut off")
    reader = Reader(build(directory).read_text())
    assert (
        "vanilla on ring-8 (vanilla-ring-8-a1): torch changed from 1 to 2. samples/step-00000400.npz is" in reader.text
    )
    assert "The other 2 runs: none." in reader.text
    assert "left out, as the file is damaged: update 400" in reader.text
    words = [a["alt"] or "" for tag, a in reader.tags if tag == "img"]
    assert sum("of vanilla on ring-8 after" in alt for alt in words) == 10


@pytest.mark.parametrize("recorded", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_plan_of_live_weights_says_which_weights_the_pictures_show(tmp_path: Path, recorded: bool) -> None:
    directory = write_comparison(tmp_path, small=True)
    content = json.loads((directory / "comparison.json").read_text())
    (directory / "comparison.json").write_text(json.dumps(content | {"weights": "live"}))
    if recorded:
        for run in (directory / "runs").iterdir():
            rewrite(run, lambda line: line | {"measures_live": line["measures"], "shares_live": line["shares"]})
    text = Reader(build(directory).read_text()).text
    assert "drawn by the averaged generator (the table shows the live one)" in text
    assert ("Averaged weights; the table shows the live ones." in text) is not recorded


@pytest.mark.parametrize("conditional", [True, False])
def test_a_labelled_mixture_shows_its_classes_when_a_method_takes_labels(tmp_path: Path, conditional: bool) -> None:
    run = write_run(tmp_path, "a", "ring-8", [range(8)] * 2, hash_="ab", seeds=(0, 1))
    if conditional:
        path = run / "samples" / "final.npz"
        final = dict(np.load(path))
        np.savez(path, labels=np.zeros(final["samples"].shape[:2], int), **final)
    text = Reader(build(run).read_text()).text
    assert "Rings mark the true centres." in text
    assert ("Classes by the nearest true mode" in text) is conditional
    assert ("Final shares of the classes" in text) is conditional
    assert ("Entropy of the classes" in text) is conditional


@pytest.mark.slow
@pytest.mark.parametrize(("labelled", "width"), [(True, 2), (False, 2), (True, 3)])
def test_the_users_arrays_show_classes_when_labelled_and_a_map_above_two_dimensions(
    tmp_path: Path, labelled: bool, width: int
) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    x = labels[:, None] * 4 + rng.normal(size=(300, width))
    arrays: dict[str, Any] = {"x": x, "labels": labels} if labelled else {"x": x}
    np.savez(tmp_path / "x.npz", **arrays)
    run = write_run(tmp_path / "runs", "a", "blobs-3", [range(3)] * 2, hash_="ab", seeds=(0, 1))
    spec = json.loads((run / "spec.json").read_text())
    (run / "spec.json").write_text(json.dumps(spec | {"task": {"name": f"array:{tmp_path / 'x.npz'}"}}))
    for path in (run / "samples").iterdir():
        arrays = {name: array[..., [0, 1, 0][:width]] for name, array in dict(np.load(path)).items()}
        np.savez(path, **arrays)
    text = Reader(build(run).read_text()).text
    assert ("Classes by the nearest training row" in text) is labelled
    assert ("Entropy of the classes" in text) is labelled
    assert ("on the values themselves" in text) is (width > 2)


@pytest.mark.parametrize(("make", "what"), [(False, "is not a directory"), (True, "neither comparison.json nor spec")])
def test_refuses_another_directory(tmp_path: Path, make: bool, what: str) -> None:
    directory = tmp_path / "elsewhere"
    if make:
        directory.mkdir()
    with pytest.raises(UserError, match=what) as caught:
        build(directory)
    assert "give a directory that `uncollapse compare` or `uncollapse train` wrote" in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[1]", '{"schema": 1, "cells": [{}]}', '{"schema": 2, "cells": []}'])
def test_refuses_a_damaged_comparison(tmp_path: Path, content: str) -> None:
    (tmp_path / "comparison.json").write_text(content)
    with pytest.raises(UserError, match=r"comparison\.json"):
        build(tmp_path)


RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize("name", ["demo-check", "stacked-digits", "records"])
def test_compact_records_give_a_page_that_knows_modes_and_end(name: str, tmp_path: Path) -> None:
    """The pages of folders without runs said "of None modes", "of 841.9" and "is still training"."""
    shutil.copy(RESULTS / name / "comparison.json", tmp_path)
    text = Reader(build(tmp_path).read_text(encoding="utf-8")).text
    finished = json.loads((tmp_path / "comparison.json").read_text())["status"] == "finished"
    assert ("Only comparison.json is here" in text) is finished
    assert bool(re.search(r"\d+ runs? (is|are) unfinished", text)) is not finished
    assert not re.search(r"of None modes|still training|\(stands for\)", text)
    modes = {"demo-check": "8", "stacked-digits": "1000", "records": "25"}[name]
    assert re.search(rf"\d of {modes}\b", text.replace(",", ""))
    assert ("lost modes in" in text) == (name == "demo-check")


def test_what_compact_records_say_of_missing_modes_holds_for_every_method(tmp_path: Path) -> None:
    shutil.copy(RESULTS / "records" / "comparison.json", tmp_path)
    text = Reader(build(tmp_path).read_text(encoding="utf-8")).text
    document = json.loads((tmp_path / "comparison.json").read_text())
    short = [cell["task"] for cell in document["cells"] if cell["success_rate"]["value"] == 0]
    assert short
    for task in short:
        assert f"{task}: vanilla (10 of 10 seeds)" in text
