from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.synthetic import write_comparison
from tests.report.synthetic_evaluation import Samples, digit_images, write_evaluation
from tests.report.test_page import Reader

from uncollapse.errors import UserError
from uncollapse.report import build
from uncollapse.report.evaluation import coded
from uncollapse.report.page import LIMIT

SECTIONS = [
    "answer", "evidence", "lost", "repeated", "map", "neighbours", "classes", "versus", "metrics", "inputs", "next",
    "repeat", "glossary",
]  # fmt: skip


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collapsed generator of digits with every optional section."""
    directory = tmp_path_factory.mktemp("full")
    real, fake = digit_images()
    write_evaluation(directory, real, fake, versus=True, train=True, per_class=True, notes=["Sizes differ: `a`, b."])
    build(directory)
    return directory


@pytest.fixture(scope="module")
def page(full: Path) -> str:
    return (full / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    return Reader(page)


def vectors(width: int, n: int = 400) -> tuple[Samples, Samples]:
    """Two groups of rows (n, width); the fakes have one of them."""
    rng = np.random.default_rng(1)
    centres = np.where(np.arange(n) % 2, 6.0, 0.0)[:, None]
    return Samples(features=rng.normal(size=(n, width)) + centres), Samples(features=rng.normal(size=(n, width)))


def change(directory: Path, edit: Callable[[dict[str, Any]], object]) -> str:
    """Edits `evaluation.json` in place and builds the page again."""
    path = directory / "evaluation.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return build(directory).read_text(encoding="utf-8")


def sections(reader: Reader) -> list[str | None]:
    return [attributes["id"] for tag, attributes in reader.tags if tag == "section"]


def test_every_section_stands_in_order(reader: Reader) -> None:
    assert sections(reader) == SECTIONS
    links = [a["href"] for tag, a in reader.tags if tag == "a" and (a.get("href") or "").startswith("#")]
    assert links[0] == "#main"
    assert [f"#{name}" for name in SECTIONS] == links[1 : len(SECTIONS) + 1]


@pytest.mark.parametrize(
    "sentence",
    [
        "500 generated images judged against 600 real ones of data/real (features: pixels).",
        "Collapsed: 2 of 10 classes are gone, with 19.8 % of the real data",
        "memorised: fakes lie nearer to training rows than chance allows",
        "There is a note on the inputs.",
        "n = 600 real and 500 generated rows",
        # Three tests; 1.00 is at least 0.5 and significant, 0.06 neither.
        "Beyond chance and large enough. Class 3 is 10.3 % of the real data and is hardly made.",
        "No loss established. Within the classes the fakes are as spread as the real rows.",
        "at most 3 % of healthy generators",
        "30 real samples, all of class 3.",
        "Shares of given labels; n = 600 real, 500 generated, 570 runs/pacgan-2/samples rows",
        "43 of 500 fakes lie nearer to a training row than chance allows.",
        "As varied as the real samples of this class.",
        "runs/pacgan-2/samples is better",
        "Fréchet distance [pixels]",
        "Anything that leaves mean and covariance alone",
        "95 % interval 0.56 to 0.65",
        "No pair of fakes was alike often enough for an upper end.",
        "Small images are their own features.",
        "uncollapse evaluate data/real runs/vanilla/samples --out here",
        "It took: reading 1 s, features 8 s, metrics 4 s.",
    ],
)
def test_says_what_the_file_says(reader: Reader, sentence: str) -> None:
    assert sentence in reader.text


def test_is_well_formed_and_needs_no_network(page: str, reader: Reader) -> None:
    assert not reader.broken
    assert not reader.open
    page = page.replace("http://www.w3.org/2000/svg", "")  # the name of a kind of element, which nobody fetches
    assert "://" not in page
    assert not [tag for tag, _ in reader.tags if tag in ("link", "iframe", "object", "embed", "base", "form")]
    assert [a for tag, a in reader.tags if tag == "script"] == [{"type": "application/json", "id": "numbers"}, {}]
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    assert all((a["src"] or "").startswith("data:image/png;base64,") for tag, a in reader.tags if tag == "img")
    assert "url(" not in page


def test_everything_drawn_has_words_and_every_table_has_heads(reader: Reader) -> None:
    images = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(images) > 100
    assert all(attributes.get("alt") for attributes in images)
    drawn = [a for tag, a in reader.tags if tag == "svg" or "strip" in (a.get("class") or "").split()]
    assert len(drawn) > 40
    assert all(a.get("aria-hidden") == "true" or (a.get("role") == "img" and a.get("aria-label")) for a in drawn)
    heads = [a for tag, a in reader.tags if tag == "th"]
    assert heads
    assert all(a.get("scope") in ("row", "col") for a in heads)
    regions = [a for _, a in reader.tags if a.get("role") == "region"]
    assert len(regions) == sum(tag == "table" for tag, _ in reader.tags)
    assert all(a.get("aria-label") and a.get("tabindex") == "0" for a in regions)


def test_the_headings_descend_and_every_row_has_an_address(reader: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    rows = [a for tag, a in reader.tags if tag == "tr"]
    tables = sum(tag == "table" for tag, _ in reader.tags)
    assert sum("id" in a for a in rows) == len(rows) - tables > 20
    assert tables == sum(tag == "caption" for tag, _ in reader.tags)


def test_links_lead_somewhere(reader: Reader) -> None:
    names = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(names) == len(set(names))
    links = [attributes.get("href") or "" for tag, attributes in reader.tags if tag == "a"]
    assert links
    assert all(link.startswith("#") and link[1:] in names for link in links)


def test_the_verdict_reads_without_colour(page: str) -> None:
    outlines = {}
    for status in ("healthy", "suspect", "collapsed", "inconclusive"):
        found = re.search(rf'<svg class="sign-{status} verdict-mark"[^>]*>(.*?)</svg><span class="status', page)
        assert found, status
        outlines[status] = found[1]
    assert len(set(outlines.values())) == 4
    assert "<span>Collapsed</span>" in page


@pytest.mark.parametrize("status", ["healthy", "suspect", "inconclusive"])
def test_each_status_has_its_word_and_its_sentence(tmp_path: Path, status: str) -> None:
    real, fake = digit_images(healthy=True, n_real=300, n_fake=200)
    text = Reader(build(write_evaluation(tmp_path, real, fake, status=status)).read_text()).text
    assert f"Did it collapse? {status.capitalize()} " in text
    assert ("For an answer 1,200 samples a side would tell; see uncollapse sample." in text) is (
        status == "inconclusive"
    )
    assert ("power 41 % 80 % takes 1,200 rows a side" in text) is (status == "inconclusive")
    assert ("Not collapse, but different The fakes are a little blurred" in text) is (status == "healthy")
    assert ("Besides The fakes are a little blurred" in text) is (status == "suspect")
    assert ("What was lost, in pictures" in text) is (status == "suspect")


def test_without_options_only_what_is_there_is_shown(tmp_path: Path) -> None:
    content = {
        "schema": 1,
        "kind": "evaluation",
        "verdict": {"status": "healthy", "sentence": "All is well."},
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    reader = Reader(build(tmp_path).read_text())
    assert sections(reader) == ["answer", "inputs", "repeat", "glossary"]
    assert "Healthy All is well." in reader.text
    assert not [tag for tag, _ in reader.tags if tag in ("table", "img")]
    assert not reader.broken


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("versus", "versus"), ("per_class", "classes"), ("metrics", "metrics"), ("next", "next"),
    ],
)  # fmt: skip
def test_a_missing_part_leaves_its_section_out(full: Path, tmp_path: Path, key: str, section: str) -> None:
    for name in ("evaluation.json", "pictures.npz"):
        (tmp_path / name).write_bytes((full / name).read_bytes())
    reader = Reader(change(tmp_path, lambda content: content.pop(key)))
    assert sections(reader) == [name for name in SECTIONS if name != section]
    assert not reader.broken


def test_without_training_data_the_neighbours_stay(full: Path, tmp_path: Path) -> None:
    for name in ("evaluation.json", "pictures.npz"):
        (tmp_path / name).write_bytes((full / name).read_bytes())
    text = Reader(change(tmp_path, lambda content: content.pop("memorisation"))).text
    assert "Nearest real neighbours of fakes" in text
    assert "Copies of the training data?" not in text


def test_vectors_show_dimensions_and_numbers_of_rows(tmp_path: Path) -> None:
    reader = Reader(build(write_evaluation(tmp_path, *vectors(5), clusters=4)).read_text())
    assert not [tag for tag, _ in reader.tags if tag == "img"]
    assert "Dimensions, most different first" in reader.text
    assert "None of the 5 dimensions differs by more than chance." in reader.text
    assert reader.text.count("Rows are counted from 0.") == 1
    assert "The fakes spread" in reader.text
    assert "generated row 0: real rows" in reader.text
    assert "Drawn at random" not in reader.text
    assert "400 generated rows judged against 400 real ones" in reader.text
    assert "Clusters of the real data" in reader.text
    assert not reader.broken


def without_counts(content: dict[str, Any]) -> None:
    """Makes the file as it was written before anything was counted."""
    for key in ("uncovered", "repeated", "dimension_test", "same"):
        del content[key]
    for gallery in content["galleries"]:
        gallery.pop("wholes", None)
    for row in content["dimensions"] or ():
        del row["p_adjusted"], row["beyond_chance"]


def copy_of(full: Path, tmp_path: Path) -> Path:
    for name in ("evaluation.json", "pictures.npz"):
        (tmp_path / name).write_bytes((full / name).read_bytes())
    return tmp_path


COUNTED = (
    "; all labelled 3",
    "The other 2 groups with 11 rows are no more than a perfect generator would leave.",
    "4 of at least 12 groups are shown, with",
    "12 % of the fakes nearly repeat another.",
    "below as group 1",
    "Its real rows are mostly of class 3.",
    "All 10 clusters in numbers",
)


def test_what_is_shown_says_of_how_many(full: Path, tmp_path: Path, reader: Reader) -> None:
    for sentence in COUNTED:
        assert sentence in reader.text
    labels = digit_images()[0].labels
    assert labels is not None
    # Thirty of each group are in the file.
    assert f"and {labels.count('3') - 30} more; all labelled 3" in reader.text
    old = Reader(change(copy_of(full, tmp_path), without_counts))
    assert not old.broken
    assert sections(old) == SECTIONS
    for sentence in COUNTED[:-1]:
        assert sentence not in old.text
    assert "those in the file are all labelled 3" in old.text


def test_a_table_that_holds_some_clusters_does_not_call_them_all(full: Path, tmp_path: Path) -> None:
    text = Reader(change(copy_of(full, tmp_path), lambda content: content["clusters"].__delitem__(slice(4, None)))).text
    assert "The first 4 clusters in numbers" in text
    assert "of these real rows." in text
    assert "All 4 clusters" not in text


@pytest.mark.parametrize(
    ("surplus", "head"), [(True, "the generator never comes near"), (False, "farthest from all fakes")]
)
def test_what_a_perfect_generator_leaves_too_is_not_called_lost(
    full: Path, tmp_path: Path, surplus: bool, head: str
) -> None:
    text = Reader(
        change(copy_of(full, tmp_path), lambda content: content["uncovered"].update(beyond_chance=surplus))
    ).text
    assert f"Real samples {head}" in text
    assert ("nothing says that these were lost" in text) is not surplus
    assert ("never comes near" in text.lower()) is surplus
    key = "real, and runs/vanilla/samples never comes near" if surplus else "farthest from all fakes of runs/vanilla"
    assert key in text


def test_vectors_of_old_say_that_no_test_was_made(tmp_path: Path) -> None:
    write_evaluation(tmp_path, *vectors(5), clusters=4)
    reader = Reader(change(tmp_path, without_counts))
    assert "No test was recorded, so any of these differences may be chance." in reader.text
    assert "by more than chance" not in reader.text
    assert not reader.broken


def test_a_metric_of_copies_stands_once(full: Path, tmp_path: Path) -> None:
    def both(content: dict[str, Any]) -> None:
        content["metrics"]["authenticity"] = content["memorisation"]["metrics"]["authenticity"]

    reader = Reader(change(copy_of(full, tmp_path), both))
    names = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert names.count("metric-authenticity") == 1
    assert "Authenticity stands with the copies of the training data." in reader.text
    alone = Reader(change(tmp_path, lambda content: content.pop("memorisation")))
    assert [a["id"] for _, a in alone.tags if "id" in a].count("metric-authenticity") == 1
    assert "stands with the copies" not in alone.text


def test_a_verdict_that_names_its_number_of_samples_does_not_repeat_it(tmp_path: Path) -> None:
    real, fake = digit_images(healthy=True, n_real=300, n_fake=200)
    write_evaluation(tmp_path, real, fake, status="inconclusive")
    said = "about 1,200 samples a side would show it."
    text = Reader(change(tmp_path, lambda content: content["verdict"].update(sentence=said))).text
    assert said in text
    assert "For an answer" not in text


def test_two_dimensions_are_shown_as_points_and_densities(tmp_path: Path) -> None:
    reader = Reader(build(write_evaluation(tmp_path, *vectors(2), clusters=4)).read_text())
    words = [a["alt"] for tag, a in reader.tags if tag == "img"]
    assert words == [
        "Density of the real rows",
        "Density of the fakes",
        "400 real rows as points",
        "400 fakes as points",
    ]


HOSTILE = '<script>alert("1")</script>\x1b[31m\u202egnp.exe\u202c\' onload=x {{ 7 * 7 }} {% if %} \ud800' + "long" * 600


def hostile(value: Any, key: str = "") -> Any:
    """The file with `HOSTILE` at the end of every text that is not a fixed word."""
    fixed = ("status", "state", "side", "kind", "key", "gallery", "direction", "metric", "source")
    if isinstance(value, dict):
        return {name: inner if name in fixed else hostile(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner) for inner in value]
    return f"{value} {HOSTILE}" if isinstance(value, str) else value


def test_hostile_texts_are_only_text(full: Path, tmp_path: Path, page: str) -> None:
    for name in ("evaluation.json", "pictures.npz"):
        (tmp_path / name).write_bytes((full / name).read_bytes())

    def spoil(content: dict[str, Any]) -> None:
        content |= hostile(content)
        content["verdict"]["flags"] = [HOSTILE]
        content["versions"][HOSTILE] = HOSTILE
        content["metrics"][HOSTILE] = content["metrics"]["recall"]
        content["inputs"]["fake"] |= {
            "bad": [{"name": HOSTILE, "reason": HOSTILE}],
            "bad_count": 7,
            "policies": {HOSTILE: 3},
        }

    text = change(tmp_path, spoil)
    reader = Reader(text)
    assert not reader.broken
    assert not reader.open
    assert text.count("<script") == 2
    assert "alert(" in reader.text
    assert not set("\x1b\u202e\u202c\ud800") & set(text)
    assert "49" not in re.findall(r"gnp\.exe' onload=x (.{2})", reader.text)
    assert "onload=x {{ 7 * 7 }} {% if %}" in reader.text
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    assert not [tag for tag, _ in reader.tags if tag == "iframe"]
    assert sections(reader) == SECTIONS
    # Texts are cut in their middle: of 2,000 characters three fifths stay at the front.
    assert "long" * 300 not in text
    assert "7 could not be read" in reader.text
    assert len(text) < 4 * len(page)


@pytest.mark.slow
def test_two_thousand_large_thumbnails_stay_below_five_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    real, fake = vectors(4)
    write_evaluation(tmp_path, real, fake, clusters=4)
    arrays = dict(np.load(tmp_path / "pictures.npz"))
    # Noise cannot be compressed: the worst that 64 x 64 thumbnails can be.
    np.savez(tmp_path / "pictures.npz", **arrays, thumbs=rng.integers(0, 256, (2000, 64, 64, 3)).astype(np.uint8))
    tiles = [{"side": "real", "row": i, "name": f"{i}.png", "thumb": i, "label": None, "note": ""} for i in range(2000)]

    def fill(content: dict[str, Any]) -> None:
        content["galleries"] = [
            {
                "key": f"{kind}-{i}",
                "kind": kind,
                "title": f"{kind} {i}",
                "sentence": "",
                "tiles": [tiles[50 * i :][:50]],
            }
            for kind in ("uncovered", "repeated", "sample", "neighbours")
            for i in range(40)
        ]

    reader = Reader(page := change(tmp_path, fill))
    assert len(page.encode()) <= LIMIT < 5_000_000
    shown = sum(tag == "img" for tag, _ in reader.tags)
    assert 40 < shown < 300
    assert "more" in reader.text
    assert re.search(r"\d+ further groups can be found in evaluation.json", reader.text)


def test_small_thumbnails_are_all_shown(reader: Reader) -> None:
    assert "Rows are counted" not in reader.text
    words = [a["alt"] or "" for tag, a in reader.tags if tag == "img"]
    assert sum("real sample real/" in alt and "label 3" in alt for alt in words) >= 30
    assert sum(alt.startswith("training sample train/") for alt in words) == 40


def test_leaves_no_half_file_and_says_the_same_twice(full: Path, page: str) -> None:
    assert build(full) == full / "report.html"
    assert (full / "report.html").read_text(encoding="utf-8") == page
    assert sorted(path.name for path in full.iterdir()) == ["evaluation.json", "pictures.npz", "report.html"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "cannot be read as JSON"),
        ('{"schema": 2, "kind": "evaluation"}', "is not an evaluation of schema 1"),
        ("[1]", "is not an evaluation of schema 1"),
        ('{"schema": 1, "kind": "evaluation", "x": NaN}', "NaN is no JSON number"),
        ('{"schema": 1, "kind": "evaluation"}', "verdict is missing"),
        (
            '{"schema": 1, "kind": "evaluation", "verdict": {"status": "fine"}}',
            "verdict.status should be one of healthy",
        ),
    ],
)
def test_refuses_a_damaged_file_with_one_sentence(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(UserError) as caught:
        build(tmp_path)
    message = str(caught.value)
    assert what in message
    assert message.endswith("make it again with `uncollapse evaluate`.")
    assert "\n" not in message
    assert not (tmp_path / "report.html").exists()


def test_damaged_pictures_are_told_and_left_out(full: Path, tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_bytes((full / "evaluation.json").read_bytes())
    (tmp_path / "pictures.npz").write_bytes((full / "pictures.npz").read_bytes()[:5000])
    reader = Reader(build(tmp_path).read_text())
    assert "pictures.npz is damaged, so the pictures are left out." in reader.text
    assert not [tag for tag, _ in reader.tags if tag == "img"]
    assert not reader.broken


@pytest.mark.slow
def test_a_comparison_is_still_a_comparison(tmp_path: Path) -> None:
    page = build(write_comparison(tmp_path, small=True)).read_text()
    assert "uncollapse · comparison" in page
    assert resources.files("uncollapse.report").joinpath("page.css").read_text() in page
    assert "judged" not in page


def test_commands_in_sentences_are_code() -> None:
    assert coded("See `a <b>` & c.") == "See <code>a &lt;b&gt;</code> &amp; c."
    assert coded("One ` alone <i>") == "One ` alone &lt;i&gt;"
    assert coded("10 % of `a 5 %` or % 3") == "10\N{NO-BREAK SPACE}% of <code>a 5 %</code> or % 3"
