"""Weights & Biases: the numbers of a run, also offline (``WANDB_MODE=offline``, later ``wandb sync``). Needs [wandb].

The mean is ``losses/critic``, that of a seed ``seed-3/losses/critic``; the horizontal axis is ``update``.
"""

from __future__ import annotations

import contextlib
import io
import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from uncollapse.errors import UserError
from uncollapse.files import write_atomic
from uncollapse.integrations.pictures import snapshot_pictures
from uncollapse.loggers import Scalar, final_scalars, scalars, seeds_of, update
from uncollapse.monitoring_rows import MonitorRow, monitor_row

if TYPE_CHECKING:
    import wandb

PROJECT = "uncollapse"
# The number under which Weights & Biases knows the run of a directory, so that a continued run is one there, too.
NUMBER = Path("wandb") / "uncollapse-run-id"


class WandbLogger:
    """One run of Weights & Biases for one run directory, whose folder `wandb` holds its files.

    The environment of `wandb` decides about the rest: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY and others. A run of your
    own in the same process stays as it is.
    """

    def __init__(self) -> None:
        """Looks whether the package is there.

        Raises:
            UserError: It is not.
        """
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise UserError("wandb is not installed; install it with pip install 'uncollapse[wandb]'.") from error
        self._run: wandb.Run | None = None
        self._seeds: tuple[int, ...] = ()

    def start(self, spec: Mapping[str, object], directory: Path) -> None:
        """Remembers what the run is; the first line says whether it begins or goes on."""
        self._spec, self._directory, self._seeds = spec, directory, seeds_of(spec)

    def log(self, row: Mapping[str, object]) -> None:
        """Adds the numbers of a line, what the monitor said, and the samples of a snapshot."""
        at = update(row)
        try:
            run = self._run = self._run or self._begin(fresh=at == 0)
            values: dict[str, object] = self._named(scalars(row, len(self._seeds)))
            if row.get("snapshot"):
                values |= self._pictures(at)
            told = monitor_row(row)
            if told is not None:
                self._alert(run, told)
            if told is not None and told.raised:
                values[f"{_prefix(told.seed)}alarm"] = 1
            if values:
                run.log({**values, "update": at})
        except Exception:
            self._end(exit_code=1)  # it is not called again, and would stay open
            raise

    def finish(self, result: Mapping[str, object]) -> None:
        """Writes the final measures into the summary and closes the run."""
        try:
            if result:
                self._run = self._run or self._begin(fresh=False)  # stopped after the last line, and only judged since
                self._run.summary.update(self._named(final_scalars(result)))
        finally:
            self._end(exit_code=0 if result else 1)

    def _begin(self, *, fresh: bool) -> wandb.Run:
        import wandb

        run = wandb.init(
            project=None if _from_environment("WANDB_PROJECT") else PROJECT,
            name=self._directory.name, id=self._number(fresh), resume="allow", dir=str(self._directory),
            config=json.loads(json.dumps(dict(self._spec), default=str)), reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )  # fmt: skip
        run.define_metric("update", hidden=True)
        run.define_metric("*", step_metric="update")
        return run

    def _number(self, fresh: bool) -> str:
        place = self._directory / NUMBER
        with contextlib.suppress(OSError):
            kept = place.read_text(encoding="ascii", errors="replace").strip()
            if not fresh and kept.isalnum():
                return kept
        number = secrets.token_hex(6)
        write_atomic(place, number)
        return number

    def _named(self, found: Iterable[Scalar]) -> dict[str, object]:
        """Means under their own names, those of a seed after its prefix."""
        values: dict[str, object] = {}
        for scalar in found:
            if scalar.mean is not None:
                values[scalar.name] = scalar.mean
            for seed, value in zip(self._seeds, scalar.values, strict=True):
                if value is not None:
                    values[f"{_prefix(seed)}{scalar.name}"] = value
        return values

    def _pictures(self, at: int) -> dict[str, object]:
        import wandb
        from PIL import Image

        return {
            f"{_prefix(self._seeds[place])}samples": wandb.Image(Image.open(io.BytesIO(png)))
            for place, png in snapshot_pictures(self._directory, at)
        }

    def _alert(self, run: wandb.Run, told: MonitorRow) -> None:
        who = "" if told.seed is None else f" of seed {told.seed}"
        title = f"{told.status}{who} at update {told.update:,}"
        run.alert(title=title, text=told.sentence or title, level="WARN")

    def _end(self, exit_code: int) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=exit_code)


def _prefix(seed: int | None) -> str:
    return "" if seed is None else f"seed-{seed}/"


def _from_environment(name: str) -> bool:
    import os

    return bool(os.environ.get(name))
