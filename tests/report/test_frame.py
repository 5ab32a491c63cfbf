"""The frame and its one script: the policy admits it and nothing else, and a person can use what it adds."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.report.synthetic import write_comparison, write_run
from tests.report.synthetic_evaluation import digit_images, write_evaluation
from tests.watch.chromium import Chromium, find_chromium

from uncollapse.report import build

ATTACK = '<img src=x onerror="window.attacked=1"></script><script>window.attacked=1</script>'
SCREENS = os.environ.get("UNCOLLAPSE_SCREENS")  # a folder for pictures of what the tests see
MODES = 'svg[data-name="modes-ring-8-vanilla"]'


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small comparison with an alarm, whose third method has an attack for a name."""
    directory = write_comparison(tmp_path_factory.mktemp("browser"), hostile=ATTACK, small=True)
    (run,) = (directory / "runs").glob("vanilla-*")
    alarm = {"update": 2400, "alarm": {"status": ATTACK, "seed": 1001, "sentence": ATTACK}}
    with (run / "history.jsonl").open("a") as stream:
        stream.write(json.dumps(alarm) + "\n")
    return build(directory)


def test_the_policy_admits_the_packaged_script_and_no_other(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    script = resources.files("uncollapse.report").joinpath("report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"<script>{script}</script>" in page
    assert re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page) == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


def test_the_script_sets_no_markup_and_asks_for_nothing() -> None:
    script = resources.files("uncollapse.report").joinpath("report.js").read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "fetch(",
                "XMLHttpRequest", "import("):  # fmt: skip
        assert way not in script
    assert "</script" not in script


# In a browser --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium, or set UNCOLLAPSE_CHROMIUM)")
    with Chromium(program) as found:
        yield found


@pytest.fixture
def browser(chromium: Chromium, report: Path) -> Iterator[Chromium]:
    """The page freshly opened; whatever happens, it may not complain, be attacked or ask for anything."""
    chromium.size(1280, 900)
    chromium.dark(False)
    chromium.events.clear()
    chromium.open("about:blank")
    chromium.open(report.as_uri())
    yield chromium
    assert chromium.complaints() == []
    assert chromium.ask("window.attacked === undefined")
    assert [url for url in chromium.requested() if not url.startswith(("data:", "about:"))] == [report.as_uri()]


def first_column(browser: Chromium) -> list[str]:
    code = "[...document.querySelectorAll('#table tbody')[0].rows].map((row) => row.cells[0].textContent)"
    found: list[str] = browser.ask(code)
    return found


def sort_of(browser: Chromium, column: int) -> str | None:
    head = f"document.querySelector('#table thead').rows[0].cells[{column}]"
    found: str | None = browser.ask(f"{head}.getAttribute('aria-sort')")
    return found


def press_head(browser: Chromium, column: int) -> None:
    browser.click(f"#table thead th:nth-child({column + 1}) button.sort")


def test_a_click_sorts_by_numbers_and_a_second_one_turns_round(browser: Chromium) -> None:
    vanilla, healthy, attack = "vanilla", "wgan-gp", ATTACK
    press_head(browser, 2)  # solid modes: 4.25, 5.75, 4
    assert first_column(browser) == [healthy, vanilla, attack]
    assert sort_of(browser, 2) == "descending"
    press_head(browser, 2)
    assert first_column(browser) == [attack, vanilla, healthy]
    assert sort_of(browser, 2) == "ascending"
    press_head(browser, 3)  # the high-quality share: .905, .615, none
    assert first_column(browser) == [vanilla, healthy, attack]
    assert (sort_of(browser, 2), sort_of(browser, 3)) == (None, "descending")
    press_head(browser, 3)  # what has no value stays last
    assert first_column(browser) == [healthy, vanilla, attack]


def test_the_keyboard_sorts_names_and_equal_rows_keep_their_order(browser: Chromium) -> None:
    browser.ask("document.querySelector('#table thead button.sort').focus()")
    browser.press("Enter")
    assert sort_of(browser, 0) == "ascending"
    assert first_column(browser)[1:] == ["vanilla", "wgan-gp"]
    # Every paired difference rests on 4 seeds: sorting by that column moves nothing.
    rows = "[...document.querySelectorAll('#table tbody')[1].rows].map((row) => row.id).join()"
    before = browser.ask(rows)
    browser.click("#table .compact thead th:nth-child(7) button.sort")
    assert browser.ask(rows) == before


def test_the_pointer_reads_the_nearest_value_by_method_seed_update_and_value(browser: Chromium) -> None:
    browser.hover(MODES, 0.97, 0.5)
    words = browser.ask(f"document.querySelector('{MODES}').parentElement.querySelector('.tip').textContent")
    assert re.fullmatch(r"vanilla, (seed \d{4}|median): update 4,000, solid modes [34.5]+", words), words
    browser.hover("h1")
    assert browser.ask(f"document.querySelector('{MODES}').parentElement.querySelector('.tip').hidden")


def test_the_arrow_keys_read_the_values_and_the_alarm(browser: Chromium) -> None:
    browser.ask(f"document.querySelector('{MODES}').focus()")
    said = f"document.querySelector('{MODES}').getAttribute('aria-valuetext')"
    assert browser.ask(said) == "vanilla, seed 1000: update 0, solid modes 0"
    browser.press("End")
    assert browser.ask(said) == "vanilla, seed 1000: update 4,000, solid modes 3"
    browser.press("ArrowDown")
    assert browser.ask(said) == "vanilla, seed 1001: update 4,000, solid modes 4"
    browser.press("ArrowUp", 2)  # from the first line to the last one, which is the monitor's
    assert browser.ask(said) == f"vanilla, monitor for seed 1001: update 2,400, {ATTACK}: {ATTACK}"


def test_the_scrubber_leafs_through_training_by_keys_and_by_the_small_pictures(browser: Chromium) -> None:
    shown = "document.querySelector('.stage .shot img').alt"
    assert browser.ask(shown) == "Samples of vanilla on ring-8 after 4000 updates"
    browser.ask("document.querySelector('.stage input').focus()")
    browser.press("ArrowLeft", 2)
    assert browser.ask("document.querySelector('.stage output').textContent") == "update 3,200 of 4,000"
    assert browser.ask("document.querySelector('.stage input').getAttribute('aria-valuetext')") == "update 3,200"
    assert browser.ask(shown) == "Samples of vanilla on ring-8 after 3200 updates"
    browser.press("Home")
    assert browser.ask(shown) == "Samples of vanilla on ring-8 after 0 updates"
    browser.click(".film details figure[data-update='800']")
    assert browser.ask(shown) == "Samples of vanilla on ring-8 after 800 updates"
    assert browser.ask("document.querySelectorAll('.film .now').length") == 3
    assert browser.ask("document.querySelectorAll('.stage img.over').length") == 3
    browser.click(".stage .play")
    browser.wait("document.querySelector('.stage input').value > 3")
    browser.click(".stage .play")
    assert browser.ask("document.querySelector('.stage .play').textContent") == "Play"


def test_a_link_opens_what_it_points_to(browser: Chromium, report: Path) -> None:
    opened = "document.getElementById('method-wgan-gp').open"
    assert not browser.ask(opened)
    browser.click("#row-ring-8-wgan-gp a.plain")
    assert browser.wait(opened)
    browser.open("about:blank")
    browser.open(f"{report.as_uri()}#method-vanilla")
    assert browser.ask("document.getElementById('method-vanilla').open")
    assert browser.ask("Math.abs(document.getElementById('method-vanilla').getBoundingClientRect().top) < 400")
    browser.events.clear()
    browser.open(report.as_uri())


def test_focus_can_be_seen_and_names_are_text(browser: Chromium) -> None:
    browser.press("Tab")
    assert browser.ask("document.activeElement.className") == "skip"
    browser.press("Tab")
    assert browser.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert browser.ask("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
    assert ATTACK in browser.ask("document.querySelector('#table').textContent")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_nothing_is_wider_than_the_window(browser: Chromium, width: int, dark: bool) -> None:
    browser.size(width, 900, phone=width < 500)
    browser.dark(dark)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    if SCREENS:
        browser.picture(Path(SCREENS) / f"report-{width}-{'dark' if dark else 'light'}.png")


def test_whoever_wants_no_motion_is_offered_none(chromium: Chromium, report: Path) -> None:
    chromium._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    chromium.open(report.as_uri())
    assert chromium.ask("document.querySelector('.stage input') !== null && document.querySelector('.play') === null")
    assert chromium.ask(
        "[...document.querySelectorAll('*')].every((it) => getComputedStyle(it).transitionDuration === '0s')"
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one run with more snapshots than a row has room for."""
    run = write_run(tmp_path_factory.mktemp("many"), "vanilla", "ring-8", [range(8)], hash_="ab", seeds=(4,))
    for update in (*range(20, 300, 40), 1_048_576):
        shutil.copy(run / "samples" / "step-00000400.npz", run / "samples" / f"step-{update:08d}.npz")
    return build(run)


def test_without_the_script_nothing_is_hidden(chromium: Chromium, many: Path) -> None:
    """Whatever has no size is folded, and opens: also the snapshots that a row has no room for."""
    chromium._call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(many.as_uri())
        assert chromium.ask("document.querySelector('.stage, button') === null")
        shots = "[...document.querySelectorAll('.film figure')].filter((it) => it.checkVisibility())"
        assert chromium.ask(f"{shots}.length") == 11
        for place in range(chromium.ask("document.querySelectorAll('details').length")):
            chromium.ask(f"document.querySelectorAll('details')[{place}].open = true")
        files = (many.parent / "samples").glob("step-*.npz")
        updates = chromium.ask(f"{shots}.map((it) => Number(it.dataset.update))")
        assert sorted(updates) == sorted(int(path.stem[5:]) for path in files)
        gone = "[...document.querySelectorAll('main *')].filter((it) => it.checkVisibility && !it.checkVisibility())"
        lost = f"{gone}.filter((it) => it.textContent.trim() && !it.closest('svg'))"
        assert chromium.ask(f"{lost}.map((it) => it.outerHTML.slice(0, 80))") == []
    finally:
        chromium._call("Emulation.setScriptExecutionDisabled", value=False)


def test_whole_numbers_keep_all_their_digits_and_the_slider_has_every_snapshot(chromium: Chromium, many: Path) -> None:
    chromium.open(many.as_uri())
    assert chromium.ask("document.querySelector('.stage output').textContent") == "update 1,048,576 of 1,048,576"
    files = list((many.parent / "samples").glob("step-*.npz"))
    assert chromium.ask("Number(document.querySelector('.stage input').max)") == len(files) - 1
    assert chromium.ask("document.querySelector('.rest').checkVisibility()") is False
    chromium.ask("document.querySelector('.stage input').focus()")
    chromium.press("Home")
    chromium.press("ArrowRight")
    assert chromium.ask("document.querySelector('.stage output').textContent") == "update 20 of 1,048,576"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an evaluation with tables of losses, clusters, classes and differences."""
    directory = tmp_path_factory.mktemp("judged")
    real, fake = digit_images(n_real=300, n_fake=200)
    write_evaluation(directory, real, fake, versus=True, per_class=True)
    path = directory / "evaluation.json"
    content = json.loads(path.read_text())
    ratios, p = (2.2, 12.0, 0.5, 0.05, 3.1), (0.0004, 0.03, 0.5, None, 0.2)
    for row, ratio, found in zip(content["clusters"], ratios, p, strict=False):
        row |= {"share_real": 0.05, "share_fake": 0.05 * ratio, "low": 0.04, "high": 15.0, "p_adjusted": found}
    del content["clusters"][len(ratios) :]
    path.write_text(json.dumps(content))
    return build(directory)


def column_of(browser: Chromium, table: str, column: int) -> list[str]:
    rows = f"[...{table}.tBodies[0].rows]"
    found: list[str] = browser.ask(
        f"{rows}.map((row) => (row.cells[{column}].querySelector('b') ?? row.cells[{column}]).textContent)"
    )
    return found


def test_the_tables_of_an_evaluation_sort_by_their_numbers(chromium: Chromium, judged: Path) -> None:
    chromium.size(1280, 900)
    chromium.events.clear()
    chromium.open(judged.as_uri())
    table = (
        "[...document.querySelectorAll('table')].find((it) => it.caption.textContent === 'Clusters of the real data')"
    )
    heads = chromium.ask(f"[...{table}.tHead.rows[0].cells].map((it) => it.textContent)")

    def press(title: str) -> list[str]:
        place = heads.index(title)
        chromium.ask(f"{table}.tHead.rows[0].cells[{place}].querySelector('button').click()")
        return column_of(chromium, table, place)

    assert press("Times as often") == ["12", "3.1", "2.2", "0.5", "0.05"]
    assert press("Times as often") == ["0.05", "0.5", "2.2", "3.1", "12"]
    assert press("Adjusted p") == ["0.50", "0.20", "0.030", "below 0.001", "none"]
    assert press("Adjusted p") == ["below 0.001", "0.030", "0.20", "0.50", "none"]  # without a value: last, both ways
    assert chromium.ask("document.querySelectorAll('button a').length") == 0
    # Every cell that begins with a number says what it is sorted by.
    loose = (
        "[...document.querySelectorAll('table.sortable tbody td')]"
        ".filter((it) => it.dataset.v === undefined && !it.matches('.wrap'))"
        ".filter((it) => /^[+\\u2212<-]?\\d/.test(it.textContent))"
    )
    assert chromium.ask(f"{loose}.map((it) => it.textContent)") == []
    assert chromium.complaints() == []


def test_a_link_in_a_head_ends_up_beside_the_button(chromium: Chromium, judged: Path, tmp_path: Path) -> None:
    text = judged.read_text(encoding="utf-8")
    (link,) = re.findall(r'Adjusted p<a class="why"[^>]*></a>', text)
    page = tmp_path / "linked.html"
    page.write_text(text.replace(link, '<a href="#g-adjusted">Adjusted p</a>'), encoding="utf-8")
    chromium.open(page.as_uri())
    head = "[...document.querySelectorAll('thead th')].find((it) => it.textContent === 'Adjusted p')"
    assert chromium.ask(f"{head}.querySelector('button').textContent") == "Adjusted p"
    assert chromium.ask(f"{head}.querySelector(':scope > a').getAttribute('aria-label')") == "What Adjusted p means"
    assert chromium.ask("document.querySelectorAll('button a').length") == 0


def test_on_paper_everything_is_open_and_no_table_is_cut(chromium: Chromium, report: Path) -> None:
    """Laid out for paper without the script: what is folded on the screen has height, and no table leaves the page."""
    chromium._call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(report.as_uri())
        chromium.size(688, 900)  # A4 less its margins, in CSS pixels
        chromium._call("Emulation.setEmulatedMedia", media="print")
        assert chromium.ask("[...document.querySelectorAll('details.card dl')].every((it) => it.offsetHeight > 20)")
        assert chromium.ask(
            "[...document.querySelectorAll('table')].every((it) => it.getBoundingClientRect().right <= 689)"
        )
        assert chromium.ask("document.documentElement.scrollWidth") <= 689
    finally:
        chromium._call("Emulation.setEmulatedMedia", media="")
        chromium._call("Emulation.setScriptExecutionDisabled", value=False)
    sheet = chromium._call("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert base64.b64decode(sheet).startswith(b"%PDF")
    if SCREENS:
        (Path(SCREENS) / "report.pdf").write_bytes(base64.b64decode(sheet))
        subprocess.run(["pdftoppm", "-r", "60", "-png", "report.pdf", "paper"], cwd=SCREENS, check=False)
