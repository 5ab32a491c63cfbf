"""What to try next after an evaluation: sentences that follow from what was found, each naming its next command."""

from __future__ import annotations

from uncollapse.verdict.verdict import Verdict

# Question -> what it points to.
MISSING = "`uncollapse methods --for missing-modes` lists what measurably helped"
SHRUNKEN = (
    "truncated sampling does this, so draw without truncation first; then `uncollapse methods --for shrunken-variance`"
)
CURES = {
    "class shares": f"classes are missing: {MISSING}; where labels exist, a conditional method asks for every class",
    "region shares": f"regions of the data are missing: {MISSING}",
    "spread within classes": f"the generator varies too little within a class: {SHRUNKEN}",
    "spread within clusters": f"the generator varies too little: {SHRUNKEN}",
    "spread overall": f"the generator varies too little overall: {SHRUNKEN}",
    "repeats": f"fakes repeat each other: make sure that every sample has a latent and seed of its own; then {MISSING}",
}


def next_steps(verdict: Verdict, *, extractor: str, labelled: bool, trained: bool) -> list[str]:
    """Sentences, the most useful first.

    Args:
        verdict: The judgement.
        extractor: Name of the extractor.
        labelled: Whether both sides have labels that were not judged one by one.
        trained: Whether training rows were given.
    """
    found = [CURES[row.metric] for row in verdict.evidence if row.significant and row.metric in CURES]
    steps = [f"What was found says that {cure}." for cure in found]
    if "memorised" in verdict.flags:
        steps.append(
            "Fakes are copies of training rows: train on more data, for a shorter time, or with augmentation "
            "(`uncollapse methods diffaugment`), and look at the copies in the report."
        )
    if verdict.status == "inconclusive" and verdict.needed is not None:
        steps.append(f"Give about {verdict.needed:,} samples a side: with fewer, a loss that matters can hide.")
    if verdict.quality is not None and verdict.status in ("healthy", "inconclusive"):
        steps.append(
            "Before blaming the generator, make both sides go through the same resizing, format and compression."
        )
    if extractor.startswith(("pca", "pixels")):
        steps.append(
            "These features see layout and colour, not what things mean; with a network (`--features inception` or "
            "`--features pretrained:NAME`) the same evaluation sees more."
        )
    if labelled:
        steps.append(
            "Both sides are labelled: `--per-class` shows a collapse inside a class, which shares cannot show."
        )
    if not trained:
        steps.append("With `--train PATH` the evaluation also tells whether fakes are copies of training data.")
    return steps
