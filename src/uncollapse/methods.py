"""THE LIST: every method as its difference from the baseline, with its paper, idea, strengths and weaknesses.

A new method is one row here (and one class in `parts/` if it brings a new idea).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType

from uncollapse.errors import UserError, unknown
from uncollapse.method import Facts, Method
from uncollapse.parts.conditioning import Concat
from uncollapse.parts.constraints import WeightClip
from uncollapse.parts.dynamics import Dynamics
from uncollapse.parts.losses import LeastSquares, Wasserstein
from uncollapse.parts.penalties import GradientPenalty

VANILLA = Method(
    name="vanilla",
    facts=Facts(
        paper="Goodfellow et al. 2014, Generative adversarial nets",
        arxiv="1406.2661",
        idea="A critic learns to tell real from fake; the generator learns to be called real (non-saturating loss).",
        strengths="Cheapest update; sharp samples; with a large batch and a low rate it covers easy mixtures.",
        weaknesses="Modes vanish when the critic runs ahead; the losses do not tell.",
        complexity="low",
        sensitive="dynamics.lr_critic",
        differs=("Adam 2e-4 with betas (.5, .999), the choice of DCGAN (arXiv:1511.06434), in place of momentum.",),
    ),
)

_WGAN_GP = Facts(
    paper="Gulrajani et al. 2017, Improved training of Wasserstein GANs",
    arxiv="1704.00028",
    idea="The critic estimates the Wasserstein distance; a penalty holds its slope at 1 between real and fake samples.",
    strengths="Useful gradients without overlap; a critic loss that means something; rarely drops modes for good.",
    weaknesses="Five critic updates and a double backward pass; slow to sharpen; the weight must fit the data's scale.",
    complexity="medium",
    sensitive="penalties.0.weight",
)

_ROWS = (
    VANILLA,
    VANILLA.but(
        name="cgan",
        conditioning=Concat(),
        facts=Facts(
            paper="Mirza and Osindero 2014, Conditional generative adversarial nets",
            arxiv="1411.1784",
            idea="Both players are told the label, so every class is asked for.",
            strengths="Cannot lose a class; control over what is made.",
            weaknesses="Needs labels; collapse inside a class stays possible and is easily overlooked.",
            complexity="low",
            sensitive="dynamics.lr_critic",
            differs=("The label enters through an embedding as wide as the number of classes.",),
        ),
    ),
    VANILLA.but(
        name="wgan",
        loss=Wasserstein(),
        constraint=WeightClip(),
        dynamics=Dynamics(critic_steps=5, lr_critic=5e-5, lr_generator=5e-5, betas=(0.0, 0.99)),
        facts=Facts(
            paper="Arjovsky, Chintala and Bottou 2017, Wasserstein GAN",
            arxiv="1701.07875",
            idea="The critic estimates the Wasserstein distance; clipping its weights keeps it Lipschitz.",
            strengths="No second derivatives; a critic loss that means something.",
            weaknesses="Clipping makes the critic too simple; slow; the limit decides everything.",
            complexity="low",
            sensitive="constraint.limit",
            differs=("Adam with betas (0, .99) in place of RMSProp, which is the same rule with a corrected start.",),
        ),
    ),
    VANILLA.but(
        name="wgan-gp",
        loss=Wasserstein(),
        penalties=(GradientPenalty(weight=10.0),),
        dynamics=Dynamics(critic_steps=5, lr_critic=1e-4, lr_generator=1e-4, betas=(0.0, 0.9)),
        facts=_WGAN_GP,
    ),
    VANILLA.but(
        name="cwgan-gp",
        loss=Wasserstein(),
        penalties=(GradientPenalty(weight=10.0),),
        conditioning=Concat(),
        dynamics=Dynamics(critic_steps=5, lr_critic=1e-4, lr_generator=1e-4, betas=(0.0, 0.9)),
        facts=Facts(
            paper=f"{_WGAN_GP.paper}; Mirza and Osindero 2014",
            arxiv="1704.00028",
            idea="WGAN-GP told the label: the penalty's pairs share a label, and fakes are scored with their own.",
            strengths="Every class by construction, with WGAN-GP's gradients.",
            weaknesses="Needs labels; as slow as WGAN-GP; collapse inside a class stays possible.",
            complexity="medium",
            sensitive="penalties.0.weight",
            differs=("The label enters through an embedding as wide as the number of classes.",),
        ),
    ),
    VANILLA.but(
        name="lsgan",
        loss=LeastSquares(),
        facts=Facts(
            paper="Mao et al. 2017, Least squares generative adversarial networks",
            arxiv="1611.04076",
            idea="Squared distances to target scores, so that fakes far on the right side of the border still move.",
            strengths="As cheap as vanilla; gradients do not vanish for confident critics.",
            weaknesses="Scores may grow without bound; drops modes as vanilla does.",
            complexity="low",
            sensitive="dynamics.lr_critic",
            differs=("Adam 2e-4 for all data sets; the paper uses 1e-3 for some.",),
        ),
    ),
)

_METHODS: dict[str, Method] = {row.name: row for row in _ROWS}
METHODS: Mapping[str, Method] = MappingProxyType(_METHODS)


def register(method: Method) -> None:
    """Adds a user's own method to the list, for plans and the command line.

    Args:
        method: Its name must not be one of the built-in rows.
    """
    if any(row.name == method.name for row in _ROWS) and method != _METHODS[method.name]:
        raise UserError(f"A method named {method.name!r} is built in; give yours another name.")
    _METHODS[method.name] = method


def find_method(method: str | Method) -> Method:
    """The method itself, or the row of that name."""
    if isinstance(method, Method):
        return method
    if method not in _METHODS:
        raise unknown("method", method, _METHODS, see="`uncollapse methods` lists them")
    return _METHODS[method]


def card(method: Method) -> dict[str, object]:
    """What is known of a method as JSON: its facts, its axes and its settings."""
    facts = {item.name: getattr(method.facts, item.name) for item in fields(Facts)}
    settings = {path: list(value) if isinstance(value, tuple) else value for path, value in method.settings().items()}
    return {
        "name": method.name,
        **facts,
        "differs": list(method.facts.differs),
        "row": method.describe(),
        "settings": settings,
    }
