"""Every rule refuses what it names, with its sentence, and lets the rest through; pairs: tests/laws/test_pairs.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from uncollapse.compatibility import RULES, check
from uncollapse.errors import UserError
from uncollapse.lanes import sizes_of
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.conditioning import AuxiliaryClassifier, Concat, JointPairs, Projection
from uncollapse.parts.generator_terms import ClassLogits, Identity, PullingAway, Reconstruction
from uncollapse.parts.losses import BoundaryEquilibrium, EnergyMargin, WhoMadeIt
from uncollapse.parts.penalties import Dragan, GeneratorClassifier, GradientPenalty, LabelClassifier, ZeroCentred
from uncollapse.parts.population import Ensemble, Mixture
from uncollapse.parts.scene import Sizes
from uncollapse.parts.views import MinibatchDiscrimination, MinibatchStddev, Packed, View
from uncollapse.run import make_spec


@dataclass(frozen=True, kw_only=True)
class Entangled(View):
    """A user's view whose samples see each other."""

    joint: ClassVar[bool] = False
    entangles: ClassVar[bool] = True


def sized(**given: Any) -> Sizes:
    return Sizes(**{"shape": (2,), "latent": 2, "batch": 12, "classes": 3, **given})


PENALISED = VANILLA.but(penalties=(GradientPenalty(),))
FOUR, TWO_A_PACK = sized(generators=4), sized(group=2)
REFUSED: list[tuple[str, Method, Sizes, str]] = [
    (
        "state of a foreseen critic",
        METHODS["began"].but(dynamics=METHODS["unrolled-5"].dynamics),
        sized(),
        "BoundaryEquilibrium follows the game with numbers of its own, and dynamics.unroll = 5 would show it",
    ),
    (
        "two samples to compare",
        METHODS["ebgan-pt"],
        sized(batch=1),
        "PullingAway compares what a batch holds, and one of 1 holds no two; choose",
    ),
    (
        "two samples to compare",
        METHODS["minibatch-discrimination"],
        sized(batch=1),
        "MinibatchDiscrimination compares what a batch holds",
    ),
    (
        "two samples to compare",
        METHODS["ebgan-pt"].but(view=Packed(size=2)),
        sized(batch=2, group=2),
        "one of 2 holds no two packs",
    ),
    (
        "two samples to compare",
        METHODS["msgan"],
        sized(batch=1),
        "ModeSeeking compares what a batch holds, and one of 1 holds no two; choose",
    ),
    (
        "vectors of a foreseen critic",
        METHODS["unrolled-5"].but(constraint=METHODS["sngan"].constraint),
        sized(),
        "SpectralNorm's power iteration stands still in foreseen critic steps",
    ),
    (
        "a start from data that a clip undoes",
        METHODS["wgan"].but(view=MinibatchDiscrimination()),
        sized(),
        "WeightClip clips the scales that MinibatchDiscrimination sets",
    ),
    (
        "a head and what trains it",
        METHODS["projection"].but(generator_terms=(ClassLogits(),)),
        sized(),
        "ClassLogits needs the penalty LabelClassifier and Identity needs GeneratorClassifier",
    ),
    (
        "a head and what trains it",
        VANILLA.but(generator_terms=(Identity(),), population=Mixture()),
        FOUR,
        "Identity needs GeneratorClassifier",
    ),
    (
        "a label to find that is not told",
        METHODS["cgan"].but(generator_terms=(ClassLogits(),)),
        sized(),
        "ClassLogits asks the critic for the label, and Concat tells it the label, which it would copy; use",
    ),
    (
        "a label to find that is not told",
        METHODS["cgan"].but(penalties=(LabelClassifier(),)),
        sized(),
        "LabelClassifier asks the critic for the label, and Concat tells it the label",
    ),
    (
        "one size for a head",
        METHODS["mad-gan-4"].but(penalties=(GeneratorClassifier(),)),
        FOUR,
        "asks for generator_logits of 5 and of 4 numbers; drop one part",
    ),
    (
        "slopes of two critics",
        METHODS["d2gan"].but(penalties=(ZeroCentred(),)),
        sized(),
        "TwoCritics has two critics, and ZeroCentred would hold the slope of the first only; drop one",
    ),
    (
        "labels for a conditional method",
        METHODS["cgan"],
        sized(classes=0),
        "cgan needs labels, and this task has none; choose a labelled",
    ),
    ("labels for a conditional method", METHODS["cgan"], sized(classes=1), "this task has 1;"),
    (
        "images for augmentation",
        METHODS["diffaugment"],
        sized(),
        r"DiffAugment alters images, and this task has samples of shape \[2\]; choose an image task",
    ),
    (
        "whole packs",
        VANILLA.but(view=Packed(3)),
        sized(batch=64, group=3),
        r"Packed\(3\) cannot split a batch of 64; choose a multiple of 3\.",
    ),
    (
        "whole groups",
        METHODS["minibatch-stddev"],
        sized(batch=6),
        r"MinibatchStddev\(4\) cannot split a batch of 6 into its groups; choose a multiple of 4\.",
    ),
    (
        "batch statistics under per-sample slopes",
        PENALISED.but(view=Entangled()),
        sized(),
        "Entangled lets samples see each other",
    ),
    (
        "batch statistics under per-sample slopes",
        METHODS["r3gan"].but(view=MinibatchDiscrimination()),
        sized(),
        "the slope of one sample that ZeroCentred asks for is not defined; drop one of the two",
    ),
    (
        "points without a code under encoded pairs",
        METHODS["veegan"].but(penalties=(ZeroCentred(), Dragan())),
        sized(),
        "the points that Dragan asks about have none; use ZeroCentred",
    ),
    (
        "summaries of an auto-encoding critic",
        METHODS["ebgan"].but(view=MinibatchStddev()),
        sized(),
        "EnergyMargin scores by reconstruction, which leaves no place for what MinibatchStddev adds",
    ),
    (
        "a score to add to",
        VANILLA.but(loss=BoundaryEquilibrium(), conditioning=Projection()),
        sized(),
        "makes its score from the reconstruction, so Projection has none to add to; condition by Concat",
    ),
    (
        "a score to add to",
        METHODS["mad-gan-4"].but(conditioning=Projection()),
        FOUR,
        "WhoMadeIt makes its score from the generator logits, so Projection has none to add to",
    ),
    (
        "codes for terms on codes",
        VANILLA.but(generator_terms=(ClassLogits(), PullingAway())),
        sized(),
        "PullingAway reads the code of an auto-encoding critic, which NonSaturating does not have; use EnergyMargin",
    ),
    (
        "several generators to tell apart",
        VANILLA.but(loss=WhoMadeIt()),
        sized(),
        r"WhoMadeIt tells generators apart, and OneGenerator has one in a game; use population=Mixture\(4\)",
    ),
    (
        "several generators to tell apart",
        VANILLA.but(generator_terms=(Identity(),), population=Ensemble()),
        sized(),
        "Ensemble has one in a game",
    ),
    (
        "labels to classify",
        VANILLA.but(penalties=(LabelClassifier(),)),
        sized(),
        r"LabelClassifier classifies by label, and Unconditional brings none; use conditioning=AuxiliaryClassifier\(\)",
    ),
    (
        "heads that name one sample of a pack",
        METHODS["ac-gan"].but(view=Packed(2)),
        TWO_A_PACK,
        "LabelClassifier names one sample, and Packed shows the critic 2 at once",
    ),
    (
        "heads that name one sample of a pack",
        METHODS["mgan-4"].but(view=Packed(2)),
        sized(group=2, generators=4),
        "GeneratorClassifier names one sample, and Packed shows the critic 2 at once",
    ),
    (
        "a classifier for the labels",
        VANILLA.but(conditioning=AuxiliaryClassifier(), penalties=(LabelClassifier(),)),
        sized(),
        "nothing would hold it to them; add the penalty LabelClassifier",
    ),
    (
        "an encoder and what trains it",
        VANILLA.but(conditioning=JointPairs()),
        sized(),
        "use both, as in veegan, or neither",
    ),
    (
        "an encoder and what trains it",
        VANILLA.but(generator_terms=(Reconstruction(),)),
        sized(),
        "use both, as in veegan, or neither",
    ),
]


@pytest.mark.parametrize(("name", "method", "sizes", "message"), REFUSED)
def test_refused(name: str, method: Method, sizes: Sizes, message: str) -> None:
    assert name in {rule.name for rule in RULES if rule.broken(method, sizes)}
    with pytest.raises(UserError, match=message) as refusal:
        check(method, sizes)
    assert str(refusal.value).endswith(".")


def test_every_rule_is_tried_above_and_has_a_name_of_its_own() -> None:
    assert {name for name, *_ in REFUSED} == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


COMPOSED = [
    VANILLA.but(view=Entangled()),
    PENALISED.but(view=Packed(3)),
    METHODS["r3gan"].but(conditioning=Concat()),
    METHODS["wgan-gp"].but(view=MinibatchStddev()),
    METHODS["veegan"].but(penalties=(ZeroCentred(),), view=Packed(2)),
    METHODS["ebgan-pt"].but(view=Packed(2), conditioning=Concat()),
    METHODS["projection"].but(view=Packed(2)),
    METHODS["projection"].but(penalties=(LabelClassifier(),), generator_terms=(ClassLogits(),)),
    METHODS["ac-gan"].but(view=MinibatchDiscrimination(), population=Mixture()),
    VANILLA.but(loss=EnergyMargin(), penalties=(GradientPenalty(),), population=Ensemble()),
]


@pytest.mark.parametrize("method", [*METHODS.values(), *COMPOSED], ids=lambda method: method.describe()[:60])
def test_what_composes_passes(method: Method) -> None:
    task = "digits" if method.view.images_only else "blobs-4"
    spec = make_spec(
        method.but(name=method.name or "mine"), task, seeds=(0,), updates=2, batch=12, networks=MLP(width=4)
    )
    check(method, sizes_of(spec))
