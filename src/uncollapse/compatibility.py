"""The few pairs of parts that do not compose with each other or with a task, each with its sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from uncollapse.errors import UserError
from uncollapse.method import Method
from uncollapse.parts.conditioning import AuxiliaryClassifier
from uncollapse.parts.constraints import SpectralNorm, WeightClip
from uncollapse.parts.generator_terms import (
    BuresMetric,
    ClassLogits,
    DeterminantalPointProcess,
    Identity,
    ModeSeeking,
    PullingAway,
)
from uncollapse.parts.penalties import GeneratorClassifier, LabelClassifier
from uncollapse.parts.scene import Part, Sizes
from uncollapse.parts.views import MinibatchDiscrimination


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One refusal.

    Attributes:
        name: What is refused.
        broken: Whether a method and sizes break the rule.
        sentence: What to say: what, which value, what is allowed, what to do next.
    """

    name: str
    broken: Callable[[Method, Sizes], bool]
    sentence: Callable[[Method, Sizes], str]


def _name(part: object) -> str:
    return type(part).__name__


def _per_sample(method: Method) -> str:
    return next(_name(part) for part in method.penalties if part.per_sample)


def _reader(method: Method, sizes: Sizes, *heads: str) -> str:
    """The first part that reads one of these heads; empty if none does."""
    return next((_name(part) for part in method.parts() if set(heads) & set(part.heads(sizes))), "")


def _has(method: Method, kind: type[Part]) -> bool:
    return any(isinstance(part, kind) for part in method.parts())


def _comparing(method: Method, sizes: Sizes) -> str:
    """A part that compares samples of a batch, or packs of them, where there are no two; empty if none does."""
    of_packs = (PullingAway, DeterminantalPointProcess, BuresMetric, MinibatchDiscrimination)
    alone = [(ModeSeeking, sizes.batch), *((part, sizes.packs) for part in of_packs)]
    return next((part.__name__ for part, count in alone if count < 2 and _has(method, part)), "")


def _clash(method: Method, sizes: Sizes) -> str:
    """What `Method.heads` says of two parts that want one head in different sizes; empty if none do."""
    try:
        method.heads(sizes)
    except UserError as error:
        return str(error)
    return ""


RULES: tuple[Rule, ...] = (
    Rule(
        name="one size for a head",
        broken=lambda method, sizes: bool(_clash(method, sizes)),
        sentence=_clash,
    ),
    Rule(
        name="slopes of two critics",
        broken=lambda method, sizes: (
            any(penalty.per_sample for penalty in method.penalties) and bool(_reader(method, sizes, "second_score"))
        ),
        sentence=lambda method, sizes: (
            f"{_reader(method, sizes, 'second_score')} has two critics, and {_per_sample(method)} would hold the slope"
            " of the first only; drop one of the two."
        ),
    ),
    Rule(
        name="labels for a conditional method",
        broken=lambda method, sizes: method.labelled and sizes.classes < 2,
        sentence=lambda method, sizes: (
            f"{method.name} needs labels, and this task has {sizes.classes or 'none'};"
            " choose a labelled task, or an unconditional method such as wgan-gp."
        ),
    ),
    Rule(
        name="images for augmentation",
        broken=lambda method, sizes: method.view.images_only and len(sizes.shape) < 2,
        sentence=lambda method, sizes: (
            f"{_name(method.view)} alters images, and this task has samples of shape {list(sizes.shape)};"
            " choose an image task such as digits, or another view."
        ),
    ),
    Rule(
        name="whole packs",
        broken=lambda method, sizes: sizes.batch % method.view.group != 0,
        sentence=lambda method, sizes: (
            f"{_name(method.view)}({method.view.group}) cannot split a batch of {sizes.batch};"
            f" choose a multiple of {method.view.group}."
        ),
    ),
    Rule(
        name="whole groups",
        broken=lambda method, sizes: sizes.packs % method.view.block != 0,
        sentence=lambda method, sizes: (
            f"{_name(method.view)}({method.view.block}) cannot split a batch of {sizes.packs} into its groups;"
            f" choose a multiple of {method.view.block}."
        ),
    ),
    Rule(
        name="two samples to compare",
        broken=lambda method, sizes: bool(_comparing(method, sizes)),
        sentence=lambda method, sizes: (
            f"{_comparing(method, sizes)} compares what a batch holds, and one of {sizes.batch} holds no two"
            f"{' packs' if method.view.group > 1 else ''}; choose a larger one."
        ),
    ),
    Rule(
        name="batch statistics under per-sample slopes",
        broken=lambda method, sizes: method.view.entangles and any(penalty.per_sample for penalty in method.penalties),
        sentence=lambda method, sizes: (
            f"{_name(method.view)} lets samples see each other, so the slope of one sample that"
            f" {_per_sample(method)} asks for is not defined; drop one of the two."
        ),
    ),
    Rule(
        name="points without a code under encoded pairs",
        broken=lambda method, sizes: method.conditioning.encodes and any(item.off_samples for item in method.penalties),
        sentence=lambda method, sizes: (
            f"{_name(method.conditioning)} judges pairs of a sample and its code, and the points that"
            f" {next(_name(item) for item in method.penalties if item.off_samples)} asks about have none;"
            " use ZeroCentred, which stays on the samples."
        ),
    ),
    Rule(
        name="summaries of an auto-encoding critic",
        broken=lambda method, sizes: method.loss.reads == "reconstruction" and method.view.extra > 0,
        sentence=lambda method, sizes: (
            f"{_name(method.loss)} scores by reconstruction, which leaves no place for what {_name(method.view)} adds"
            " to the features; choose the view Plain or Packed."
        ),
    ),
    Rule(
        name="a score to add to",
        broken=lambda method, sizes: method.loss.reads != "score" and method.conditioning.scores,
        sentence=lambda method, sizes: (
            f"{_name(method.loss)} makes its score from the {method.loss.reads.replace('_', ' ')}, so"
            f" {_name(method.conditioning)} has none to add to; condition by Concat."
        ),
    ),
    Rule(
        name="codes for terms on codes",
        broken=lambda method, sizes: (
            method.loss.reads != "reconstruction" and any(term.reads_code for term in method.generator_terms)
        ),
        sentence=lambda method, sizes: (
            f"{next(_name(term) for term in method.generator_terms if term.reads_code)} reads the code of an"
            f" auto-encoding critic, which {_name(method.loss)} does not have; use EnergyMargin or BoundaryEquilibrium."
        ),
    ),
    Rule(
        name="several generators to tell apart",
        broken=lambda method, sizes: sizes.generators < 2 and bool(_reader(method, sizes, "generator_logits")),
        sentence=lambda method, sizes: (
            f"{_reader(method, sizes, 'generator_logits')} tells generators apart, and"
            f" {_name(method.population)} has one in a game; use population=Mixture(4)."
        ),
    ),
    Rule(
        name="labels to classify",
        broken=lambda method, sizes: not method.labelled and bool(_reader(method, sizes, "class_logits")),
        sentence=lambda method, sizes: (
            f"{_reader(method, sizes, 'class_logits')} classifies by label, and {_name(method.conditioning)} brings"
            " none; use conditioning=AuxiliaryClassifier()."
        ),
    ),
    Rule(
        name="heads that name one sample of a pack",
        broken=lambda method, sizes: (
            sizes.group > 1 and bool(_reader(method, sizes, "class_logits", "generator_logits"))
        ),
        sentence=lambda method, sizes: (
            f"{_reader(method, sizes, 'class_logits', 'generator_logits')} names one sample, and"
            f" {_name(method.view)} shows the critic {sizes.group} at once; drop one of the two."
        ),
    ),
    Rule(
        name="a label to find that is not told",
        broken=lambda method, sizes: (
            method.labelled
            and not method.conditioning.encodes
            and method.conditioning.critic_extra(sizes) > 0
            and bool(_reader(method, sizes, "class_logits"))
        ),
        sentence=lambda method, sizes: (
            f"{_reader(method, sizes, 'class_logits')} asks the critic for the label, and {_name(method.conditioning)}"
            " tells it the label, which it would copy; use conditioning=AuxiliaryClassifier() or Projection()."
        ),
    ),
    Rule(
        name="state of a foreseen critic",
        broken=lambda method, sizes: method.dynamics.unroll > 0 and bool(method.loss.init_state()),
        sentence=lambda method, sizes: (
            f"{_name(method.loss)} follows the game with numbers of its own, and dynamics.unroll ="
            f" {method.dynamics.unroll} would show it a critic that is only foreseen; choose unroll 0 or another loss."
        ),
    ),
    Rule(
        name="vectors of a foreseen critic",
        broken=lambda method, sizes: method.dynamics.unroll > 0 and _has(method, SpectralNorm),
        sentence=lambda method, sizes: (
            "SpectralNorm's power iteration stands still in foreseen critic steps and carries no gradient, so"
            f" dynamics.unroll = {method.dynamics.unroll} would foresee another critic; drop one of the two."
        ),
    ),
    Rule(
        name="a start from data that a clip undoes",
        broken=lambda method, sizes: _has(method, WeightClip) and _has(method, MinibatchDiscrimination),
        sentence=lambda method, sizes: (
            "WeightClip clips the scales that MinibatchDiscrimination sets from a first batch, so that all samples look"
            " alike to it; drop one of the two."
        ),
    ),
    Rule(
        name="a head and what trains it",
        broken=lambda method, sizes: any(
            _has(method, reader) and not _has(method, trainer)
            for reader, trainer in ((ClassLogits, LabelClassifier), (Identity, GeneratorClassifier))
        ),
        sentence=lambda method, sizes: (
            "ClassLogits needs the penalty LabelClassifier and Identity needs GeneratorClassifier: nothing else trains"
            " the head that they read, so add it, as in ac-gan and mgan-4."
        ),
    ),
    Rule(
        name="a classifier for the labels",
        broken=lambda method, sizes: (
            _has(method, AuxiliaryClassifier) and not (_has(method, LabelClassifier) and _has(method, ClassLogits))
        ),
        sentence=lambda method, sizes: (
            "AuxiliaryClassifier tells labels to the generator only, so nothing would hold it to them; add the penalty"
            " LabelClassifier and the generator term ClassLogits, as in ac-gan."
        ),
    ),
    Rule(
        name="an encoder and what trains it",
        broken=lambda method, sizes: (
            any(term.trains_encoder for term in method.generator_terms) != method.conditioning.encodes
        ),
        sentence=lambda method, sizes: (
            "A conditioning such as JointPairs brings an encoder and a generator term such as Reconstruction trains it:"
            " use both, as in veegan, or neither."
        ),
    ),
)


def check(method: Method, sizes: Sizes) -> None:
    """Refuses a method that cannot be played at these sizes.

    Args:
        method: Any method.
        sizes: Of the task and the batch.

    Raises:
        UserError: With the sentence of the first broken rule.
    """
    for rule in RULES:
        if rule.broken(method, sizes):
            raise UserError(rule.sentence(method, sizes))


def check_precision(method: Method, dtype: str) -> None:
    """Refuses a method whose loss needs more digits than a floating type has.

    Layers in bfloat16 change a player's gradient by less than a third of what another batch changes, penalties and
    their second derivatives included; where the score is made of what a reconstruction lacks, by up to .7 of it once
    the reconstruction is good (`tests/laws/test_bfloat16.py`).

    Args:
        method: Any method.
        dtype: Of the networks' layers.

    Raises:
        UserError: What to choose instead.
    """
    if dtype == "bfloat16" and method.loss.reads == "reconstruction":
        raise UserError(
            f"{_name(method.loss)} scores by the small difference between a sample and its reconstruction, of which"
            " bfloat16 keeps too few digits; choose dtype float32."
        )
