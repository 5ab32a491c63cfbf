"""Writes the parts of the documentation that are made from the code: `make docs`; a test fails when they are stale."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from uncollapse.advice import ALPHA
from uncollapse.cards import AVERAGED, SYMBOLS, address, authors, cost, grouped, watch
from uncollapse.method import Method
from uncollapse.methods import COSTS, METHODS, VANILLA

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = DOCS / "methods"
PRICE = "cost"
PRICE_NOTE = "The cost is the measured time of a critic update with its share of generator updates; vanilla's is 1."
BLOB = " (a generator that wanders shows as a blob where it was on average)"
NO_DEVIATION = "- None known beyond the networks, which are the task's own."
MEASURED_TASKS = ("ring-8", "grid-25", "blobs-32")


def begin(what: str) -> str:
    """The comment before a generated part."""
    return f"<!-- {what}: begin, made by `make docs` -->"


def end(what: str) -> str:
    """The comment after a generated part."""
    return f"<!-- {what}: end -->"


def replaced(text: str, what: str, made: str) -> str:
    """The text with what stands between two comments replaced."""
    before, opening, rest = text.partition(begin(what))
    _, closing, after = rest.partition(end(what))
    if not (opening and closing):
        raise ValueError(f"the comments of {what!r} are missing")
    return f"{before}{opening}\n{made}\n{closing}{after}"


def measured() -> bool:
    """Whether every method's cost was measured; a column with holes is left out."""
    return set(METHODS) <= set(COSTS)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table; columns named with the price are left out while it was not measured."""
    kept = [place for place, name in enumerate(head) if name != PRICE or measured()]
    lines = ["| " + " | ".join(row[place] for place in kept) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(kept), *lines[1:]])


def link(method: Method) -> str:
    """The paper as a link."""
    return f"[{method.facts.paper}]({address(method)})"


def readme_table() -> str:
    """One row a method: name, idea, paper, cost."""
    rows = []
    for name, method in METHODS.items():
        paper = f"[{authors(method.facts.paper)}]({address(method)})"
        rows.append([f"[`{name}`](docs/methods/{name}.md)", method.facts.idea, paper, cost(name)])
    return markdown(["method", "idea", "paper", PRICE], rows) + (f"\n\n{PRICE_NOTE}" if measured() else "")


def index() -> str:
    """The whole of docs/methods.md."""
    lines = [
        "# Methods",
        "",
        f"{len(METHODS)} methods, each a row of [`methods.py`](../src/uncollapse/methods.py): its difference from",
        "`vanilla`. Made from the code by `make docs`; `uncollapse methods NAME` prints the same with all settings.",
        "",
        AVERAGED,
        "The papers of R1, R3GAN and the minibatch standard deviation average too; most older ones report the weights",
        "of the last update (`dynamics.half_life=0`).",
    ]
    if measured():
        lines += ["", PRICE_NOTE]
    for title, names in grouped(METHODS).items():
        rows = [
            [f"[`{name}`](methods/{name}.md)", METHODS[name].facts.idea, METHODS[name].facts.complexity, cost(name)]
            for name in names
        ]
        lines += ["", f"## {title}", "", markdown(["method", "idea", "effort", PRICE], rows)]
    return "\n".join(lines) + "\n"


def difference(method: Method) -> str:
    """The axes that differ from the baseline, as code."""
    return "nothing, it is the baseline" if method == VANILLA.but(name=method.name) else f"`{method.describe()}`"


def page(method: Method, pictures: ModuleType) -> str:
    """The whole of docs/methods/NAME.md."""
    facts, name = method.facts, method.name
    setting = watch(method)
    task = pictures.task_of(method)
    lines = [f"# {name}", "", facts.idea, "", f"Paper: {link(method)}"]
    lines += ["", "```text", facts.equation, "```", "", SYMBOLS]
    if (PAGES / f"{name}.png").exists():
        what = "Images" if method.view.images_only else "Samples"
        blob = "" if method.view.images_only else BLOB
        after = f"after {pictures.UPDATES:,} critic updates, seeds 0 and 1"
        lines += [
            "",
            f"![{what} of {name} on {task} after a short training, seeds 0 and 1]({name}.png)",
            "",
            f"*{what} on {task} {after}, averaged weights{blob}. Small networks and one learning rate",
            f"for all methods: a first glimpse, no judgement. Made by `docs/pictures.py {name}`, which trains as",
            f"`{pictures.command(name)}`.*",
        ]
    lines += ["", "## What it is", "", f"- Differs from the baseline in: {difference(method)}"]
    lines += [f"- Good at: {facts.strengths}", f"- Bad at: {facts.weaknesses}", f"- When it fails: {facts.fails}"]
    lines += [f"- Effort: {facts.complexity}"]
    if name in COSTS:
        lines += [f"- Cost: {cost(name)} times the time of a vanilla update, measured"]
    if setting:
        lines += [f"- Watch first: `{setting[0]}` (here `{setting[1]}`)"]
    lines += ["", "## Deviations from the paper", ""]
    lines += [f"- {sentence}" for sentence in facts.differs] or [NO_DEVIATION]
    lines += ["", "## Run it", "", "```sh", f"uncollapse train {name} {task} --seeds 8", f"uncollapse methods {name}"]
    lines += ["```"]
    return "\n".join(lines) + "\n"


def cures() -> str:
    """The methods with what was measured of them: costs, and the solid modes of results/cures once they are there."""
    file = ROOT / "results" / "cures" / "comparison.json"
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"cells": [], "differences": []}
    found = {(cell["method"], cell["task"]): cell for cell in content["cells"] if cell["measures"].get("modes_solid")}
    tasks = [task for task in MEASURED_TASKS if any(where == task for _, where in found)]
    established = {
        (row["method"], row["task"]): "▲" if row["difference"] > 0 else "▼"
        for row in content["differences"]
        if row["measure"] == "modes_solid" and row["p_adjusted"] is not None and row["p_adjusted"] <= ALPHA
    }
    rows = []
    for name, method in METHODS.items():
        facts = method.facts
        told = [f"[`{name}`](methods/{name}.md)", facts.strengths, facts.weaknesses, facts.complexity, cost(name)]
        solid = [_solid(found.get((name, task)), established.get((name, task))) for task in tasks]
        widths = [" / ".join(_width(found.get((name, task))) for task in tasks)] if tasks else []
        rows.append([*told, *solid, *widths])
    heads = [*(f"{task}, solid modes" for task in tasks), "width of modes, the same tasks"]
    table = markdown(["method", "good at", "bad at", "effort", PRICE, *(heads if tasks else [])], rows)
    notes = [PRICE_NOTE] if measured() else []
    if tasks:
        notes += [
            "Solid modes: mean over twelve seeds with its 95 % interval ([results/cures](../results/cures/)): one "
            "small network pair, 6,000 critic updates and one learning rate for all, nothing tuned; methods with five "
            "critic steps have had 1,200 generator updates. ▲ and ▼: a paired test, corrected over the methods of the "
            "task, establishes that it keeps more, or fewer, than `vanilla`. Width of modes: core sigma ratio, 1 = as "
            "wide as the data's; well below 1, samples crowd inside each mode, which counting modes does not see."
        ]
    return "\n\n".join([table, " ".join(notes)]) if notes else table


def _solid(cell: dict[str, Any] | None, established: str | None) -> str:
    if cell is None:
        return "not run"
    measure = cell["measures"]["modes_solid"]
    mark = f" {established}" if established else ""
    return f"{measure['mean']:.1f} [{measure['low']:.1f}, {measure['high']:.1f}]{mark}"


def _width(cell: dict[str, Any] | None) -> str:
    mean = cell["measures"]["core_sigma_ratio"]["mean"] if cell else None
    return "-" if mean is None else f"{mean:.2f}"


TITLES = {"vanilla": "vanilla", "wgan-gp": "WGAN-GP", "cwgan-gp": "conditional WGAN-GP"}
SIZES = (4, 8, 16, 32)


def mode_coverage() -> str:
    """The tutorial's table beside the committed measurement of the same cells."""
    document = json.loads((ROOT / "results" / "mode-coverage" / "comparison.json").read_text(encoding="utf-8"))
    printed = document["plan"]["claims"]["values"]
    cells = {(cell["method"], cell["task"]): cell["measures"] for cell in document["cells"]}
    rows = []
    for method, title in TITLES.items():
        tasks = {size: f"blobs-{size}" for size in SIZES}
        rows.append([f"{title}, printed", *(f"{100 * printed[method][task]:.0f} %" for task in tasks.values())])
        for key, words in (("tutorial_coverage", "lenient measure"), ("modes_solid", "solid modes")):
            values = [
                _percent(cells[method, task][key], size if key == "modes_solid" else 1) for size, task in tasks.items()
            ]
            rows.append([f"{title}, measured, {words}", *values])
    return markdown(["", *(f"{size} modes" for size in SIZES)], rows)


def _percent(measure: dict[str, Any], whole: int) -> str:
    mean, low, high = (100 * measure[name] / whole for name in ("mean", "low", "high"))
    return f"{mean:.0f} % [{low:.0f}, {high:.0f}]"


IMAGE_RESULTS = tuple(f"conditional-vs-unconditional{which}" for which in ("", "-mnist", "-fashion-mnist"))
IMAGE_COLUMNS = {
    "class_entropy": "class entropy, bits",
    "frechet_distance": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "within_class_diversity": "diversity inside classes",
    "label_agreement": "label agreement",
}


def images(results: Sequence[str]) -> str:
    """The image experiments that are committed, one row a method and task; a sentence while there are none."""
    rows, names = [], []
    for name in results:
        file = ROOT / "results" / name / "comparison.json"
        if not file.exists():
            continue
        names.append(name)
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            won = cell["success_rate"]
            told = [cell["task"], f"`{cell['method']}`", f"{won['successes']} of {won['n']}"]
            rows.append([*told, *(_ends(cell["measures"].get(key)) for key in IMAGE_COLUMNS)])
    if not rows:
        return "*No run of these plans is among the committed results yet.*"
    head = ["task", "method", "seeds with every class", *IMAGE_COLUMNS.values()]
    links = ", ".join(f"[results/{name}](../results/{name}/), `uncollapse compare {name}`" for name in names)
    return f"{markdown(head, rows)}\n\n*Mean over seeds and 95 % interval ({links}).*"


def _ends(measure: dict[str, Any] | None) -> str:
    if measure is None or measure["mean"] is None:
        return ""
    ends = "" if measure["low"] is None else f" [{measure['low']:.2f}, {measure['high']:.2f}]"
    return f"{measure['mean']:.2f}{ends}"


def files() -> dict[Path, str]:
    """Path -> what it should hold."""
    pictures = _module("pictures")
    readme, tutorial = ROOT / "README.md", DOCS / "tutorial.md"
    told = tutorial.read_text(encoding="utf-8")
    blocks = {
        "cures": cures(),
        "mode-coverage": mode_coverage(),
        "images": images(IMAGE_RESULTS),
        "cures-mnist": images(["cures-mnist"]),
    }
    for what, made in blocks.items():
        told = replaced(told, what, made)
    return {
        readme: replaced(readme.read_text(encoding="utf-8"), "methods", readme_table()),
        DOCS / "methods.md": index(),
        tutorial: told,
        **{PAGES / f"{name}.md": page(method, pictures) for name, method in METHODS.items()},
        **_module("metric_pages").files(_module("defects")),
    }


def _module(name: str) -> ModuleType:
    """A script of this folder, which knows what its pictures or pages show."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))
