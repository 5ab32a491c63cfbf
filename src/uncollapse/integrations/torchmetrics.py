"""torchmetrics: the metrics of features as `torchmetrics.Metric`, over batches and processes. Needs [torchmetrics].

Each says what the function of its name in `uncollapse.metrics` says of all rows together, in whatever batches, order
and processes they came; `compute` is the value, `estimate` the value with its interval.
"""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.bins import check_bins
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Rows, as_features, check_level, check_neighbours
from uncollapse.metrics.kernels import check_sigma
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.moments import Moments
from uncollapse.metrics.repeats import check_tolerance
from uncollapse.metrics.sliced import check_projections
from uncollapse.metrics.two_sample import Classifier, check_classifier
from uncollapse.metrics.vendi import check_order

try:
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat
except ImportError as error:
    raise UserError("torchmetrics is not installed; install it with pip install 'uncollapse[torchmetrics]'.") from error

HIGHER = {"lower": False, "higher": True, "near": None}
# What a process without rows says of their width, so that neither the largest nor the smallest is its.
NO_WIDTH = (0, -(2**31))


class _FeatureMetric(Metric):
    """What all have in common.

    Class attributes:
        name: Of the function in `uncollapse.metrics`.
        real_is: Whether real rows are "needed", "optional" or "unused".
    """

    name: ClassVar[str]
    real_is: ClassVar[str] = "needed"
    is_differentiable = False
    full_state_update = False

    def __init__(self, *, level: float = 0.95, **kwargs: Any) -> None:
        """Empty.

        Args:
            level: Nominal coverage of the interval of `estimate`.
            kwargs: What every `torchmetrics.Metric` takes, as `sync_on_compute` or `compute_on_cpu`.
        """
        check_level(level)
        super().__init__(**kwargs)
        self.level = level

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Says for torchmetrics which values are good."""
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "name"):
            cls.higher_is_better = HIGHER[find_metric(cls.name).direction]

    def update(self, features: Rows, real: bool) -> None:
        """Adds rows.

        Args:
            features: (n, d) rows of features.
            real: Whether they are of real data; otherwise they are fakes.

        Raises:
            UserError: Not a matrix of finite numbers, or of another width than before; or `real` is no bool.
        """
        if isinstance(real, Tensor | np.ndarray) and real.dtype in (torch.bool, np.bool_) and real.ndim == 0:
            real = bool(real)
        if not isinstance(real, bool | np.bool_):  # any text would count as true, and fakes as real data
            given = repr(real) if real is None or isinstance(real, str | int) else f"one {type(real).__name__}"
            raise UserError(f"real must be True for rows of real data or False for fakes, not {given}.")
        if real and self.real_is == "unused":
            return
        self._add(as_features(features, name="real" if real else "fake", least=1).x, bool(real))

    def forward(self, features: Rows, real: bool) -> None:
        """As `update`; there is no value of a batch, because it holds one side only."""
        self.update(features, real)

    def compute(self) -> Tensor:
        """The value of all rows of all processes, a scalar; NaN where there is none, and `estimate` says why.

        Raises:
            UserError: Too few rows.
        """
        return torch.tensor(float(self._estimate(None)), device=self.device)

    def estimate(self) -> Estimate:
        """The value with its interval, of all rows of all processes; every process has to call it.

        Raises:
            UserError: Too few rows.
        """
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync
        ):
            return self._estimate(self.level)

    @abstractmethod
    def _add(self, rows: Tensor, real: bool) -> None:
        """Takes rows (n, d) of one side into the states."""

    @abstractmethod
    def _estimate(self, level: float | None) -> Estimate:
        """What the states say, with an interval of this level; None for the value alone."""

    def _missing(self, side: str) -> UserError:
        return UserError(f"{type(self).__name__} has no {side} rows; call update(features, real={side == 'real'}).")


class _OfRows(_FeatureMetric):
    """A metric that keeps the rows. They are flat in its states, so that a process without rows fits the others."""

    real: list[Tensor] | Tensor
    fake: list[Tensor] | Tensor
    widths: Tensor

    def __init__(self, *, level: float = 0.95, **kwargs: Any) -> None:
        super().__init__(level=level, **kwargs)
        self.add_state("real", [], dist_reduce_fx="cat")
        self.add_state("fake", [], dist_reduce_fx="cat")
        self.add_state("widths", torch.tensor(NO_WIDTH), dist_reduce_fx="max")

    def _add(self, rows: Tensor, real: bool) -> None:
        width = rows.shape[1]
        known = int(self.widths[0])
        if known and known != width:
            raise UserError(
                f"These rows have {width} features, earlier ones {known}; use one extractor, or reset first."
            )
        self.widths = torch.tensor((width, -width), device=self.device)
        # One type in all processes, as a gathering needs it; set_dtype(torch.float64) keeps more digits.
        cast("list[Tensor]", self.real if real else self.fake).append(rows.to(self.device, self.dtype).flatten())

    def _rows(self, side: str) -> Tensor | None:
        width, negative = (int(value) for value in self.widths)
        if width and width != -negative:
            raise UserError(f"Processes hold rows of {-negative} and of {width} features; use one extractor in all.")
        found = getattr(self, side)
        flat = found if isinstance(found, Tensor) else dim_zero_cat(found) if found else torch.zeros(0)
        return flat.reshape(-1, width) if flat.numel() else None

    def _estimate(self, level: float | None) -> Estimate:
        real, fake = self._rows("real"), self._rows("fake")
        if fake is None:
            raise self._missing("fake")
        if real is None and self.real_is == "needed":
            raise self._missing("real")
        given = {} if real is None else {"real": real}
        return find_metric(self.name).function(**given, fake=fake, level=level, **self._settings())

    def _settings(self) -> dict[str, Any]:
        return {}


class FrechetDistance(_OfRows):
    """Classic Fréchet distance of kept rows, with its interval."""

    name = "frechet_distance"


class FrechetInfinity(_OfRows):
    """Fréchet distance freed of its bias."""

    name = "frechet_infinity"


class KernelDistance(_OfRows):
    """Kernel distance (KID) over all pairs."""

    name = "kernel_distance"


class MmdRbf(_OfRows):
    """Squared maximum mean discrepancy with a Gaussian kernel on unit rows (CMMD); `sigma` is the kernel's width."""

    name = "mmd_rbf"

    def __init__(self, *, sigma: float = 10.0, level: float = 0.95, **kwargs: Any) -> None:
        check_sigma(sigma)
        super().__init__(level=level, **kwargs)
        self.sigma = sigma

    def _settings(self) -> dict[str, Any]:
        return {"sigma": self.sigma}


class SlicedWasserstein(_OfRows):
    """Sliced squared Wasserstein distance over `projections` directions."""

    name = "sliced_wasserstein"

    def __init__(self, *, projections: int = 1000, level: float = 0.95, **kwargs: Any) -> None:
        check_projections(projections)
        super().__init__(level=level, **kwargs)
        self.projections = projections

    def _settings(self) -> dict[str, Any]:
        return {"projections": self.projections}


class _OfNeighbours(_OfRows):
    """A metric that counts `k` neighbours; None is the usual number of its function."""

    def __init__(self, *, k: int | None = None, level: float = 0.95, **kwargs: Any) -> None:
        if k is not None:
            check_neighbours(k)
        super().__init__(level=level, **kwargs)
        self.k = k

    def _settings(self) -> dict[str, Any]:
        return {} if self.k is None else {"k": self.k}


class Precision(_OfNeighbours):
    """Share of fakes that lie where the real data lie."""

    name = "precision"


class Recall(_OfNeighbours):
    """Share of real rows that lie where the fakes lie."""

    name = "recall"


class Density(_OfNeighbours):
    """How densely the fakes lie among the real rows."""

    name = "density"


class Coverage(_OfNeighbours):
    """Share of real rows that have a fake near them."""

    name = "coverage"


class C2st(_OfRows):
    """Classifier two-sample test; `classifier` is "logistic", "neighbours", "mlp" or one with fit and predict."""

    name = "c2st"

    def __init__(self, *, classifier: str | Classifier = "logistic", level: float = 0.95, **kwargs: Any) -> None:
        check_classifier(classifier)
        super().__init__(level=level, **kwargs)
        self.classifier = classifier

    def _settings(self) -> dict[str, Any]:
        return {"classifier": self.classifier}


class Ndb(_OfRows):
    """Share of statistically different bins, of `bins`."""

    name = "ndb"

    def __init__(self, *, bins: int = 100, level: float = 0.95, **kwargs: Any) -> None:
        check_bins(bins)
        super().__init__(level=level, **kwargs)
        self.bins = bins

    def _settings(self) -> dict[str, Any]:
        return {"bins": self.bins}


class Diversity(_OfRows):
    """Mean distance of two fakes; real rows, where there are some, only add the ratio to theirs to `estimate`."""

    name = "diversity"
    real_is = "optional"


class VendiScore(_OfRows):
    """Vendi score of the fakes of an `order`; real rows, where there are some, add the ratio to theirs."""

    name = "vendi_score"
    real_is = "optional"

    def __init__(self, *, order: float = 1.0, level: float = 0.95, **kwargs: Any) -> None:
        check_order(order)
        super().__init__(level=level, **kwargs)
        self.order = order

    def _settings(self) -> dict[str, Any]:
        return {"order": self.order}


class _OfRepeats(_OfRows):
    """A metric that counts rows within a `tolerance` of another, in units of the features, as repeats."""

    def __init__(self, *, tolerance: float = 0.0, level: float = 0.95, **kwargs: Any) -> None:
        check_tolerance(tolerance)
        super().__init__(level=level, **kwargs)
        self.tolerance = tolerance

    def _settings(self) -> dict[str, Any]:
        return {"tolerance": self.tolerance}


class Duplicates(_OfRepeats):
    """Share of fakes that have another within `tolerance`; real rows, where there are some, add theirs."""

    name = "duplicates"
    real_is = "optional"


class Birthday(_OfRepeats):
    """How many distinct fakes the generator can make; real rows are passed over."""

    name = "birthday"
    real_is = "unused"


class FrechetDistanceFromMoments(_FeatureMetric):
    """Classic Fréchet distance that keeps no rows: any number of them in the room of 8 (1 + d + d^2) bytes a side.

    Its `estimate` has no interval, because that needs rows.
    """

    name = "frechet_distance"
    real: Tensor
    fake: Tensor

    def __init__(self, width: int, *, level: float = 0.95, **kwargs: Any) -> None:
        """Empty.

        Args:
            width: Number of features d.
            level: As for the others.
            kwargs: As for the others.
        """
        super().__init__(level=level, **kwargs)
        if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
            raise UserError(f"width is the number of features of a row, a whole number of 1 or more, not {width!r}.")
        self.width: int = int(width)
        for side in ("real", "fake"):
            empty = torch.zeros(1 + width + width**2, dtype=torch.float64)
            self.add_state(side, empty, dist_reduce_fx=merged)

    def set_dtype(self, dst_type: str | torch.dtype) -> Metric:
        """Moments stay in float64, because counts and small differences of large sums would be lost otherwise."""
        return self

    def _add(self, rows: Tensor, real: bool) -> None:
        if rows.shape[1] != self.width:
            raise UserError(f"These rows have {rows.shape[1]} features, but this metric was made for {self.width}.")
        side = "real" if real else "fake"
        more = _packed(Moments.of(rows.to(self.device)))
        setattr(self, side, merged(torch.stack([getattr(self, side), more])))

    def _estimate(self, level: float | None) -> Estimate:
        for side in ("real", "fake"):
            if not float(getattr(self, side)[0]):
                raise self._missing(side)
        real, fake = _unpacked(self.real), _unpacked(self.fake)
        return find_metric(self.name).function(real=real, fake=fake, level=level)


def merged(parts: Tensor) -> Tensor:
    """Packed moments (m, 1 + d + d^2) of disjoint rows as those of all rows, (1 + d + d^2,)."""
    total = Moments()
    for part in parts:
        total = total.merge(_unpacked(part))
    return _packed(total) if total.n else parts[0]


def _packed(moments: Moments) -> Tensor:
    """Count, mean and scatter as one row of float64."""
    return torch.cat([moments.mean.new_tensor([float(moments.n)]), moments.mean, moments.scatter.flatten()])


def _unpacked(packed: Tensor) -> Moments:
    width = round((len(packed) - 0.75) ** 0.5 - 0.5)  # 1 + d + d^2 numbers
    if not float(packed[0]):
        return Moments()
    x = packed.double()
    return Moments(int(x[0]), x[1 : 1 + width].clone(), x[1 + width :].reshape(width, width).clone())
