"""The generated documentation of the metrics: docs/metrics.md and a page each in docs/metrics/, from their facts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

from uncollapse.cards import authors
from uncollapse.metric_cards import GOOD, call, least, outcome, span
from uncollapse.metrics.estimate import CAUTION
from uncollapse.metrics.metric import DEFECTS, GROUPS, NAMES, Metric, find_metric
from uncollapse.text import web_address

DOCS = Path(__file__).parent
PAGES = DOCS / "metrics"
# The tutorial's six, by the names they have here.
SIX = ("inception_score", "frechet_distance", "diversity", "precision", "recall", "c2st", "path_length")
# What one wants to know -> what to look at, in the order of looking.
QUESTIONS = {
    "Is anything wrong at all?": ("c2st", "frechet_distance", "kernel_distance"),
    "Is it quality or coverage?": ("precision", "recall", "density", "coverage"),
    "Which modes or classes are gone? (labels or a classifier are there)": ("mode_coverage", "class_kl", "chi_square"),
    "Which modes are gone? (no labels)": ("ndb", "coverage"),
    "Are the samples all alike?": ("diversity", "vendi_score", "duplicates", "birthday"),
    "Are they copies of the training data?": ("authenticity",),
    "Does this agree with a paper's table?": ("frechet_distance", "inception_score", "kernel_distance"),
    "There are few samples, or sets of different sizes": ("frechet_infinity", "kernel_distance", "mmd_rbf"),
    "Does the output jump between latents?": ("path_length",),
}
FEATURES = "draws.normal(size=(500, 8))"
# What a metric looks at -> how an example gets it.
GIVEN = {
    "real and fake features": f"real, fake = {FEATURES}, {FEATURES}",
    "training and fake features": f"train, fake = {FEATURES}, {FEATURES}",
    "fake features": f"fake = {FEATURES}",
    "probabilities": "probabilities = draws.dirichlet(0.1 * np.ones(10), size=500)",
    "labels": "real_labels, fake_labels = draws.integers(10, size=(2, 500))",
}


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table's lines."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *cells)]


def link(name: str) -> str:
    """A link to the metric's page, from docs/metrics.md."""
    return f"[`{name}`](metrics/{name}.md)"


def planted(defects: ModuleType) -> list[str]:
    """What the planted defects are, one line each."""
    lost = ", ".join(str(digit) for digit in defects.LOST)
    told = {
        "modes lost": f"real images, but never a {lost}; the other digits fill up",
        "variance shrunk": f"every image drawn towards the mean image of its digit, {defects.SHRUNK:g} of the way left",
        "duplicates": f"{defects.DISTINCT} real images, {defects.DISTINCT // 10} of each digit, drawn again and again",
        "blur": f"every image smoothed by a Gaussian of {defects.BLUR:g} pixels",
        "memorised": f"images of the training half with noise of {defects.NOISE:g} (images lie in [-1, 1])",
    }
    return [f"- **{defect}**: {told[defect]}" for defect in DEFECTS]


def defect_lines(defects: ModuleType) -> list[str]:
    """How the defects are planted and when one counts as seen."""
    real, size = len(defects.halves().real), defects.SIZE
    bins, varying = defects.SETTINGS["ndb"]["bins"], int(defects.varying().sum())
    return [
        f"Scikit-learn's 8x8 digits in two halves of equal make-up. One half ({real} images) is the reference and the",
        f"training data. From the other come {size} *healthy* samples, real images that nobody trained on, and:",
        "",
        *planted(defects),
        "",
        "A defect is **seen** when the metric moved in its bad direction and the 95 % intervals of the defective and",
        "the healthy samples do not overlap; for a metric that is best near an ideal either direction is bad. Features",
        f"are the {varying} pixels that vary; probabilities and labels of samples are those of the shipped",
        f"classifier; settings are the defaults, but for `ndb` with {bins} bins and `c2st` with its small network (the",
        "logistic default misses shrunk variance, which leaves the means where they are). Other data, features, sizes",
        "and strengths of a defect can turn out otherwise. `docs/defect_pictures.py` draws it, and",
        "`tests/laws/test_planted_defects.py` measures it again.",
    ]


# Families of results/intervals other than features, in words.
FAMILIES = {
    "labels": "labels", "softmax": "probabilities", "support": "repeated rows", "paths": "paths",
    "paired": "differences",
}  # fmt: skip


def drawn() -> str:
    """How often the intervals held in the cases of results/intervals, and which cases those are."""
    document = json.loads((DOCS.parent / "results" / "intervals" / "coverage.json").read_text(encoding="utf-8"))
    found = [(row, case) for row in document["rows"] for case in row["metrics"].values()]
    found = [(row, case) for row, case in found if case["repeats"] >= 500 and case["coverage"] is not None]
    least = min(case["coverage"] for _, case in found)
    sides: dict[str, set[int]] = {}
    for row, _ in found:
        sides.setdefault(row["family"], set()).update({row["n_real"], row["n_fake"]} - {0})
    common = set.intersection(*(sides[name] for name in sides if name != "images"))
    further = [FAMILIES[name] for name in FAMILIES if sides.get(name, set()) - common]
    rows = " or ".join(f"{count:,}" for count in sorted(common))
    larger = max(count for counts in sides.values() for count in counts)
    also = f" ({', '.join(further[:-1])} and {further[-1]} also with {larger:,})" if further else ""
    images = "images" in sides
    return (
        f"with {rows} rows a side{also} at least {math.floor(100 * least)} % of the time in all {len(found)} cases"
        " drawn so far: Gaussian mixtures, labels, probabilities, repeated rows and paths"
        + (", and features of real images (MNIST and Fashion-MNIST, 96 of each)" if images else "")
    )


def index(defects: ModuleType) -> str:
    """The whole of docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        f"{len(NAMES)} metrics, each a function `uc.metrics.NAME` that takes keywords, NumPy or torch, and returns an",
        "`Estimate`: the value, its interval, the numbers of samples, and what the interval is for. Made from the",
        "facts in [`metrics/facts`](../src/uncollapse/metrics/facts/) by `make docs`; `uncollapse metrics NAME` prints",
        "the same. What is counted at the end of a run is on [measures.md](measures.md).",
        "",
        "`uc.metrics.feature_metrics` gives many at once from one walk over the pairs of rows; `uc.metrics.difference`",
        "and `differences` compare two generators against one reference in one and in many of them;",
        "`uc.metrics.required_n` says how many samples it takes to see a difference. What a metric draws depends on",
        "the rows' content as it is stored, not on their order: a float32 and a float64 copy of the same numbers are",
        "split differently.",
        "",
        "How often the intervals held what they are for, in thousands of simulated repeats whose truth is known, is in",
        f"[results/intervals](../results/intervals/): {drawn()}.",
        "Four of them were drawn again after their intervals had been mended. Outside these cases",
        "intervals are known that hold less often: those of precision and recall where outliers alone decide among",
        "more than 2,000 rows a side (in the plane 82 %, 10,000 rows, fakes 4.5 standard deviations away); under",
        "heavy tails (log-normal features in the plane, 500 rows) that of the Fréchet distance, 85 %, that of the same",
        "freed of its bias, 62 % (56 % for normal features of which 1 % lie ten times as far out), and that of the",
        "kernel distance, 60 to 88 %; that of the Vendi score, 89 %, for 100 rows of Student's t with two degrees of",
        "freedom in 64 dimensions; and that of chi-square with rare classes, 89 %",
        "([heavy_tails.json](../results/intervals/heavy_tails.json)).",
    ]
    for title, names in GROUPS.items():
        lines += ["", f"## {title}", "", *table(["metric", "measures", "good", "sees", "blind to", "needs"], [
            [link(name), metric.measures, metric.direction, outcome(metric.sees, metric.misses)[0], metric.blind,
             least(metric)] for name in names for metric in (find_metric(name),)
        ])]  # fmt: skip
    lines += ["", "Good: lower or higher values, or values near the metric's ideal. Sees: the planted defects below."]
    lines += ["", "## What each one sees", "", *defect_lines(defects), "", *table(["metric", *DEFECTS], [
        [link(name), *(_mark(find_metric(name), defect) for defect in DEFECTS)] for name in NAMES
    ])]  # fmt: skip
    lines += ["", *six(), "", *when()]
    return "\n".join(lines) + "\n"


def _mark(metric: Metric, defect: str) -> str:
    return "**seen**" if defect in metric.sees else "no" if defect in metric.misses else ""


def six() -> list[str]:
    """The tutorial's six metrics with what they are good and bad at."""
    rows = [
        [link(name), authors(metric.paper), metric.strengths, metric.weaknesses, metric.use]
        for name in SIX
        for metric in (find_metric(name),)
    ]
    return [
        "## The six of the tutorial",
        "",
        "The tutorial this project grew from compares six: the Inception score, the Fréchet distance, diversity,",
        "precision and recall, two-sample tests by a classifier, and path length.",
        "",
        *table(["metric", "from", "good at", "bad at", "when to use"], rows),
        "",
        "Its advice: the Inception score for images with labels, the Fréchet distance in general and to find collapse,",
        "precision and recall to tell quality from coverage, diversity where only variety matters. Measured on the",
        "planted defects above, this needs three additions: a number without its interval and its n says little; no",
        "distance between distributions notices copies of the training data, so ask `authenticity`; and one number",
        "never tells which mode is gone, so look at the classes or bins too.",
    ]


def when() -> list[str]:
    """Which metric for which question, and when each is used."""
    rows = [[question, ", ".join(link(name) for name in names)] for question, names in QUESTIONS.items()]
    lines = ["## Which one when", "", *table(["question", "look at"], rows)]
    for title, names in GROUPS.items():
        lines += ["", f"**{title}**", ""]
        lines += [f"- {link(name)}: {find_metric(name).use}" for name in names]
    return lines


def page(metric: Metric, defects: ModuleType) -> str:
    """The whole of docs/metrics/NAME.md."""
    low, high = (end if abs(end) < float("inf") else None for end in (metric.low, metric.high))
    caution = CAUTION if metric.conservative else ""
    lines = [f"# {metric.title}", "", metric.measures, ""]
    lines += [f"Paper: [{metric.paper}]({web_address(metric.arxiv)})", "", "```text", metric.equation.strip(), "```"]
    lines += ["", f"![What {metric.name} sees]({metric.name}.png)", "", *caption(metric, defects)]
    lines += [
        "",
        "## What it is",
        "",
        f"- Looks at: {metric.takes}; needs at least {least(metric)}",
        f"- Good values: {GOOD[metric.direction]}; {span(low, high)}",
        f"- Ideal: {metric.ideal}",
        f"- The interval is for: {metric.estimand}",
        f"- How the interval is found: {metric.interval}{caution}",
        f"- Good at: {metric.strengths}",
        f"- Bad at: {metric.weaknesses}",
        f"- Blind to: {metric.blind}",
        f"- When to use: {metric.use}",
    ]
    if metric.sees or metric.misses:
        sees, misses = outcome(metric.sees, metric.misses)
        lines += [f"- Of the planted defects it sees: {sees}", f"- And misses: {misses}"]
    lines += ["", "## Deviations from the paper", "", *([f"- {item}" for item in metric.differs] or ["- None known."])]
    lines += ["", "## Compute it", "", "```python", *example(metric), "```", "", "```sh"]
    lines += [f"uncollapse metrics {metric.name}", "```", "", "[All metrics](../metrics.md)"]
    return "\n".join(lines) + "\n"


def caption(metric: Metric, defects: ModuleType) -> list[str]:
    """What the picture shows."""
    if metric.takes == "a generator":
        return [
            "*Planted defects of sample sets do not apply: this metric looks at a generator. Above, what four of them",
            "make on a grid of latents: each coordinate turns one pair of digits into the other, ever faster from left",
            "to right; the last makes one image only, and is called the best of all. Below, their path lengths with",
            "95 % intervals. Orange: seen, the interval lies on the bad side of that of the smooth one. Paths of equal",
            "lengths give no interval. Made by `docs/defect_pictures.py path_length`.*",
        ]
    what = {"probabilities": "the classifier's probabilities", "labels": "the classifier's labels"}
    on = what.get(metric.takes, "pixels")
    return [
        f"*Above, healthy samples and [planted defects](../metrics.md#what-each-one-sees), {defects.SIZE} images each,",
        f"16 shown, sorted by digit. Below, the metric of {on} with its 95 % interval; an arrow is an end without",
        "limit. Shaded: the interval of healthy samples. Orange: seen, the intervals do not overlap and the defect's",
        f"lies on the bad side. Made by `docs/defect_pictures.py {metric.name}`.*",
    ]


def example(metric: Metric) -> list[str]:
    """Code that runs, its lines."""
    if metric.takes == "a generator":
        return [
            "import torch",
            "",
            "import uncollapse as uc",
            "",
            "generator = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.Tanh())",
            "print(uc.metrics.path_length(generator=generator, latent=16, samples=1_000))",
        ]
    start = ["import numpy as np", "", "import uncollapse as uc", "", "draws = np.random.default_rng(0)"]
    return [*start, GIVEN[metric.takes], f"print({call(metric)})"]


def files(defects: ModuleType) -> dict[Path, str]:
    """Path -> what it should hold."""
    pages = {PAGES / f"{name}.md": page(find_metric(name), defects) for name in NAMES}
    return {DOCS / "metrics.md": index(defects), **pages}
