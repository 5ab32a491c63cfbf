"""Extracts what advice may cite, `src/uncollapse/evidence.json`, from the committed results: `make docs`.

One row a cell of each `results/*/comparison.json`: its measures with intervals, its paired differences from the plain
GAN of the same comparison, oriented so that more is better, and the symptoms of that plain GAN. A test fails when the
file is stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uncollapse.experiments.record import by_seed
from uncollapse.experiments.statistics import pair_differences
from uncollapse.methods import METHODS, find_method
from uncollapse.metrics.intervals import wilson
from uncollapse.symptoms import MEASURES, SYMPTOMS

ROOT = Path(__file__).resolve().parents[1]
PLAIN = "vanilla"
# Comparisons whose settings were chosen for one of their methods: how far it is ahead of the others is no evidence.
ONE_SIDED = ("records",)


def document() -> dict[str, Any]:
    """The whole of evidence.json; runs that stand in two results, as the untuned ones do, speak once."""
    paths = sorted((ROOT / "results").glob("*/comparison.json"))
    told = ("method", "task", "updates", "settings", "seeds", "measures", "diverged")
    found: dict[str, dict[str, Any]] = {}
    for row in (row for path in paths for row in rows(path)):
        found.setdefault(json.dumps([row[key] for key in told], sort_keys=True), row)
    return {"schema": 1, "rows": list(found.values())}


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of one comparison; a cell without a result is none."""
    content = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in content["cells"] if cell["seeds"]]
    fair = content["plan"]["name"] not in ONE_SIDED
    found = {
        (cell["method"], cell["task"]): row(cell, content, path.parent.name)
        for cell in cells
        if cell["method"].partition(" (")[0] in METHODS
    }
    for task in dict.fromkeys(cell["task"] for cell in cells):
        versus = against_plain(cells, task) if fair else {}
        for name in (name for name, where in found if where == task):
            differences = versus.get(name, {})
            # In the row itself, as the plain GAN's own row may be left out for standing in another result.
            shown = symptoms(found[plain_of(name), task]) if differences else []
            found[name, task] |= {"versus": differences, "plain_shows": shown}
    repeated = {(cell["method"], cell["task"]) for cell in cells if twice(cell, content)}
    return [entry for key, entry in found.items() if key not in repeated]


def plain_of(name: str) -> str:
    """The plain GAN that a method is compared with: tuned with tuned, the others with the other."""
    return f"{PLAIN} (tuned)" if name.endswith("tuned)") else PLAIN


def symptoms(plain: Mapping[str, Any]) -> list[str]:
    """What a plain GAN shows of the symptoms that methods are compared with it in."""
    return [item.name for item in SYMPTOMS.values() if not item.absolute and item.shown(plain)]


def twice(cell: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    """Whether a tuned cell is the runs of the method as it stands once more, because tuning chose the default."""
    chosen = (row for row in content.get("tuning", {}).get("cells", ()) if row["task"] == cell["task"])
    return any(row["tuned"] == cell["method"] and row["settings"] == {} for row in chosen)


def row(cell: Mapping[str, Any], content: Mapping[str, Any], result: str) -> dict[str, Any]:
    """What is known of one cell without its comparison."""
    name, _, label = cell["method"].partition(" (")
    count, n = len(cell["diverged"]), len(cell["seeds"])
    low, high = wilson(count, n)
    found = {
        key: short(cell["measures"][key]) for key in MEASURES if cell["measures"].get(key, {}).get("mean") is not None
    }
    return {
        "result": result,
        "plan": content["plan"]["name"],
        "method": name,
        "label": label.removesuffix(")"),
        "labelled": find_method(name).labelled,
        "task": cell["task"],
        "modes": int(cell["measures"]["modes_solid"]["bounds"][1]),
        "seeds": n,
        "updates": cell["cost"]["critic_updates"],
        "weights": content["weights"],
        "settings": settings(cell, content),
        "success_rate": {key: rounded(value) for key, value in cell["success_rate"].items()},
        "measures": found,
        "diverged": {"value": rounded(count / n), "low": rounded(low), "high": rounded(high), "count": count, "n": n},
    }


def settings(cell: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan set of the method and its networks, and what tuning chose."""
    name, _, label = cell["method"].partition(" (")
    label = label.removesuffix(")")
    tuned = label == "tuned" or label.endswith(", tuned")
    wanted = label.removesuffix("tuned").removesuffix(", ") if tuned else label
    found = next(
        dict(group["set"])
        for group in content["plan"]["groups"]
        if name in group["methods"] and cell["task"] in group["tasks"] and group["label"] == wanted
    )
    if tuned:
        full = f"{name} ({wanted})" if wanted else name
        chosen = (row for row in content["tuning"]["cells"] if (row["method"], row["task"]) == (full, cell["task"]))
        found |= next(chosen)["settings"]
    return {path: value for path, value in found.items() if not path.startswith("task.")}


def against_plain(cells: list[dict[str, Any]], task: str) -> dict[str, dict[str, Any]]:
    """Method -> measure -> the paired difference from the plain GAN that it is compared with."""
    mine = {cell["method"]: cell for cell in cells if cell["task"] == task}
    found: dict[str, dict[str, Any]] = {name: {} for name in mine}
    for plain in (PLAIN, f"{PLAIN} (tuned)"):
        names = [name for name in mine if plain_of(name) == plain]
        for measure in (*MEASURES, "diverged"):
            values = {name: oriented(mine[name], measure) for name in names}
            if plain not in values or not values[plain]:
                continue
            pairs = [(name, plain) for name in names if name != plain and values[name]]
            limits = (-1.0, 0.0) if measure == "diverged" else mine[plain]["measures"][measure].get("bounds")
            for difference in pair_differences(
                values, pairs, task=task, measure=measure, bounds=limits, diverged="omit"
            ):
                if difference.n:
                    kept = {key: getattr(difference, key) for key in ("difference", "low", "high", "p_adjusted", "n")}
                    found[difference.method][measure] = {key: rounded(value) for key, value in kept.items()}
    return found


def oriented(cell: Mapping[str, Any], measure: str) -> dict[int, float | None]:
    """A measure by seed so that more is better: a core sigma ratio as minus its distance from 1."""
    if measure == "diverged":
        return {seed: -float(seed in cell["diverged"]) for seed in cell["seeds"]}
    if cell["measures"].get(measure, {}).get("mean") is None:
        return {}
    values = by_seed(cell, measure)
    if measure == "core_sigma_ratio":
        return {seed: None if value is None else -abs(value - 1) for seed, value in values.items()}
    return values


def short(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Mean, interval and seeds of a measure."""
    return {key: rounded(entry[key]) for key in ("mean", "low", "high", "n")}


def rounded(value: float | None) -> float | None:
    """Six digits: more than anybody reads, and the same on every machine."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def files() -> dict[Path, str]:
    """Path -> what it should hold."""
    content = document()
    lines = ",\n".join(json.dumps(row) for row in content["rows"])
    text = f'{{"schema": {content["schema"]}, "rows": [\n{lines}\n]}}\n'
    return {ROOT / "src" / "uncollapse" / "evidence.json": text}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
