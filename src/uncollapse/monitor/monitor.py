"""`CollapseMonitor`: the judgement of a generator while it trains, in anyone's loop.

It joins the parts of this folder: the reference (`reference`), when to look and at what (`window`), the test
(`sequential`), further numbers (`statistics`, `slopes`), what to do (`actions`), and the host left alone (`hosts`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.monitor.actions import LOG, Checkpoint, OnAlarm, Reaction, Stateful, several, takes
from uncollapse.monitor.choices import ALPHA, EVERY, FEWEST, HEALTHY, MARGIN, PATIENCE, SAMPLES, as_count, check_numbers
from uncollapse.monitor.cost import Cost, Watch
from uncollapse.monitor.encoding import LOOKED, Encoded, Function, as_samples
from uncollapse.monitor.hosts import look_seed, owned, plain_numbers, untouched
from uncollapse.monitor.reference import Reference, make_reference
from uncollapse.monitor.sequential import CoverageTest, count
from uncollapse.monitor.slopes import Critic, slope_gap
from uncollapse.monitor.verdict import MonitorVerdict, Sign, Status
from uncollapse.monitor.window import Window
from uncollapse.monitor.words import sentence
from uncollapse.versions import choose_device

Sampler = Callable[[int], object]

SCHEMA = 1


class CollapseMonitor:
    """Watches a generator while it trains, and says when it loses parts of the data.

        monitor = CollapseMonitor(reference=real, every=500)
        verdict = monitor.update(fake=generator(latent), step=step)

    A look compares fresh fakes with the reference. Coverage, the share of the real data that lies in classes or
    clusters which the fakes reach, is tested against its best so far minus `margin`, by a test that holds for any
    number of looks: a run whose coverage never falls by more raises an alarm with a chance of at most `alpha`, over its
    whole length and through all restarts (`sequential` has the argument). Nothing is tested before coverage is surely
    above `healthy`. After an alarm the status is "collapsed" until coverage is surely back within the margin.

    The host's loop goes on as without the monitor, to the last bit: random streams, buffers and modes of networks, and
    gradients are put back. A sampler and a critic run in the modes the host left them in. Networks are found in what
    the functions name or close over; those that are reached otherwise are given as `modules`.

    Attributes:
        reference: The prepared real data; another monitor may be given it.
        verdict: That of the last look.
        history: One entry a look: step, status, coverage, low, best, e_value, alarm.
    """

    def __init__(
        self,
        reference: object,
        *,
        sampler: Sampler | None = None,
        every: int = EVERY,
        samples: int = SAMPLES,
        labels: object = None,
        features: str | Function = "auto",
        cells: int | None = None,
        critic: Critic | None = None,
        alpha: float = ALPHA,
        margin: float = MARGIN,
        healthy: float = HEALTHY,
        patience: int = PATIENCE,
        on_alarm: OnAlarm = "log",
        checkpoint: Checkpoint | None = None,
        modules: nn.Module | Sequence[nn.Module] = (),
        optimisers: Stateful | Sequence[Stateful] = (),
        seed: int = 0,
        device: str = "auto",
        cache: bool = True,
        name: str = "",
    ) -> None:
        """Prepares the reference; draws nothing from the host.

        Args:
            reference: Real data as `uncollapse.evaluate` takes them (features (n, d), images, a data set, a folder), or
                the `reference` of another monitor.
            sampler: A function of n that makes n fakes from fresh latents; without it `update` is given the fakes.
            every: Steps from look to look.
            samples: Fakes of a look.
            labels: One a row of the reference: then classes are watched, not clusters.
            features: Name of an extractor, "auto", or a function of a batch of samples.
            cells: Number of clusters; None lets the data choose.
            critic: A function of a batch that gives scores; adds its slopes to the evidence. The reference must then be
                an array in the critic's own scale.
            alpha: Chance of any false alarm in the whole run.
            margin: By how much coverage may fall below its best.
            healthy: Coverage that counts as healthy.
            patience: Looks after which a generator that was not healthy once is reported as never healthy.
            on_alarm: "log", "stop" (raises `CollapseStop`), "rollback", or a function of the verdict.
            checkpoint: For "rollback" alone: two functions of your own without arguments, (save, restore), beside
                which modules and optimisers are not restored. `update` calls save at every look that proves health, so
                that the last one counts, and restore on an alarm, if save was called since the monitor was made or
                loaded. What they return is not looked at; what they raise leaves `update`.
            modules: Networks (or one) whose buffers and modes are put back, and whose weights "rollback" restores.
            optimisers: What else "rollback" restores, likewise.
            seed: Of all draws of the monitor.
            device: Where a named extractor computes.
            cache: Whether what is prepared of the reference is kept on disk.
            name: What warnings begin with, where there are several monitors.

        Raises:
            UserError: Something of this cannot be.
        """
        check_numbers(
            {"every": every, "samples": samples, "patience": patience, "alpha": alpha, "margin": margin,
             "healthy": healthy},
        )  # fmt: skip
        as_count(seed, name="seed", least=0)
        choose_device(device)
        if sampler is not None and (isinstance(sampler, nn.Module) or not takes(sampler, 1)):
            given = "a network" if isinstance(sampler, nn.Module) else repr(sampler)
            raise UserError(f"sampler must be a function of n, as lambda n: g(torch.randn(n, 64)), not {given}.")
        if critic is not None and not takes(critic, 1):
            raise UserError(f"critic must be a network or a function of a batch that gives scores, not {critic!r}.")
        if isinstance(reference, Reference) and (labels is not None or cells is not None or features != "auto"):
            raise UserError("This reference is prepared already; give labels, features and cells to what prepared it.")
        networks, others = several(modules, "modules"), several(optimisers, "optimisers")
        self._reaction = Reaction(on_alarm, checkpoint, [*networks, *others], name)
        self._sampler, self._critic, self._modules = sampler, critic, networks
        self._features = reference.function if isinstance(reference, Reference) else features
        self.seed, self.patience = seed, patience
        self._watch = Watch()
        self._told: set[str] = set()
        begin = time.perf_counter()
        with self._untouched(0, "reference"):
            self.reference = reference if isinstance(reference, Reference) else make_reference(
                reference, labels=labels, features=features, cells=cells, samples=samples, seed=seed, device=device,
                cache=cache,
            )  # fmt: skip
        self._watch.preparing = time.perf_counter() - begin
        if critic is not None and self.reference.raw is None:
            raise UserError(
                "critic= needs real rows in the critic's own scale; give the reference as an array or a tensor."
            )
        self._test = CoverageTest(self.reference.cells.weights, alpha=alpha, margin=margin, healthy=healthy)
        self._window = Window(every=every, samples=samples)
        self.history: list[dict[str, Any]] = []
        self.verdict = MonitorVerdict(
            status="warming-up", sentence="No look was taken yet.", needed=self._test.needed, shares=self._shares(None)
        )

    @property
    def cost(self) -> Cost:
        """Seconds spent, and their share of the wall time since the first call."""
        return self._watch.cost

    @property
    def status(self) -> Status:
        """That of the last look."""
        return self.verdict.status

    @property
    def sound(self) -> bool:
        """Whether the last look proved health: coverage surely within half the margin of its best."""
        return self.status == "healthy" and self._test.sound(self.verdict.low)

    def __str__(self) -> str:
        """The last look and the cost."""
        return f"{self.verdict} [{self.cost}]"

    def update(self, *, step: int, fake: object = None) -> MonitorVerdict:
        """To be called at every step, or at least as often as looks are due.

        Args:
            step: Steps of the whole run so far, never falling.
            fake: Fresh fakes (m, ...), where the monitor has no sampler. Batches of the last steps before a look are
                joined until there are `samples` of them.

        Returns:
            The verdict of this look, or, between looks, that of the last one.

        Raises:
            CollapseStop: On an alarm, under ``on_alarm="stop"``.
            UserError: Steps that fall, or fakes that are not of the reference's kind.
        """
        with self._watch.running():
            due = self._window.step(as_count(step, name="step", least=0))
            if (fake is None) == (self._sampler is None):
                raise UserError("Give fakes to update(fake=...), or a sampler to the monitor: one of the two.")
            if fake is not None:
                batch = as_samples(fake, name="fake")
                if due or self._window.wants(len(batch)):
                    self._window.keep(batch)
                due = due and self._window.gathered >= FEWEST
            if not due:
                return self.verdict
            return self._look()

    def due(self, step: int) -> bool:
        """Whether `update` will look at this step, for loops that make fakes for it alone."""
        return step >= self._window.due

    def _look(self) -> MonitorVerdict:
        look, before = self._watch.looks + 1, self.verdict.status
        with self._untouched(look, "look"):
            samples = self._shuffled(self._fresh(), look)
            encoded = self.reference.encode(samples, self._told)
            slopes = () if self._critic is None else self._slopes(samples, encoded)
            with plain_numbers():
                self.verdict = self._judged(look, encoded, slopes)
        self._watch.looks = look
        self._window.done()
        self.history.append(self.verdict.row())
        LOG.info("step %s: %s", self.verdict.step, self.verdict)
        if self.verdict.alarm:
            self._reaction.act(self.verdict)
        elif self.sound:
            self._reaction.keep(self._window.last)
        elif self.verdict.status == "never-healthy" != before:
            self._reaction.warn(self.verdict)
        return self.verdict

    def _fresh(self) -> Tensor:
        if self._sampler is None:
            return self._window.take()
        samples = as_samples(self._sampler(self._window.samples), name="What sampler= gives")
        if len(samples) < FEWEST:
            raise UserError(
                f"sampler= gave {len(samples)} samples when asked for {self._window.samples:,}; a look needs at least "
                f"{FEWEST}."
            )
        return samples

    def _shuffled(self, samples: Tensor, look: int) -> Tensor:
        """The fakes in random order: a sampler may give one class after the other, and some numbers look at a part."""
        order = np.random.default_rng(look_seed(self.seed, look, "order")).permutation(len(samples))
        return samples[torch.from_numpy(order).to(samples.device)]

    def _slopes(self, samples: Tensor, encoded: Encoded) -> tuple[Sign, ...]:
        finite = samples[torch.from_numpy(encoded.finite).to(samples.device)]
        if self._critic is None or self.reference.raw is None or not len(finite):
            return ()
        return (slope_gap(self._critic, real=self.reference.raw, fake=finite),)

    def _judged(self, look: int, encoded: Encoded, slopes: tuple[Sign, ...]) -> MonitorVerdict:
        cells = np.full(len(encoded.finite), -1)
        cells[encoded.finite] = self.reference.cells.assign(encoded.rows, encoded.classes)
        outcome = self._test.look(cells)
        missing = self.reference.cells.missing(cells, self.reference.examples)
        status = self._status_after(look)
        bad = len(cells) - int(encoded.finite.sum())
        return MonitorVerdict(
            status=status, step=self._window.last, look=look,
            sentence=sentence(status, self._kinds, outcome, missing, bad, self._test.margin, self.patience),
            coverage=outcome.coverage, low=outcome.low, best=outcome.best, e_value=outcome.evidence,
            needed=outcome.needed, alarm=outcome.alarm, alarms=self._test.state.alarms, n_fake=len(cells),
            shares=self._shares(cells), evidence=(*self.reference.ordinary.signs(encoded.rows), *slopes),
            what_is_missing=missing,
        )  # fmt: skip

    def _status_after(self, look: int) -> Status:
        state = self._test.state
        if state.lost:
            return "collapsed"
        if state.best is None:
            return "never-healthy" if look >= self.patience else "warming-up"
        return "healthy"

    def _shares(self, cells: NDArray[np.int64] | None) -> dict[str, tuple[float, float]]:
        """Name of each cell -> its share of the real rows and of the fakes."""
        weights = self._test.weights
        fake = np.zeros(len(weights)) if cells is None else count(cells, len(weights))[:-1] / len(cells)
        pairs = zip(self.reference.cells.names, weights, fake, strict=True)
        return {name: (float(real), float(made)) for name, real, made in pairs}

    @property
    def _kinds(self) -> str:
        return {"class": "classes", "cluster": "clusters"}[self.reference.cells.kind]

    def _untouched(self, look: int, purpose: str) -> AbstractContextManager[None]:
        host = owned(self._sampler, self._critic, self._features, self._modules)
        return untouched(host, seed=look_seed(self.seed, look, purpose))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, for `torch.save`: JSON values under "json", tensors on the CPU under "arrays".

        The copy of weights that "rollback" keeps is not part of it; the next look that proves health makes a new one.
        """
        pending = self._window.peek()
        document = {
            "schema": SCHEMA, "reference": self.reference.digest, "settings": self._settings(),
            "test": self._test.to_json(), "window": {"due": self._window.due, "last": self._window.last},
            "low": self.reference.encoder.low, "told": sorted(self._told), "verdict": self.verdict.to_json(),
            "history": list(self.history),
            "cost": {"seconds": self.cost.seconds, "looks": self.cost.looks, "wall": self.cost.wall},
        }  # fmt: skip
        return {"json": document, "arrays": {} if pending is None else {"pending": pending.cpu()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where a monitor of the same reference and settings stopped.

        Raises:
            UserError: It is no such state, was another reference, or another test.
        """
        if not isinstance(state, Mapping) or not {"json", "arrays"} <= set(state):
            raise UserError("This is no state of a monitor; give what state_dict() of one returned.")
        kept = state["json"]
        if kept["schema"] != SCHEMA:
            raise UserError(f"This monitor's state has the schema {kept['schema']!r}, but {SCHEMA} is read here.")
        if kept["reference"] != self.reference.digest:
            raise UserError(
                "This monitor's state was saved with another reference; give the same data, labels, features, "
                "cells, samples and seed."
            )
        for name, now in self._settings().items():
            if kept["settings"][name] != now:
                raise UserError(
                    f"This monitor's state was saved with {name}={kept['settings'][name]!r}, not {now!r}; its error "
                    "rate holds for one setting, so give the same or begin anew."
                )
        pending = state["arrays"].get("pending")  # of older versions a NumPy array
        self._test.load(kept["test"])
        self._window.restore(**kept["window"], kept=None if pending is None else torch.as_tensor(pending))
        self.reference.encoder.low = kept["low"]
        self._told = set(kept.get("told", (LOOKED,)))
        self.verdict, self.history = MonitorVerdict.from_json(kept["verdict"]), list(kept["history"])
        self._watch.restore(**kept["cost"])

    def _settings(self) -> dict[str, Any]:
        """What the error rate depends on, and the draws."""
        test = self._test
        return {"alpha": test.alpha, "margin": test.margin, "healthy": test.healthy, "seed": self.seed}
