"""Whether networks of the user's own fit a method and a task: tried on a small drawn batch before training starts.

`own` asks; each refusal is one sentence that says what was found, what is allowed and what to do next.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from uncollapse.calling import Encoder
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.networks.adapters import Fit, as_judgement, told
from uncollapse.networks.passes import tried
from uncollapse.nn import MinibatchStddev
from uncollapse.parts.generator_terms import BuresMetric, DeterminantalPointProcess
from uncollapse.parts.scene import Judgement, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method

LEAST = 4
# Relative change of one sample's score beyond rounding.
ALIKE = 1e-5
# Terms that compare the features of real and fake samples.
COMPARE_FEATURES = (DeterminantalPointProcess, BuresMetric)


def small_batch(method: Method, sizes: Sizes) -> int:
    """Items of a trial: a few, in whole groups, and at most as many as in a batch."""
    block = method.view.block
    return min(sizes.packs, block * -(-LEAST // block))


def generator_inputs(method: Method, sizes: Sizes, number: int = 0) -> tuple[Tensor, ...]:
    """Latents (batch, latent), and int64 labels (batch,) where the method has them."""
    draw = stream(number, "trial latents")
    latent = draw.latent(sizes.latent_law, sizes.batch, sizes.latent)
    return (latent, draw.integers(sizes.classes, sizes.batch)) if method.labelled else (latent,)


def critic_inputs(method: Method, sizes: Sizes, number: int = 0) -> tuple[Tensor, ...]:
    """Packs of numbers in [-1, 1), and what the conditioning tells the critic of them."""
    packs = method.view.pack(2 * stream(number, "trial samples").uniform(sizes.batch, *sizes.shape) - 1)
    latent, *labels = generator_inputs(method, sizes)
    rows = one_hot(labels[0], sizes.classes).float() if labels else None
    context = method.conditioning.context(rows, lambda: latent)
    if context is None:
        return (packs,)
    return (packs, told(method.view.pack(context), method.conditioning, sizes))


def check_layers(network: nn.Module, said: str) -> None:
    """Refuses layers whose behaviour a run cannot keep: draws, tensors that are no state, compiled code.

    Args:
        network: In training mode.
        said: How sentences call it.
    """
    if hasattr(network, "_orig_mod"):
        raise UserError(f"{said} is compiled, which loses gradients of gradients; give the network without compile().")
    for name, module in network.named_modules():
        if isinstance(module, _DropoutNd) and module.p > 0:
            raise UserError(
                f"{said} draws inside ({type(module).__name__} with p = {module.p} at {name!r}), so a run could neither"
                " be resumed nor repeated; set p = 0 or leave the layer out."
            )
        loose = [key for key, value in vars(module).items() if isinstance(value, Tensor)]
        if loose and not module._forward_pre_hooks:  # a hook, as of weight norm, sets its tensor anew in each pass
            at = f"{name}.{loose[0]}" if name else loose[0]
            raise UserError(
                f"{said} holds the tensor {at!r}, which is neither parameter nor buffer and would be lost from a"
                f" checkpoint; use self.register_buffer({loose[0]!r}, ...) or nn.Parameter."
            )
    if not any(value.numel() for value in network.parameters()):
        raise UserError(f"{said} has no parameter to train; give one whose parameters have requires_grad = True.")


def fit_generator(network: nn.Module, method: Method, sizes: Sizes, said: str) -> None:
    """Refuses a generator that does not make samples of the task.

    Raises:
        UserError: With the sentence of the first fault.
    """
    check_layers(network, said)
    inputs = generator_inputs(method, sizes)
    _accepts(network, inputs, method, said, ("latent", "labels"))
    samples = tried(network, inputs, said)
    count, wanted = sizes.batch, ", ".join(map(str, sizes.shape))
    if not isinstance(samples, Tensor) or not _reshapes(samples, (count, *sizes.shape)):
        raise UserError(
            f"{said} makes {_found(samples)} of latents {[count, sizes.latent]}, and the task has samples of shape"
            f" {list(sizes.shape)}; return ({count}, {wanted}) or rows of {sizes.data} numbers."
        )
    if method.conditioning.encodes:
        _check_encoder(network, samples.reshape(count, *sizes.shape), method, sizes, said)


def fit_critic(network: nn.Module, method: Method, sizes: Sizes, said: str) -> Fit:
    """What is known of a critic, or a refusal of one that does not judge as the method asks.

    Raises:
        UserError: With the sentence of the first fault.
    """
    check_layers(network, said)
    inputs = critic_inputs(method, sizes)
    _accepts(network, inputs, method, said, ("samples", "code" if method.conditioning.encodes else "labels"))
    output = tried(network, inputs, said)
    if not _scores(output, sizes.packs):
        raise UserError(
            f"{said} returns {_found(output)} for {sizes.packs} items, not a score of each; return ({sizes.packs},) or"
            f" ({sizes.packs}, 1), higher for more real, or a Judgement with such a score."
        )
    _check_raw(network, inputs, method, said)
    width = _width(output, sizes.packs, said)
    gives = _given(output)
    _check_reconstruction(output, method, said)
    _check_heads(gives, width, method, sizes, said)
    mixes = _check_mixing(network, method, sizes, said)
    return Fit(packs=sizes.packs, width=width, gives=frozenset(gives), mixes=mixes)


def _accepts(network: nn.Module, inputs: tuple[Tensor, ...], method: Method, said: str, names: tuple[str, str]) -> None:
    """Refuses a forward that cannot be called with these inputs, a method without labels included."""
    try:
        signature = inspect.signature(network.forward)
    except ValueError:  # written in C, which says nothing of itself
        return
    try:
        signature.bind(*inputs)
    except TypeError as error:
        asked = ", ".join(names[: len(inputs)])
        unlabelled = "a method without labels such as wgan-gp" if method.labelled else "another method"
        other = unlabelled if len(inputs) > 1 else "a conditional method such as cgan"
        raise UserError(
            f"{method.name} calls forward({asked}), and that of {within(said)} is"
            f" forward({', '.join(signature.parameters)}); change it, or choose {other}."
        ) from error


def _reshapes(samples: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether samples are of a shape but for axes of length 1, or flat rows; other orders of axes are not."""
    if not samples.is_floating_point() or not samples.ndim or len(samples) != shape[0]:
        return False
    flat = samples.ndim == 2 and samples.numel() == torch.Size(shape).numel()
    return flat or [side for side in samples.shape[1:] if side != 1] == [side for side in shape[1:] if side != 1]


def _check_encoder(network: nn.Module, samples: Tensor, method: Method, sizes: Sizes, said: str) -> None:
    """Refuses a generator without the way back that methods such as VEEGAN train."""
    encode = getattr(network, "encode", None)
    needed = f"{type(method.conditioning).__name__} needs encode(samples) -> ({sizes.batch}, {sizes.latent})"
    if not callable(encode):
        raise UserError(f"{needed}, which {within(said)} does not have; add it, or choose another method.")
    code = tried(Encoder(network), (samples,), f"The encode of {within(said)}")
    if not isinstance(code, Tensor) or code.shape != (sizes.batch, sizes.latent):
        raise UserError(f"{needed}, and that of {within(said)} gives {_found(code)}; change its last layer.")


def _scores(output: object, packs: int) -> bool:
    score = output.score if isinstance(output, Judgement) else output
    if not isinstance(score, Tensor) or not score.is_floating_point() or not score.ndim:
        return False
    return len(score) == packs == score.numel()


def _check_raw(network: nn.Module, inputs: tuple[Tensor, ...], method: Method, said: str) -> None:
    """Refuses a last sigmoid, as old tutorials have it: our losses take scores, and it would flatten them once more."""
    ours = type(method.loss).__module__.partition(".")[0] == "uncollapse" and method.loss.reads == "score"
    sigmoids = [module for module in network.modules() if isinstance(module, nn.Sigmoid)]
    if not (ours and sigmoids):
        return
    made: list[Tensor] = []
    hooks = [module.register_forward_hook(lambda *call: made.append(call[-1])) for module in sigmoids]
    try:
        output = tried(network, inputs, said)
    finally:
        for hook in hooks:
            hook.remove()
    score = (output.score if isinstance(output, Judgement) else output).flatten()  # type: ignore[attr-defined]
    if any(torch.equal(value.flatten(), score) for value in made):
        raise UserError(
            f"{said} ends in a Sigmoid, and {type(method.loss).__name__} takes scores of any size, not probabilities;"
            " leave the Sigmoid out."
        )


def _given(output: object) -> dict[str, Tensor]:
    """The fields of a judgement that are there, beside score and features."""
    fields = vars(output) if isinstance(output, Judgement) else {}
    return {name: value for name, value in fields.items() if value is not None and name not in ("score", "features")}


def _width(output: object, packs: int, said: str) -> int:
    """Width of the features; 0 without any."""
    features = output.features if isinstance(output, Judgement) else None
    if features is None:
        return 0
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != packs:
        raise UserError(
            f"{said} returns features {_found(features)}; return ({packs}, width), or None if none are meant."
        )
    return features.shape[1]


def _check_reconstruction(output: object, method: Method, said: str) -> None:
    """Refuses a critic that is no auto-encoder where the loss scores by reconstruction."""
    code = getattr(output, "code", None)
    if method.loss.reads == "reconstruction":
        loss = type(method.loss).__name__
        if code is None:
            raise UserError(
                f"{loss} scores a sample by how badly the critic reconstructs it, so {within(said)} must"
                " return a Judgement with score (minus the error) and code; it returns no code."
            )
        if bool((as_judgement(output).score > 0).any()):  # type: ignore[arg-type]
            raise UserError(
                f"{said} returns scores above 0, and under {loss} a score is minus an error; change its sign."
            )


def _check_heads(gives: Mapping[str, Tensor], width: int, method: Method, sizes: Sizes, said: str) -> None:
    """Refuses a critic without what a part reads: features, or a head that is neither there nor linear in features."""
    reader = reader_of_features(method)
    for part in () if width else method.parts():
        missing = [name for name in part.heads(sizes) if name not in gives and name != "second_score"]
        reader = reader or (type(part).__name__ if missing else "")
    if reader and not width:
        raise UserError(
            f"{reader} reads the critic's features, and {within(said)} returns none; return a"
            f" Judgement(score=..., features=...) with features ({sizes.packs}, width), or choose another method."
        )
    for name, size in method.heads(sizes).items():
        shape = (sizes.packs,) if name == "second_score" else (sizes.packs, size)
        if name in gives and gives[name].numel() != torch.Size(shape).numel():
            raise UserError(f"{said} returns {name} {_found(gives[name])}, and {method.name} reads {list(shape)}.")


def reader_of_features(method: Method) -> str:
    """The name of the first part that reads the features of the critic; empty if none does."""
    view = [method.view] if method.view.extra else []
    conditioning = [method.conditioning] if method.conditioning.scores else []
    terms = [term for term in method.generator_terms if isinstance(term, COMPARE_FEATURES)]
    return next((type(part).__name__ for part in (*view, *conditioning, *terms)), "")


def _check_mixing(network: nn.Module, method: Method, sizes: Sizes, said: str) -> bool:
    """Whether the samples of a pass change each other's scores; refused where slopes of single ones are asked for."""
    norms = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
    penalty = next((type(part).__name__ for part in method.penalties if part.per_sample), "")
    mixes = bool(norms) or _moves(network, method, sizes, 1)
    if not mixes or not penalty:
        return mixes
    # A deviation over small groups is allowed: its slope is that of the summed score.
    group = max((module.size for module in network.modules() if isinstance(module, MinibatchStddev)), default=0)
    wide = replace(sizes, batch=2 * group * sizes.group)
    if norms or not group or _moves(network, method, wide, group):
        what = f"holds batch norm at {norms[0]!r}" if norms else "scores a sample by the others of its batch too"
        raise UserError(
            f"{said} {what}, so the slope of one sample that {penalty} asks for is not defined; use layer, group or"
            " instance norm, or a method without such a penalty."
        )
    return mixes


def _moves(network: nn.Module, method: Method, sizes: Sizes, first: int) -> bool:
    """Whether the score of the first item depends on the items from this one on."""
    (shown, *context), (other, *_) = (critic_inputs(method, sizes, number) for number in (0, 1))
    mixed = torch.cat([shown[:first], other[first:]])
    with torch.no_grad():
        one, two = (as_judgement(copy.deepcopy(network)(packs, *context)).score[0].double() for packs in (shown, mixed))
    return not bool((one - two).abs() <= ALIKE * (1 + one.abs()))


def within(said: str) -> str:
    """What begins a sentence, as it stands within one."""
    return said[0].lower() + said[1:]


def _found(value: object) -> str:
    """A value as sentences call it."""
    if isinstance(value, Judgement):
        return f"a Judgement with score {_found(value.score)}"
    if isinstance(value, Tensor):
        kind = "" if value.is_floating_point() else f" of {str(value.dtype).removeprefix('torch.')}"
        return f"{list(value.shape)}{kind}"
    return f"a {type(value).__name__}"
