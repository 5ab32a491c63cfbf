"""Path length: how evenly a generator moves when its latent moves; needs the generator itself, not only samples."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import FLOATS, Rows, as_features, check_count, check_level, seeded
from uncollapse.metrics.metric import find_metric

Sampler = Callable[[int, torch.Generator], Tensor]
Distance = Callable[[Tensor, Tensor], Tensor]
Path = Literal["slerp", "lerp"]
Position = Literal["start", "full"]
Pairs = tuple[Tensor, Tensor, Tensor]
Lengths = NDArray[np.float64]
Ends = tuple[float, float]
SAMPLES = 10_000
# Pairs are drawn in blocks of this size whatever the batch, so that the number does not depend on the batch.
BLOCK = 1_024
# The number at ten times the step must be at least this share of the number at the step.
STEADY = 0.5
TINY = 1e-30


def path_length(
    *,
    generator: Callable[[Tensor], Tensor],
    latent: int | Sampler | Rows,
    distance: Distance | None = None,
    path: Path = "slerp",
    position: Position = "full",
    samples: int | None = None,
    batch: int = 64,
    step: float = 1e-4,
    trim: tuple[float, float] | None = (1.0, 99.0),
    dtype: torch.dtype = torch.float32,
    level: float | None = 0.95,
    draws: torch.Generator | None = None,
) -> Estimate:
    """Mean squared speed of the output along paths between random latents (perceptual path length with `Lpips`).

    length = distance(G(z(t)), G(z(t + step))) / step^2, z(t) the path from one random latent to another. The value is
    the mean of the lengths within the percentiles `trim`, as published; the mean of all is in the details.

    The interval is Student's t (all lengths) or Yuen's for a trimmed mean. A generator that rounds its output, draws
    noise or lets samples of a batch depend on each other cannot be measured by so small a step and is refused.

    Args:
        generator: Latents (b, z) to outputs (b, ...) of floats, not rounded; conditions and noise fixed by the caller,
            modules in evaluation mode.
        latent: Width z of standard normal latents; or a function of their number and a torch.Generator, as
            ``lambda n, draws: torch.randn(n, 64, generator=draws)``; or rows (m, z) that are paired at random without
            replacement.
        distance: (x, y) -> (b,), squared or otherwise quadratic near zero; default the squared Euclidean distance of
            the flattened outputs. `Lpips` gives the published number.
        path: "slerp" on a great circle at the first latent's length, or "lerp" straight.
        position: "full", t uniform in [0, 1), or "start", t = 0.
        samples: Number of paths; default 10,000, or all pairs of the given rows. The papers use 100,000 or 50,000.
        batch: Latents that the generator gets at once; does not change the number beyond rounding.
        step: The step eps in t.
        trim: Lowest and highest percentile kept, or None to keep all.
        dtype: Floats of the latents that the generator gets; float64 when `rounding_share` in the details is not small.
        level: Nominal coverage; None = no interval.
        draws: Seeded stream of the latents and of t, on the CPU.

    Returns:
        The estimate, at least 0, in units of the distance. Details: `untrimmed` mean and its ends, the settings, and
        `rounding_share`, the part of the number that is rounding: its fall at ten times the step, on one batch.

    Raises:
        UserError: A setting that is not allowed; an output that is not finite floats; an output or distance for which
            the number depends on the step.

    Reference: Karras, Laine and Aila 2019, arXiv:1812.04948. Yuen 1974, Biometrika 61 (interval).
    """
    check_level(level)
    _check_settings(path, position, batch, step, trim, dtype)
    stream = seeded(draws, "draws")
    walk = _Walk(generator, distance or squared_euclidean, slerp if path == "slerp" else lerp, step, dtype)
    lengths: list[Tensor] = []
    rounding = 0.0
    for first, second, t in _pairs(latent, samples, position, stream):
        if path == "slerp" and first.shape[1] < 2:
            raise UserError("path 'slerp' needs latents of at least 2 numbers; use path='lerp' for 1.")
        for start in range(0, len(t), batch):
            part = first[start : start + batch], second[start : start + batch], t[start : start + batch]
            rounding = rounding if lengths else walk.probe(part)
            lengths.append(walk.lengths(part, step))
    found = torch.cat(lengths).cpu().numpy()
    settings = {
        "path": path, "position": position, "step": step, "trim": trim, "distance": _name(distance),
        "latents": str(dtype).removeprefix("torch."), "rounding_share": rounding,
    }  # fmt: skip
    return _estimate(found, trim, level, settings)


def slerp(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """The point at t on the great circle from each first latent towards the second, at the first's length.

    The published code works on the unit sphere and relies on a generator that normalises its latents; for such a
    generator both give the same number, and others get latents of the length they were trained on.

    Args:
        first: (b, z) float64.
        second: (b, z).
        t: (b,); 0 is the first latent, 1 the direction of the second.
    """
    length = first.norm(dim=1, keepdim=True)
    start, end = first / length.clamp(min=TINY), second / second.norm(dim=1, keepdim=True).clamp(min=TINY)
    cosine = (start * end).sum(1, keepdim=True).clamp(-1, 1)
    across = end - cosine * start
    across = across / across.norm(dim=1, keepdim=True).clamp(min=TINY)
    angle = t[:, None] * cosine.acos()
    turned: Tensor = length * (start * angle.cos() + across * angle.sin())
    return turned


def lerp(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """The point at t on the straight line from each first latent to the second; shapes as `slerp`."""
    return first + t[:, None] * (second - first)


def squared_euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances of flattened outputs, float64 (b,)."""
    apart: Tensor = (x - y).flatten(1).double().square().sum(1)
    return apart


def _name(distance: Distance | None) -> str:
    if distance is None:
        return "squared Euclidean"
    return str(getattr(distance, "identity", None) or getattr(distance, "__name__", None) or type(distance).__name__)


class _Walk:
    """Runs the generator along paths, and refuses what so small a step cannot measure."""

    def __init__(
        self,
        generator: Callable[[Tensor], Tensor],
        distance: Distance,
        path: Callable[[Tensor, Tensor, Tensor], Tensor],
        step: float,
        dtype: torch.dtype,
    ) -> None:
        self.generator, self.distance, self.path, self.step, self.dtype = generator, distance, path, step, dtype

    def lengths(self, pairs: Pairs, step: float) -> Tensor:
        """Path lengths of one batch of pairs, float64 (b,)."""
        first, second, t = pairs
        ends = [self.outputs(self.path(first, second, at)) for at in (t, t + step)]
        with torch.no_grad():
            apart = self.distance(*ends)
        if apart.shape != t.shape or not bool(torch.isfinite(apart).all()):
            raise UserError(
                f"distance must return one finite number a pair, of shape {tuple(t.shape)}, but returned shape "
                f"{tuple(apart.shape)}{'' if apart.shape != t.shape else ' with numbers that are not finite'}."
            )
        return apart.double() / step**2

    def outputs(self, latents: Tensor) -> Tensor:
        """What the generator makes of latents, checked, (b, ...)."""
        with torch.no_grad():
            made = torch.as_tensor(self.generator(latents.to(self.dtype)))
        if not made.is_floating_point():
            raise UserError(
                f"generator returns {str(made.dtype).removeprefix('torch.')} but path length needs floats that were "
                "not rounded: a step of 1e-4 is far below one grey level; return the output before it is rounded."
            )
        if len(made) != len(latents):
            raise UserError(
                f"generator returned {len(made)} outputs for {len(latents)} latents; it must return one each."
            )
        failed = int((~torch.isfinite(made.flatten(1)).all(1)).sum())
        if failed:
            raise UserError(
                f"generator returned {failed} outputs of {len(made)} that are not finite; there is no path."
            )
        return made

    def probe(self, pairs: Pairs) -> float:
        """Share of the number that is rounding, from a step ten times as long on the same pairs.

        Raises:
            UserError: Outputs depend on noise or on the batch, or the number depends on the step.
        """
        first, second, t = pairs
        latents = self.path(first, second, t)
        whole, half = self.outputs(latents), self.outputs(latents[: max(1, len(latents) // 2)])
        moved = float((whole[: len(half)] - half).abs().max())
        if moved > 1e-3 * max(float(whole.std(correction=0)), TINY) and moved > 1e-6 * float(whole.abs().max()):
            raise UserError(
                f"generator gave other outputs for the same latents (by up to {moved:.2g}); fix its noise and put its "
                "modules into evaluation mode, because path length divides by the square of a small step."
            )
        at_step, at_ten = (float(self.lengths(pairs, self.step * factor).mean()) for factor in (1, 10))
        if at_ten < STEADY * at_step:
            raise UserError(
                f"distance / step^2 falls from {at_step:.3g} at step {self.step:g} to {at_ten:.3g} at step "
                f"{10 * self.step:g} but should not depend on it: return outputs that were not rounded, or set "
                "dtype=torch.float64 and a float64 generator, or use a distance that is squared."
            )
        return max(0.0, 1 - at_ten / at_step) * 100 / 99 if at_step > 0 else 0.0


def _pairs(
    latent: int | Sampler | Rows, samples: int | None, position: Position, stream: torch.Generator
) -> Iterator[Pairs]:
    """Blocks of first latents, second latents and t, float64."""
    sampler, most = _sampler(latent, stream)
    wanted = samples if samples is not None else most or SAMPLES
    check_count(wanted, "samples", least=2)
    if most is not None and wanted > most:
        raise UserError(f"samples must be 2 to {most} (half the latent rows given), not {wanted}.")
    for start in range(0, wanted, BLOCK):
        n = min(BLOCK, wanted - start)
        z = sampler(2 * n, stream)
        if not isinstance(z, Tensor) or z.ndim != 2 or len(z) != 2 * n:
            shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise UserError(f"latent must return a tensor ({2 * n}, z) when asked for {2 * n} latents, not {shape}.")
        t = torch.rand(n, generator=stream, dtype=torch.float64) if position == "full" else torch.zeros(n).double()
        yield z[:n].double(), z[n:].double(), t.to(z.device)


def _sampler(latent: int | Sampler | Rows, stream: torch.Generator) -> tuple[Sampler, int | None]:
    """What draws latents, and how many pairs there are at most."""
    if latent is None or isinstance(latent, int | float | str):
        if isinstance(latent, bool) or not isinstance(latent, int) or latent < 1:
            raise UserError(f"latent must be a width of at least 1, a sampler or rows, not {latent!r}.")
        return lambda n, draws: torch.randn(n, latent, generator=draws), None
    if callable(latent):
        _check_draws(latent, stream)
        return latent, None
    given = as_features(latent, name="latent", least=4)
    shuffled = given.ordered[torch.randperm(len(given), generator=stream).to(given.x.device)]
    left = iter(shuffled[start : start + 2 * BLOCK] for start in range(0, len(shuffled), 2 * BLOCK))
    return lambda n, _: next(left)[:n], len(shuffled) // 2


def _check_draws(latent: Sampler, stream: torch.Generator) -> None:
    """Refuses a function that cannot be called with a number and a generator."""
    try:
        inspect.signature(latent).bind(2, stream)
    except TypeError as error:
        raise UserError(
            "latent must be a function of n and a torch.Generator, as lambda n, draws: torch.randn(n, 64, "
            f"generator=draws), but this one cannot be called with two ({error})."
        ) from error
    except ValueError:  # written in C, it does not tell
        return


def _check_settings(
    path: str, position: str, batch: int, step: float, trim: tuple[float, float] | None, dtype: torch.dtype
) -> None:
    if path not in ("slerp", "lerp"):
        raise UserError(f"path must be 'slerp' or 'lerp', not {path!r}.")
    if position not in ("start", "full"):
        raise UserError(f"position must be 'start' or 'full', not {position!r}.")
    check_count(batch, "batch")
    if not 0 < step < 0.1:
        raise UserError(f"step must be above 0 and below 0.1, for example 1e-4, not {step!r}.")
    if trim is not None and not 0 <= trim[0] < trim[1] <= 100:
        raise UserError(f"trim must be two percentiles as (1, 99), or None, not {trim!r}.")
    if dtype not in FLOATS:
        raise UserError(f"dtype must be torch.float32 or torch.float64, not {dtype}.")


def _estimate(
    lengths: Lengths, trim: tuple[float, float] | None, level: float | None, settings: dict[str, Any]
) -> Estimate:
    whole, all_ends = trimmed(lengths, (0.0, 100.0), level)
    value, ends = trimmed(lengths, trim or (0.0, 100.0), level)
    flat = level is not None and ends is None
    words: dict[str, Any] = {}
    if trim is None:
        words["estimand"] = "the expected path length over pairs of latents"
    if trim is None and level is not None:
        words["interval"] = "Student's t over the paths"
    return find_metric("path_length").estimate(
        value,
        ends or (None, None),
        level=level,
        n_fake=len(lengths),
        reason="the paths that count all have the same length, so nothing tells the spread" if flat else None,
        details=settings | {"untrimmed": whole, "untrimmed_ends": all_ends},
        **words,
    )


def trimmed(lengths: Lengths, trim: tuple[float, float], level: float | None) -> tuple[float, Ends | None]:
    """Mean of the lengths between two percentiles, with Yuen's interval for a trimmed mean.

    The percentiles are observed lengths, the lower one rounded down and the higher one up, as published. The standard
    error is that of the winsorised lengths: sqrt(sum (w - mean w)^2 / (h (h - 1))), h lengths kept; with nothing
    trimmed it is Student's t.

    Args:
        lengths: (n,).
        trim: Percentiles.
        level: Nominal coverage, or None.

    Returns:
        The mean, and the ends of its interval; None without a level or when the lengths show no spread.
    """
    low = np.percentile(lengths, trim[0], method="lower")
    high = np.percentile(lengths, trim[1], method="higher")
    kept = lengths[(lengths >= low) & (lengths <= high)]
    mean, h = float(kept.mean()), len(kept)
    winsorised = np.clip(lengths, low, high)
    scatter = float(((winsorised - winsorised.mean()) ** 2).sum())
    if level is None or low == high or scatter == 0:
        return mean, None
    half = float(stdtrit(h - 1, 0.5 + level / 2)) * math.sqrt(scatter / (h * (h - 1)))
    return mean, (mean - half, mean + half)
