"""What image tasks measure of a result beside the mode measures: names, ranges and what a lost seed counts as.

A task's `further_measures` computes them; records, tables and reports read these facts and never a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Further:
    """One further measure.

    Attributes:
        name: Key in `result.json` and `comparison.json`.
        low: Least value.
        high: Largest value; None where there is none, and -1 for the number of modes.
        covers: Whether it says how much is covered, so that a diverged seed counts as 0.
        better: ``"higher"``, ``"lower"``, or ``"one"`` where 1 is right.
        says: One sentence.
    """

    name: str
    low: float
    high: float | None
    covers: bool
    better: str
    says: str


MODES = -1.0

FURTHER: Mapping[str, Further] = MappingProxyType(
    {
        measure.name: measure
        for measure in (
            Further(
                name="modes_seen", low=0, high=MODES, covers=True, better="higher",
                says="Modes with at least one of 26,000 samples of any quality, the count of older papers; errors of"
                " the classifier inflate it.",
            ),
            Further(
                name="modes_five", low=0, high=MODES, covers=True, better="higher",
                says="Modes with at least five of 26,000 samples of any quality.",
            ),
            Further(
                name="modes_five_corrected", low=0, high=MODES, covers=True, better="higher",
                says="Modes with at least five of 26,000 samples once the errors of the classifier, known from held-out"
                " digits, are taken out of the counts.",
            ),
            Further(
                name="kl_corrected", low=-1, high=None, covers=False, better="lower",
                says="Kullback-Leibler divergence of the mode shares of all samples to the real ones in nats, less its"
                " expected value for a perfect generator with as many samples; errors of the classifier stay in it.",
            ),
            Further(
                name="kl_uniform", low=0, high=None, covers=False, better="lower",
                says="Kullback-Leibler divergence of the mode shares of 26,000 samples to equal shares in nats, as in"
                " older papers; .0194 for a perfect generator of equal modes, .0237 for real MNIST.",
            ),
            Further(
                name="frechet_distance", low=0, high=None, covers=False, better="lower",
                says="Fréchet distance to as many held-out real images, at most 2,000, on the hidden layer of the"
                " task's classifier.",
            ),
            Further(
                name="precision", low=0, high=1, covers=False, better="higher",
                says="Share of generated images as near to a real one as its third real neighbour, on the same"
                " features; a few odd real images make it lenient, so that even noise can pass.",
            ),
            Further(
                name="recall", low=0, high=1, covers=True, better="higher",
                says="Share of real images as near to a generated one as its third generated neighbour, on the same"
                " features.",
            ),
            Further(
                name="within_class_diversity", low=0, high=None, covers=True, better="one",
                says="Mean distance in pixels between generated images of one class, divided by that between held-out"
                " real ones and averaged over the classes, a lost class counting 0; below 1, the generator repeats"
                " itself.",
            ),
            Further(
                name="label_agreement", low=0, high=1, covers=True, better="higher",
                says="Share of a conditional generator's images in which the classifier sees the label asked for.",
            ),
        )
    }
)  # fmt: skip
