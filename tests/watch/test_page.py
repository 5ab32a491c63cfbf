"""The page: as text from the template, and as a person meets it, clicked through in a headless Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contrast import contrast
from tests.watch.chromium import Chromium, find_chromium
from tests.watch.making import (
    append,
    finish,
    loss_line,
    make_comparison,
    make_run,
    snapshot_line,
    trained,
    write_samples,
)
from tests.watch.serving import serving

from uncollapse.watch import page
from uncollapse.watch.reading import WatchedDirectory
from uncollapse.watch.security import Keys

ATTACK = '<img src=x onerror="window.attacked=1"></script><script>window.attacked=1</script>'
SCREENS = os.environ.get("UNCOLLAPSE_SCREENS")  # a folder for pictures of what the tests see

STATE = {"title": ATTACK, "folder": ATTACK, "rows": [{"method": ATTACK}], "version": 1}


def test_the_template_escapes_whatever_it_is_given() -> None:
    html, policy = page.render(STATE)
    assert "<img" not in html
    assert html.count("<script") == 2
    found = re.search(r'<script type="application/json" id="state">(.*?)</script>', html, re.DOTALL)
    assert found
    assert json.loads(found[1]) == STATE
    nonce = re.search(r"script-src 'nonce-([\w-]{20,})'(;|$)", policy)
    assert nonce
    assert html.count(f'nonce="{nonce[1]}"') == 2


def test_every_static_file_is_in_the_package_and_no_other_name_is() -> None:
    for name in page.STATIC:
        content, kind = page.static_file(name) or pytest.fail(name)
        assert content
        assert "/" in kind
    for name in ("", ".", "..", "../page.py", "page.html.jinja", "WATCH.CSS"):
        assert page.static_file(name) is None
    imported = set(
        re.findall(rb'from "\./([\w.]+)"', b"".join((page.static_file(name) or (b"",))[0] for name in page.STATIC))
    )
    assert {name.decode() for name in imported} <= set(page.STATIC)


def test_the_colours_are_those_of_the_reports_light_and_dark() -> None:
    palette = page.palette().decode()
    for name in ("--paper", "--ink", "--muted", "--line", "--link", "--warn", "--warn-tint", "--m0", "--m1", "--m2"):
        assert palette.count(f"{name}:") == 2, name
    used = set(re.findall(r"var\((--[\w-]+)", (page.static_file("watch.css") or (b"",))[0].decode()))
    assert all(f"{name}:" in palette for name in used)


def test_texts_stand_out_from_what_is_behind_them() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    light, dark = (dict(re.findall(r"(--[\w-]+): (#\w{6})", part)) for part in page.palette().decode().split("@media"))
    for colours in (light, dark):
        for front, behind in (
            ("ink", "paper"),
            ("muted", "paper"),
            ("muted", "panel"),
            ("muted", "tint"),
            ("warn", "paper"),
            ("warn", "warn-tint"),
            ("link", "paper"),
        ):
            assert contrast(colours[f"--{front}"], colours[f"--{behind}"]) >= 4.5, (front, behind)


# In a browser --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison: a run at work, a finished one of images, one that waits, one whose names are attacks."""
    found = make_comparison(
        tmp_path_factory.mktemp("browser") / "comparison",
        [("vanilla", "ring-8"), ("cgan", "digits"), ("wgan-gp", "ring-8"), ("attack", "ring-8")],
    )
    lock = json.loads((found / "plan.lock.json").read_text())
    lock["runs"][3] |= {"method": ATTACK, "task": ATTACK}
    lock["plan"]["description"] = ATTACK
    (found / "plan.lock.json").write_text(json.dumps(lock))
    trained(found / "runs" / "vanilla-ring-8", upto=600)
    digits = make_run(found / "runs" / "cgan-digits", method="cgan", task="digits")
    draw = np.random.default_rng(3)
    for update in (0, 500, 1_000):
        append(digits, loss_line(update + 1, [1.0, 2.0]), snapshot_line(update, [[0.125] * 8] * 2))
        write_samples(digits, update, draw.random((2, 30, 8, 8)).astype(np.float32))
    finish(digits, diverged={1: 400})
    attack = make_run(found / "runs" / "attack-ring-8", method=ATTACK)
    append(attack, loss_line(10, [1.0, None]), {"update": 10, "alarm": {"status": ATTACK, "sentence": ATTACK}})
    append(attack, snapshot_line(10, [[0.5, 0.5], None]))
    spec = json.loads((attack / "spec.json").read_text()) | {
        "modes": {"names": [ATTACK, ATTACK], "weights": [0.5, 0.5]},
        "command": ATTACK,
    }
    (attack / "spec.json").write_text(json.dumps(spec))
    cell = {"method": ATTACK, "task": ATTACK, "seeds": [0], "failed": [{"error": ATTACK}]}
    (found / "comparison.json").write_text(json.dumps({"cells": [cell], "plan": {"headline": ATTACK}}))
    return found


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of a test's own, because one of them lets training go on."""
    found: Path = shutil.copytree(made, tmp_path / made.name)
    return found


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    with serving(folder) as (address, _):
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium, or set UNCOLLAPSE_CHROMIUM)")
    with Chromium(program) as found:
        yield found


@pytest.fixture
def browser(chromium: Chromium, url: str, request: pytest.FixtureRequest) -> Iterator[Chromium]:
    """The page, freshly opened at desktop width; whatever happens, it may not complain or ask elsewhere."""
    chromium.size(1280, 900)
    chromium.dark(False)
    chromium.open("about:blank")
    chromium.events.clear()  # what the page before has asked for until it was left is not ours
    chromium.open(url)
    chromium.wait("document.getElementById('link').textContent === 'Live'")
    yield chromium
    if SCREENS:
        chromium.picture(Path(SCREENS) / f"{request.node.name}.png")
    assert chromium.complaints() == []
    home = url.partition("/?")[0]
    assert [address for address in chromium.requested() if not address.startswith((home, "about:"))] == []
    assert chromium.ask("window.attacked === undefined")


def text(browser: Chromium, selector: str) -> Any:
    return browser.ask(f"document.querySelector({json.dumps(selector)}).innerText")


def pick(browser: Chromium, method: str) -> None:
    """Clicks a run's button in the table."""
    place = browser.ask(
        f"[...document.querySelectorAll('.pick')].findIndex((it) => it.textContent === {json.dumps(method)}) + 1"
    )
    browser.click(f".runs tbody tr:nth-child({place}) .pick")


def test_the_address_with_the_token_becomes_one_without(browser: Chromium) -> None:
    assert browser.ask("location.pathname + location.search") == "/"
    assert browser.ask("document.cookie") == ""  # no script can read it
    assert text(browser, "h1") == "small"
    assert "1 of 4 runs finished" in text(browser, "#summary")


def test_runs_are_chosen_sorted_and_found(browser: Chromium) -> None:
    methods = "[...document.querySelectorAll('.runs tbody .pick')].map((it) => it.textContent)"
    assert browser.ask(methods) == ["vanilla", "cgan", "wgan-gp", ATTACK]
    assert text(browser, "#detail-title") == "vanilla on ring-8"
    pick(browser, "cgan")
    browser.wait("document.getElementById('detail-title').textContent === 'cgan on digits'")
    assert browser.ask("document.querySelector('.runs tr.chosen .pick').getAttribute('aria-pressed')") == "true"
    assert "run=" in browser.ask("location.hash")
    browser.click(".runs th.progress .sort")
    assert browser.ask("document.querySelector('.runs th.progress').getAttribute('aria-sort')") == "descending"
    assert browser.ask(methods)[0] == "cgan"
    browser.click(".runs th.progress .sort")
    assert browser.ask(methods)[-1] == "cgan"
    browser.click(".runs th.progress .sort")
    assert browser.ask(methods)[0] == "vanilla"
    browser.click("#runs-find")
    browser.write("WGAN")
    assert browser.wait(f"({methods}).length === 1 && {methods}") == ["wgan-gp"]


def test_tabs_are_walked_by_mouse_and_by_keys(browser: Chromium) -> None:
    chosen = "document.querySelector('[role=tab][aria-selected=true]').id"
    visible = "[...document.querySelectorAll('[role=tabpanel]')].filter((it) => !it.hidden).map((it) => it.id)"
    for tab in ("samples", "modes", "events", "seeds", "curves"):
        browser.click(f"#tab-{tab}")
        assert (browser.ask(chosen), browser.ask(visible)) == (f"tab-{tab}", [f"panel-{tab}"])
    browser.press("ArrowRight", 2)
    assert browser.ask(chosen) == "tab-modes"
    assert browser.ask("document.activeElement.id") == "tab-modes"
    browser.press("End")
    assert browser.ask(chosen) == "tab-seeds"
    browser.press("ArrowRight")
    assert browser.ask(chosen) == "tab-curves"
    browser.press("Tab")  # the tabs are one stop
    assert browser.ask("document.activeElement.id") == "seed"
    outline = browser.ask(
        "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
    )
    assert outline.startswith("solid")


def test_the_scrubber_goes_through_training_by_mouse_and_by_keys(browser: Chromium) -> None:
    painted = "document.querySelector('.tile canvas')?.toDataURL()"
    output = "document.querySelector('.scrub output').textContent"
    browser.click("#tab-samples")
    browser.wait(
        f"{output} === 'update 600, the newest' && document.querySelector('.tile canvas').hasAttribute('aria-label')"
    )
    newest = browser.wait(painted)
    browser.click("#scrubber", 0.01)
    browser.wait(f"{output} === 'update 0'")
    browser.wait(f"{painted} !== {json.dumps(newest)}")
    first = browser.ask(painted)
    browser.press("ArrowRight", 2)
    browser.wait(f"{output} === 'update 200'")
    browser.wait(f"{painted} !== {json.dumps(first)}")
    assert browser.ask("document.getElementById('scrubber').getAttribute('aria-valuetext')") == "update 200"
    browser.press("End")
    browser.wait(f"{output} === 'update 600, the newest'")
    browser.wait(f"{painted} === {json.dumps(newest)}")
    assert browser.ask("document.querySelector('.tile canvas').getAttribute('aria-label')").startswith(
        "40 samples of seed 0"
    )


def test_playing_walks_to_the_newest_snapshot(browser: Chromium) -> None:
    output = "document.querySelector('.scrub output').textContent"
    pick(browser, "cgan")
    browser.click("#tab-samples")
    browser.wait(f"{output} === 'update 1,000, the newest'")
    browser.ask(
        "shown = [], new MutationObserver(() => shown.push(document.querySelector('.scrub output').textContent))"
        ".observe(document.body, {subtree: true, childList: true, characterData: true})"
    )
    browser.click(".scrub button")
    browser.wait("shown.includes('update 0') && shown.at(-1) === 'update 1,000, the newest'")
    browser.wait("document.querySelector('.scrub button').textContent === 'Play'")


def test_images_are_pictures_with_words(browser: Chromium) -> None:
    pick(browser, "cgan")
    browser.click("#tab-samples")
    loaded = "[...document.querySelectorAll('.tile img')].map((it) => it.complete && it.naturalWidth)"
    assert browser.wait(f"({loaded}).length === 2 && ({loaded}).every((it) => it > 200) && {loaded}") == [252, 252]
    assert browser.ask("document.querySelector('.tile img').alt") == "Images of seed 0 after 1,000 updates"
    browser.click("#scrubber", 0.01)
    browser.wait("document.querySelector('.tile img').src.endsWith('/samples/0/images/0')")
    assert browser.wait(f"({loaded}).every((it) => it > 200)")


def test_curves_are_read_by_mouse_and_by_keys(browser: Chromium) -> None:
    readout = "document.querySelector('.panels .panel:nth-child(2) .readout').textContent"
    chart = ".panels .panel:nth-child(2) svg.chart"
    browser.wait(f"{readout}.startsWith('newest, update 600')")
    assert browser.ask(f"document.querySelectorAll({json.dumps(chart + ' .seed')}).length") == 2
    browser.hover(chart, 0.5)
    browser.wait(f"/^update [345]00 · median 1\\.0/.test({readout})")
    browser.click(chart, 0.5)
    browser.press("Home")
    browser.wait(f"{readout}.startsWith('update 100 · median 1.06, 1.01 to 1.11')")
    browser.press("ArrowRight")
    browser.wait(f"{readout}.startsWith('update 200')")
    browser.ask("it = document.getElementById('seed'); it.value = '1'; it.dispatchEvent(new Event('change'))")
    browser.wait(f"document.querySelectorAll({json.dumps(chart + ' .chosen')}).length === 1")
    browser.wait(f"{readout}.includes('seed 1: 1.12')")
    assert "seed=1" in browser.ask("location.hash")


def test_the_map_of_modes_tells_which_died_when(browser: Chromium) -> None:
    browser.click("#tab-modes")
    browser.wait("document.querySelector('.cells canvas').hasAttribute('aria-label')")
    label = "document.querySelector('.cells canvas').getAttribute('aria-label')"
    assert browser.ask(label) == "Modes alive at update 600: seed 0 8 of 8, seed 1 7 of 8"
    lines = "[...document.querySelectorAll('#panel-modes tbody tr')]"
    table = f"{lines}.map((it) => [...it.children].map((cell) => cell.textContent))"
    assert browser.ask(table) == [["seed 1", "mode 2", "0", "500"]]
    readout = "document.querySelector('.cells .readout').textContent"
    browser.click(".cells canvas", 0.5, 0.35)
    browser.press("ArrowDown")
    browser.press("ArrowLeft", 9)
    browser.press("ArrowRight", 2)
    assert browser.ask(readout) == "seed 1, mode 2, update 600: no sample (12.5 %), lost"
    browser.press("Enter")
    browser.wait("document.getElementById('seed').value === '1'")
    assert "Seed 1 over training" in text(browser, "#panel-modes")


def test_alarms_diverged_seeds_and_results_are_told(browser: Chromium) -> None:
    pick(browser, "cgan")
    browser.click("#tab-events")
    sentence = "Seed 1: its losses were not finite from update 400 on"
    browser.wait(f"document.getElementById('panel-events').innerText.includes('{sentence}')")
    browser.click("#tab-seeds")
    browser.wait("document.getElementById('panel-seeds').innerText.includes('The result on 10,000 samples a seed')")
    assert "all 8 modes solid in 0 of 2 seeds" in text(browser, "#panel-seeds")
    assert "diverged at 400" in text(browser, "#panel-seeds table")


def test_only_an_alarm_is_drawn_as_one_and_all_is_listed(chromium: Chromium, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", upto=600)
    for update, status in ((200, "collapsed"), (300, "never-healthy")):
        append(run, {"update": update, "alarm": {"status": status, "seed": 0, "sentence": f"{status} it is."}})
    append(run, {"update": 250, "rollback": {"seed": 0, "to": 100, "sentence": "Put back."}})
    with serving(run) as (address, _):
        chromium.open(address)
        chromium.wait("document.querySelector('path.alarm') !== null")
        drawn = chromium.ask("[...document.querySelectorAll('path.alarm title')].map((told) => told.textContent)")
        assert set(drawn) == {"collapsed it is."}
        chromium.click("#tab-events")
        for told in ("collapsed it is.", "never-healthy it is.", "Put back."):
            chromium.wait(f"document.getElementById('panel-events').innerText.includes('{told}')")


def test_attacks_in_names_are_shown_as_text(browser: Chromium) -> None:
    pick(browser, ATTACK)
    browser.wait(f"document.getElementById('detail-title').textContent === {json.dumps(f'{ATTACK} on {ATTACK}')}")
    for tab, expected in (
        ("events", "What the monitor said"),
        ("seeds", "The command of this run"),
        ("modes", "Now:"),
        ("samples", "No samples"),
        ("curves", "Critic loss"),
    ):
        browser.click(f"#tab-{tab}")
        browser.wait(f"document.getElementById('panel-{tab}').innerText.includes({json.dumps(expected)})")
        assert browser.ask("document.querySelectorAll('main img, main script, header img').length") == 0
    assert text(browser, "#about") == ATTACK
    assert ATTACK in text(browser, "#results-body")


def test_news_come_without_a_reload(browser: Chromium, folder: Path) -> None:
    run = folder / "runs" / "wgan-gp-ring-8"
    row = "[...document.querySelectorAll('.runs tbody tr')][2].innerText"
    assert "waiting" in browser.ask(row)
    make_run(run, method="wgan-gp", lines=[loss_line(250, [1.0, 1.0])])
    browser.wait(f"/250 of 1,000/.test({row}) && /training/.test({row})")
    pick(browser, "wgan-gp")
    browser.wait("/250 of 1,000 updates/.test(document.getElementById('detail-facts').textContent)")
    append(run, loss_line(1_000, [2.0, 2.0]), snapshot_line(1_000, [[0.125] * 8] * 2))
    browser.wait(f"/being judged/.test({row})")
    finish(run)
    browser.wait(f"/finished/.test({row})")
    browser.wait("document.getElementById('summary').textContent.includes('2 of 4 runs finished')")
    browser.wait(
        "document.querySelector('.panels .panel:nth-child(2) .readout').textContent.startsWith('newest, update 1,000')"
    )


def test_phones_dark_pages_and_still_pages(browser: Chromium) -> None:
    browser.size(375, 800, phone=True)
    pick(browser, "vanilla")
    for tab in ("curves", "samples", "modes", "events", "seeds"):
        browser.click(f"#tab-{tab}")
        browser.wait(f"!document.getElementById('panel-{tab}').hidden")
        assert browser.ask("document.documentElement.scrollWidth") == 375
        tiny = "it.checkVisibility() && parseFloat(getComputedStyle(it).fontSize) < 12"
        leaves = f"[...document.querySelectorAll('#panel-{tab} *')].filter((it) => !it.childElementCount)"
        small = f"{leaves}.filter((it) => it.textContent.trim() && {tiny}).map((it) => it.textContent)"
        assert browser.ask(small) == []
    light = browser.ask("getComputedStyle(document.body).backgroundColor")
    browser.dark(True)
    dark = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (light, dark) == ("rgb(252, 251, 248)", "rgb(20, 22, 26)")
    browser._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    assert browser.ask("getComputedStyle(document.querySelector('.bar span')).transitionDuration") in ("0s", "1e-05s")


def test_while_nothing_can_be_read_the_page_is_not_live(
    chromium: Chromium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[bool] = []
    refresh = WatchedDirectory.refresh

    def look(watched: WatchedDirectory) -> bool:
        if broken:
            raise RuntimeError("boom")
        return refresh(watched)

    monkeypatch.setattr(WatchedDirectory, "refresh", look)
    with serving(trained(tmp_path / "run", upto=200)) as (address, _):
        chromium.open(address)
        chromium.wait("document.getElementById('link').textContent === 'Live'")
        broken.append(True)
        told = "The directory cannot be read: RuntimeError: boom"
        chromium.wait(f"document.getElementById('link').textContent === '{told}'")
        broken.clear()
        chromium.wait("document.getElementById('link').textContent === 'Live'")


def test_the_page_comes_back_by_itself_and_says_when_it_cannot(chromium: Chromium, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", upto=300)
    keys = Keys()
    link = "document.getElementById('link').textContent"
    with serving(run, keys=keys) as (address, _):
        port = int(address.split(":")[2].partition("/")[0])
        chromium.open(address)
        chromium.wait(f"{link} === 'Live'")
    chromium.wait(f"{link}.startsWith('No connection')")
    append(run, loss_line(700, [1.0, 1.0]))
    with serving(run, keys=keys, port=port):
        chromium.wait(f"{link} === 'Live'")
        chromium.wait("/700 of 1,000/.test(document.getElementById('detail-facts').textContent)")
    with serving(run, port=port):  # another token
        chromium.wait(f"{link}.startsWith('The server was started anew')")
    with serving(run, keys=keys, port=port):  # an answer that was an error is asked for again too
        chromium.wait(f"{link} === 'Live'")
