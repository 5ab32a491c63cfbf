"""A saved run to sample from: its generators without its data, rebuilt from a config that may come from a stranger.

`hub` reads and checks the files; here their content becomes networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from uncollapse.draws import Draw
from uncollapse.errors import UserError
from uncollapse.game import Game, Player, State
from uncollapse.generation import Sampler, checked_labels
from uncollapse.lanes import Lanes, drawn_networks, lane_seeds, shared_out, sizes_of
from uncollapse.method import Method
from uncollapse.networks import networks_from_json
from uncollapse.networks.own import Own, read
from uncollapse.networks.sources import Pair
from uncollapse.optimiser import Moments
from uncollapse.spec import RunSpec
from uncollapse.tasks.task import Batch, Modes, Source, Task
from uncollapse.tasks.units import Units
from uncollapse.text import clean

GENERATOR = "state.generator."
# What of a checkpoint is kept: the live and the averaged generators, weights and buffers.
KEPT = (f"{GENERATOR}parameters", f"{GENERATOR}buffers", "average")
BUFFERS = (f"{GENERATOR}buffers", "average_buffers")
MOST_NUMBERS, MOST_CLASSES, MOST_COUNT, MOST_CRITIC = 2**26, 2**20, 2**16, 2**28
NO_DATA = "A saved run holds no data; ask the task that it was trained on, by its name in config.json."


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataless(Task):
    """What is known of a task whose data are elsewhere: the form of a sample, and the shares of its modes.

    Attributes:
        of: Shape of a sample.
        labels: Number of labels.
        shares: The modes.
        units: Of data that were standardised; None for others, and where an older version saved.
    """

    of: tuple[int, ...]
    labels: int
    shares: Modes
    units: Units | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.of

    @property
    def classes(self) -> int:
        """Number of labels."""
        return self.labels

    @property
    def modes(self) -> Modes:
        """The modes."""
        return self.shares

    def to_original(self, x: Tensor) -> Tensor:
        """Samples in the units of the data."""
        return x if self.units is None else self.units.restore(x)

    def sample(self, n: int, draw: Draw) -> Batch:
        """There are no data.

        Raises:
            UserError: Always.
        """
        raise UserError(NO_DATA)

    held_out = sample

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing judges here.

        Raises:
            UserError: Always.
        """
        raise UserError(NO_DATA)

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        """There are no data.

        Raises:
            UserError: Always.
        """
        raise UserError(NO_DATA)


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedRun:
    """A run that was saved to share.

    Attributes:
        config: The content of its `config.json`.
        spec: What was trained, on a task without data.
    """

    config: Mapping[str, Any]
    spec: RunSpec
    _lanes: Lanes
    _sampler: Sampler

    @property
    def seeds(self) -> tuple[int, ...]:
        """One generator each."""
        return self.spec.seeds

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One entry a seed: its measures for averaged and live weights, as they were when it was saved."""
        found: list[dict[str, Any]] = self.config["result"]["lanes"]
        return found

    def samples(
        self, n: int, *, seed: int, weights: str = "averaged", labels: ArrayLike | None = None, draw: int = 0
    ) -> Tensor:
        """Samples of the generator that was trained with a seed; the same as those of the run itself.

        Args:
            n: How many.
            seed: One of `seeds`.
            weights: ``"averaged"`` or ``"live"``.
            labels: (n,) int64 labels for a conditional method; by default balanced as the task's modes are.
            draw: Another number gives other latents.

        Returns:
            (n, *shape), on the CPU, in the units of the data that it was trained on.

        Raises:
            UserError: There is no such seed or weights, or labels that do not fit.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise UserError(f"n must be a whole number of 1 or more, not {n!r}.")
        if seed not in self.seeds:
            raise UserError(f"This run has no seed {seed}; it has {', '.join(map(str, self.seeds))}.")
        if weights not in ("averaged", "live"):
            raise UserError(f"There are no {weights!r} weights; choose averaged or live.")
        labels = None if labels is None else checked_labels(labels, n, self.spec)
        place, averaged = self.seeds.index(seed), weights == "averaged"
        drawn = self._sampler.of_seed(self._lanes, place, n, averaged=averaged, labels=labels, draw=draw).cpu()
        return self.spec.task.to_original(drawn)


def make_saved(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, device: torch.device, own: Pair | None
) -> SavedRun:
    """A run from its config and its tensors.

    Raises:
        UserError: A part or a task is not known here, or the tensors are not those of these networks.
        KeyError: Something is missing; what else an edited config raises.
    """
    spec = _spec(config, own)
    sizes = sizes_of(spec)
    rounded = spec.dtype == "bfloat16"
    dtype: torch.dtype = torch.float32 if rounded else getattr(torch, spec.dtype)
    seeds = lane_seeds(spec)
    _check_sizes(spec, tensors, len(seeds))
    generator, critic = drawn_networks(spec.method, shared_out(spec, sizes), sizes, seeds[0], dtype)
    game = Game.of(spec.method, generator, critic, bfloat16_on=device.type if rounded else "")
    buffers = {name: value.detach() for name, value in generator.named_buffers()}
    count = sum(value.numel() for value in generator.parameters())
    shapes = {"average": (len(seeds), count), f"{GENERATOR}parameters": (len(seeds), count)}
    for name, value in buffers.items():
        shapes |= {f"{prefix}.{name}": (len(seeds), *value.shape) for prefix in BUFFERS}
    if {name: tuple(value.shape) for name, value in tensors.items()} != shapes:
        raise UserError("The weights are not those of the networks that the config describes.")
    kept = {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype) for name, value in tensors.items()
    }
    sampler = Sampler(spec=spec, game=game, sizes=sizes, device=device, dtype=dtype)
    return SavedRun(config=config, spec=spec, _lanes=_lanes(kept, buffers), _sampler=sampler)


def _lanes(tensors: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> Lanes:
    """Lanes that can be sampled from; what only training needs is empty."""
    live, averaged = ({name: tensors[f"{prefix}.{name}"] for name in buffers} for prefix in BUFFERS)
    nothing = torch.zeros(0)
    none = Player(nothing, Moments(nothing, nothing), {})
    return Lanes(
        state=State(none, Player(tensors[f"{GENERATOR}parameters"], none.moments, live), {}),
        average=tensors["average"], average_buffers=averaged, diverged_at=nothing, critic_loss=nothing,
        generator_loss=nothing, critic_updates=nothing, generator_updates=nothing,
    )  # fmt: skip


def _spec(config: Mapping[str, Any], own: Pair | None) -> RunSpec:
    told, modes = config["spec"], config["result"]["modes"]
    _check_counts([told["method"], told["networks"], len(told["seeds"])])
    weights = torch.tensor([float(weight) for weight in modes["weights"]], dtype=torch.float64)
    names = tuple(clean(name) for name in modes["names"])
    shape = tuple(_whole(side, 1, MOST_NUMBERS) for side in config["shape"])
    if math.prod(shape) > MOST_NUMBERS or not shape or len(names) != len(weights):
        raise UserError(f"This config describes no sample that could be made (shape {shape}).")
    task = Dataless(
        name=clean(told["task"]["name"]), of=shape, labels=_whole(config["classes"], 0, MOST_CLASSES),
        shares=Modes(names=names, weights=weights),
        units=Units.from_json(config["units"], shape) if config.get("units") else None,
    )  # fmt: skip
    networks = told["networks"]
    return RunSpec(
        method=Method.from_spec(told["method"]), task=task, seeds=tuple(told["seeds"]), updates=told["updates"],
        networks=read(networks, own) if networks.get("family") == Own.family else networks_from_json(networks),
        batch=told["batch"], dtype=told["dtype"],
    )  # fmt: skip


def _check_counts(told: object) -> None:
    """Refuses numbers of layers, members and the like that nobody means, before anything of that size is made."""
    if isinstance(told, Mapping | list):
        for item in told.values() if isinstance(told, Mapping) else told:
            _check_counts(item)
    elif isinstance(told, int) and told > MOST_COUNT:
        raise UserError(f"This config asks for {told:,} of something, which is more than {MOST_COUNT:,}.")


def _check_sizes(spec: RunSpec, tensors: Mapping[str, Tensor], lanes: int) -> None:
    """Refuses a config whose generator is larger than its file, before anything so large is made."""
    if isinstance(spec.networks, Own):
        return
    sizes = sizes_of(spec)
    networks = shared_out(spec, sizes)
    with torch.device("meta"):
        made = networks.generator(spec.method, sizes), networks.critic(spec.method, sizes)
    generator, critic = (sum(value.numel() for value in network.parameters()) for network in made)
    if lanes * generator != tensors["average"].numel():
        raise UserError("The weights are not those of the networks that the config describes.")
    if critic > MOST_CRITIC:
        raise UserError(f"This config asks for a critic of {critic:,} weights, more than {MOST_CRITIC:,}.")


def _whole(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"This config holds {clean(value)!r} where a number from {low} to {high:,} belongs.")
    return value
