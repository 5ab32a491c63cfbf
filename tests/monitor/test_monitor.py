"""`CollapseMonitor` as a loop uses it: what it says of generators whose modes are known, and that it moves nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import uncollapse as uc
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.monitor import CollapseMonitor, CollapseStop, MonitorVerdict, Reference, make_reference, statistics
from uncollapse.tasks import find

Generator = Callable[[int], Tensor]


def points(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points of eight blobs and their modes."""
    x, labels = find("blobs-8").held_out(n, stream(seed, "monitor test"))
    assert labels is not None
    return x, labels


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Eight blobs, prepared once for all monitors of this file; ranges from few splits."""
    before, statistics.SPLITS = statistics.SPLITS, 40
    made = make_reference(points(500, 0)[0], samples=300, cache=False)
    statistics.SPLITS = before
    return made


class Blobs:
    """A generator that makes some of the eight modes."""

    def __init__(self, modes: int = 8) -> None:
        self.modes = modes

    def __call__(self, n: int) -> Tensor:
        """n fresh points, from the global stream as a plain loop would draw them."""
        x, labels = points(16 * n, int(torch.randint(2**31, ())))
        return x[labels < self.modes][:n]


def watched(reference: Reference, generator: Generator, **choices: Any) -> CollapseMonitor:
    """A monitor that looks every 100 steps at 300 fakes."""
    return CollapseMonitor(reference, sampler=generator, every=100, samples=300, **choices)


def at(monitor: CollapseMonitor, *steps: int) -> list[MonitorVerdict]:
    """The verdicts of some steps."""
    return [monitor.update(step=step) for step in steps]


def test_it_is_a_public_name() -> None:
    assert uc.CollapseMonitor is CollapseMonitor
    assert uc.monitor.CollapseStop is CollapseStop


def test_a_collapse_is_found_what_is_missing_is_named_and_a_recovery_is_seen(
    reference: Reference, caplog: pytest.LogCaptureFixture
) -> None:
    generator = Blobs(4)
    monitor = watched(reference, generator)
    assert [verdict.status for verdict in at(monitor, 0, 100)] == ["warming-up"] * 2
    generator.modes = 8
    assert [verdict.status for verdict in at(monitor, 200, 300, 400)] == ["healthy"] * 3
    assert caplog.text == ""
    generator.modes = 4
    lost = monitor.update(step=500)
    assert (lost.status, lost.alarm, lost.alarms, lost.step) == ("collapsed", True, 1, 500)
    assert lost.e_value > lost.needed
    assert lost.coverage == pytest.approx(0.5, abs=0.06)
    assert "step 500: collapsed" in caplog.text
    # What is missing are the four modes, told by real rows of them.
    centres = torch.tensor(find("blobs-8").centres)
    real, _ = points(500, 0)
    told = {int(torch.cdist(real[list(entry.real)], centres).argmin(1).unique()) for entry in lost.what_is_missing}
    assert told == {4, 5, 6, 7}
    assert sum(real for real, fake in lost.shares.values() if fake == 0) == pytest.approx(1 - lost.coverage, abs=0.02)
    assert {sign.name for sign in lost.evidence if sign.loss} >= {"coverage", "recall"}
    assert "missing-modes" in " ".join(lost.suggest)
    assert monitor.update(step=600).status == "collapsed"
    generator.modes = 8
    assert monitor.update(step=700).status == "healthy"
    generator.modes = 4
    again = monitor.update(step=800)
    assert (again.alarm, again.alarms, again.needed) == (True, 2, 2 * lost.needed)
    assert [row["step"] for row in monitor.history if row["alarm"]] == [500, 800]


def test_nothing_is_done_between_looks(reference: Reference) -> None:
    calls: list[int] = []

    def sampler(n: int) -> Tensor:
        calls.append(n)
        return Blobs()(n)

    monitor = watched(reference, sampler)
    verdicts = at(monitor, *range(0, 250, 10))
    assert calls == [300] * 3
    assert len({id(verdict) for verdict in verdicts}) == 3
    assert monitor.due(300)
    assert not monitor.due(299)


def test_batches_of_the_loop_are_joined_until_a_look_has_enough(reference: Reference) -> None:
    monitor, generator = CollapseMonitor(reference, every=100, samples=300), Blobs()
    for step in range(201):
        verdict = monitor.update(fake=generator(32), step=step)
    assert [row["step"] for row in monitor.history] == [0, 100, 200]
    assert verdict.n_fake == 300
    assert verdict.status == "healthy"
    # The first look had one batch.
    assert monitor.history[0]["low"] < monitor.history[1]["low"]


def test_batches_too_small_for_a_look_wait_for_more(reference: Reference) -> None:
    monitor, generator = CollapseMonitor(reference, every=100, samples=300), Blobs()
    for step in range(4):
        verdict = monitor.update(fake=generator(8), step=step)
    assert (verdict.step, verdict.n_fake) == (2, 24)


def test_a_generator_that_is_never_healthy_is_reported_once(
    reference: Reference, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = watched(reference, Blobs(3), patience=4, on_alarm="stop")
    statuses = [verdict.status for verdict in at(monitor, *range(0, 600, 100))]
    assert statuses == ["warming-up"] * 3 + ["never-healthy"] * 3
    assert caplog.text.count("never-healthy") == 1
    assert monitor.verdict.suggest
    # It may still become healthy.
    monitor._sampler = Blobs()
    assert monitor.update(step=600).status == "healthy"


def test_fakes_that_are_not_finite_reach_nothing(reference: Reference) -> None:
    broken = False

    def sampler(n: int) -> Tensor:
        x = Blobs()(n)
        return x / 0 if broken else x

    monitor = watched(reference, sampler)
    assert monitor.update(step=0).status == "healthy"
    broken = True
    verdict = monitor.update(step=100)
    assert (verdict.status, verdict.coverage) == ("collapsed", 0.0)
    assert "300 fakes are not finite" in verdict.sentence


def test_a_stop_ends_the_loop_and_a_function_is_called(reference: Reference) -> None:
    generator, seen = Blobs(), []
    stopping, calling = (
        watched(reference, generator, on_alarm="stop"),
        watched(reference, generator, on_alarm=seen.append),
    )
    at(stopping, 0)
    at(calling, 0)
    generator.modes = 4
    with pytest.raises(CollapseStop) as caught:
        stopping.update(step=100)
    assert caught.value.verdict is stopping.verdict
    assert seen == [calling.update(step=100)]


@pytest.mark.parametrize("alone", [False, True])
def test_a_rollback_goes_to_the_last_look_that_proved_health(reference: Reference, alone: bool) -> None:
    scale = nn.Linear(1, 1, bias=False)
    optimiser = torch.optim.SGD(scale.parameters(), lr=0.1)
    modules, optimisers = (scale, optimiser) if alone else ((scale,), (optimiser,))
    blobs = Blobs()

    def sampler(n: int) -> Tensor:
        return blobs(n) * scale.weight.item()

    with torch.no_grad():
        scale.weight.fill_(1.0)
    monitor = watched(reference, sampler, on_alarm="rollback", modules=modules, optimisers=optimisers)
    assert [verdict.status for verdict in at(monitor, 0, 100)] == ["healthy"] * 2
    with torch.no_grad():
        scale.weight.fill_(0.0)
    assert monitor.update(step=200).alarm
    assert scale.weight.item() == 1.0
    assert monitor.update(step=300).status == "healthy"


class Host:
    """A small DCGAN with batch norm and dropout, training on noise images, drawing from the global streams."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        random.seed(3)
        self.generator = nn.Sequential(
            nn.Linear(8, 16 * 4), nn.Unflatten(1, (16, 2, 2)), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.BatchNorm2d(8),
            nn.ReLU(), nn.Dropout(0.1), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip
        self.critic = nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 8, 3, 2, 1)), nn.LeakyReLU(0.2), nn.Dropout(0.3),
            nn.Flatten(), nn.Linear(8 * 16, 1),
        )  # fmt: skip
        self.steps = [torch.optim.Adam(net.parameters(), 2e-4) for net in (self.generator, self.critic)]
        self.real = torch.rand(300, 1, 8, 8).round() * 2 - 1

    def sample(self, n: int) -> Tensor:
        """Fakes by the networks as they are: in training mode, from the global stream."""
        return self.generator(torch.randn(n, 8))

    def train(self, monitor: CollapseMonitor | None, steps: int = 200) -> str:
        """Trains, and gives a hash of all weights, buffers, moments, streams and modes."""
        for step in range(steps):
            real = self.real[torch.randint(300, (16,))] + 0.01 * float(np.random.rand()) * random.random()  # noqa: NPY002
            fake = self.sample(16)
            for which, loss in ((1, self.critic(fake.detach()).mean() - self.critic(real).mean()), (0, None)):
                loss = -self.critic(self.sample(16)).mean() if loss is None else loss
                self.steps[which].zero_grad()
                loss.backward()
                self.steps[which].step()
            if monitor is not None:
                monitor.update(step=step, **({} if monitor._sampler else {"fake": fake}))
        parts = [*self.generator.state_dict().values(), *self.critic.state_dict().values(), torch.get_rng_state()]
        parts += [value for step in self.steps for state in step.state.values() for value in state.values()]
        digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in parts))
        digest.update(repr((random.getstate(), np.random.get_state()[1].tolist())).encode())  # noqa: NPY002
        digest.update(repr([part.training for net in (self.generator, self.critic) for part in net.modules()]).encode())
        digest.update(repr((torch.is_grad_enabled(), torch.get_default_dtype())).encode())
        return digest.hexdigest()


@pytest.mark.long
def test_the_host_is_the_same_to_the_last_bit_with_and_without_a_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SPLITS", 3)
    plain = Host().train(None)
    host = Host()
    sampling = CollapseMonitor(
        host.real,
        sampler=host.sample,
        critic=host.critic,
        features="pixels",
        cells=4,
        every=20,
        samples=50,
        cache=False,
    )
    assert host.train(sampling) == plain
    assert len(sampling.history) == 10
    assert "critic_slope_gap" in {sign.name for sign in sampling.verdict.evidence}
    host = Host()
    given = CollapseMonitor(host.real, features="pixels", cells=4, every=20, samples=50, cache=False)
    assert host.train(given) == plain
    assert len(given.history) == 10


def test_the_hash_of_the_host_would_notice_a_monitor_that_draws_or_normalises() -> None:
    plain = Host().train(None, steps=3)
    drawing, normalising = Host(), Host()
    torch.rand(1)
    assert drawing.train(None, steps=3) != plain
    normalising.train(None, steps=2)
    normalising.sample(4)
    assert normalising.train(None, steps=1) != plain


def test_every_look_draws_anew_whatever_the_host_does_with_its_seed(reference: Reference) -> None:
    drawn: list[float] = []

    def sampler(n: int) -> Tensor:
        drawn.append(float(torch.rand(())))
        return Blobs()(n)

    monitor = watched(reference, sampler)
    for step in (0, 100, 200):
        torch.manual_seed(0)
        monitor.update(step=step)
    assert len(set(drawn)) == 3


def test_the_same_seed_gives_the_same_verdicts_and_a_resumed_monitor_too(reference: Reference) -> None:
    def run(monitor: CollapseMonitor, generator: Blobs, steps: range) -> list[dict[str, Any]]:
        found = []
        for step in steps:
            generator.modes = 8 if step < 600 else 6
            torch.rand(step + 1)  # whatever the host draws
            found.append(monitor.update(step=step).to_json())
        return found

    generator = Blobs()
    whole = run(watched(reference, generator), generator, range(0, 1_000, 50))
    assert run(watched(reference, generator), generator, range(0, 1_000, 50)) == whole
    first = watched(reference, generator)
    begun = run(first, generator, range(0, 700, 50))
    kept = first.state_dict()
    second = watched(reference, generator)
    second.load_state_dict({"json": json.loads(json.dumps(kept["json"])), "arrays": kept["arrays"]})
    assert begun + run(second, generator, range(700, 1_000, 50)) == whole
    assert second.history[:7] == first.history
    assert second.cost.looks == 10
    assert run(watched(reference, generator, seed=1), generator, range(0, 1_000, 50)) != whole


def test_batches_kept_for_a_look_survive_a_checkpoint(reference: Reference) -> None:
    batches = [Blobs()(32) for _ in range(15)]

    def fed(monitor: CollapseMonitor, steps: range) -> MonitorVerdict:
        for step in steps:
            verdict = monitor.update(fake=batches[step], step=step)
        return verdict

    choices: dict[str, Any] = {"every": 10, "samples": 128}
    whole = fed(CollapseMonitor(reference, **choices), range(11))
    first, second = (CollapseMonitor(reference, **choices) for _ in range(2))
    fed(first, range(9))
    state = first.state_dict()
    assert state["arrays"]["pending"].shape == (64, 2)
    second.load_state_dict(state)
    assert fed(second, range(9, 11)) == whole
    older = CollapseMonitor(reference, **choices)
    older.load_state_dict({**state, "arrays": {"pending": state["arrays"]["pending"].numpy()}})
    assert fed(older, range(9, 11)) == whole


def test_a_checkpoint_with_its_state_loads_without_pickle(reference: Reference, tmp_path: Path) -> None:
    monitor, lost = CollapseMonitor(reference, every=2, samples=300), Blobs(4)
    for step, generator in enumerate((Blobs(), Blobs(), lost, lost, Blobs())):
        monitor.update(fake=generator(300), step=step)
    monitor.update(fake=lost(40), step=5)
    assert [row["alarm"] for row in monitor.history] == [False, True, False]
    torch.save({"monitor": monitor.state_dict()}, tmp_path / "kept.pt")
    kept = torch.load(tmp_path / "kept.pt", weights_only=True)["monitor"]
    again = CollapseMonitor(reference, every=2, samples=300)
    again.load_state_dict(kept)
    assert again.history == monitor.history
    fakes = Blobs()(300)
    assert again.update(fake=fakes, step=6) == monitor.update(fake=fakes, step=6)


def test_each_monitor_of_one_reference_is_told_of_ranges_for_itself_and_a_resumed_one_is_not_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    draws = torch.Generator().manual_seed(0)
    real, dim = (2 * torch.rand(300, 8, 8, generator=draws) - 1 for _ in range(2))
    shared = make_reference(real, features="pixels", samples=100, cache=False)

    def warnings(monitor: CollapseMonitor, step: int) -> list[str]:
        caplog.clear()
        monitor.update(fake=dim.abs()[:100], step=step)
        return [message for message in caplog.messages if "is negative" in message]

    first, second, third = (CollapseMonitor(shared, every=2, samples=100) for _ in range(3))
    assert len(warnings(first, 0)) == 1
    assert len(warnings(second, 0)) == 1
    assert warnings(second, 2) == []
    third.load_state_dict(second.state_dict())
    assert warnings(third, 4) == []


def test_a_state_of_another_reference_or_test_is_refused(reference: Reference) -> None:
    state = watched(reference, Blobs()).state_dict()
    with pytest.raises(UserError, match=r"saved with margin=0\.15, not 0\.3; its error rate holds for one setting"):
        watched(reference, Blobs(), margin=0.3).load_state_dict(state)
    other = {"json": {**state["json"], "reference": "0"}, "arrays": {}}
    with pytest.raises(UserError, match="saved with another reference"):
        watched(reference, Blobs()).load_state_dict(other)
    for wrong in ({}, None, state["json"]):
        with pytest.raises(UserError, match=r"This is no state of a monitor; give what state_dict\(\) of one returned"):
            watched(reference, Blobs()).load_state_dict(wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has the schema 99, but 1 is read here"):
        watched(reference, Blobs()).load_state_dict({"json": {**state["json"], "schema": 99}, "arrays": {}})


def test_the_cost_is_measured_and_shown(reference: Reference) -> None:
    monitor = watched(reference, Blobs())
    assert (monitor.cost.looks, monitor.cost.share) == (0, 0.0)
    at(monitor, 0, 50, 100)
    assert monitor.cost.looks == 2
    assert 0 < monitor.cost.per_look < 5
    assert 0 < monitor.cost.share <= 1
    assert str(monitor).startswith(f"healthy: {monitor.verdict.sentence} [2 looks took")


def test_looks_are_in_the_log_for_those_who_ask(reference: Reference, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="uncollapse.monitor"):
        at(watched(reference, Blobs()), 0, 100)
    assert [message.split(":")[0] for message in caplog.messages] == ["step 0", "step 100"]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"every": 0}, "every must be a whole number of at least 1, not 0"),
        ({"samples": 5}, "samples must be a whole number of at least 20, not 5"),
        ({"patience": 1.5}, r"patience must be a whole number of at least 1, not 1\.5"),
        ({"alpha": 0.7}, r"alpha must lie between 0 and 0\.5, for example 0\.03, not 0\.7"),
        ({"margin": 0}, r"margin must lie between 0 and 1, for example 0\.15, not 0"),
        ({"healthy": "high"}, r"healthy must lie between 0 and 1, for example 0\.6, not 'high'"),
        ({"sampler": 3}, r"sampler must be a function of n, as lambda n: g\(torch\.randn\(n, 64\)\), not 3"),
        ({"sampler": nn.Linear(2, 2)}, r"sampler must be a function of n, as lambda n: .*, not a network"),
        ({"modules": 3}, r"modules must have a state_dict each, as \(generator, critic\), but 3 has none"),
        ({"optimisers": [print]}, r"optimisers must have a state_dict each, .* but <built-in function print> has none"),
        ({"on_alarm": "halt"}, "on_alarm must be 'log', 'stop', 'rollback' or a function of the verdict, not 'halt'"),
        ({"on_alarm": lambda: None}, "on_alarm must be .* or a function of the verdict, not <function"),
        ({"patience": None}, "patience must be a whole number of at least 1, not None"),
        ({"samples": None}, "samples must be a whole number of at least 20, not None"),
        ({"sampler": lambda: None}, "sampler must be a function of n, as lambda n"),
        ({"critic": 3}, "critic must be a network or a function of a batch that gives scores, not 3"),
        ({"optimisers": torch.optim.SGD}, "optimisers must have a state_dict each, .*SGD'> has none"),
        ({"device": None}, "There is no device None; choose auto, cpu or cuda"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
    ],
)
def test_choices_that_cannot_be_are_refused_before_anything_is_prepared(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CollapseMonitor(None, **choices)


def test_misuse_of_update_is_told(reference: Reference) -> None:
    with pytest.raises(UserError, match="one of the two"):
        CollapseMonitor(reference).update(step=0)
    with pytest.raises(UserError, match="one of the two"):
        watched(reference, Blobs()).update(step=0, fake=torch.zeros(30, 2))
    with pytest.raises(UserError, match=r"step must be a whole number of at least 0, not 1\.5"):
        watched(reference, Blobs()).update(step=1.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="sampler= gave 3 samples when asked for 300"):
        watched(reference, lambda n: torch.zeros(3, 2)).update(step=0)
    with pytest.raises(UserError, match="3 features a row and the reference 2"):
        CollapseMonitor(reference).update(fake=torch.zeros(30, 3), step=0)
    monitor = CollapseMonitor(reference)
    monitor.update(fake=Blobs()(30), step=0)
    with pytest.raises(UserError, match="fake must be an array or a tensor"):
        monitor.update(fake="points", step=1)  # also between looks
    with pytest.raises(UserError, match="prepared already; give labels, features and cells to what prepared it"):
        CollapseMonitor(reference, cells=4)
    with pytest.raises(UserError, match="critic= needs real rows"):
        CollapseMonitor(
            make_reference(list(np.random.default_rng(0).integers(0, 255, (60, 4, 4), dtype=np.uint8)),
                           features="pixels", cells=2, cache=False),
            critic=nn.Linear(2, 1),
        )  # fmt: skip


def test_a_sampler_that_gives_one_mode_after_the_other_loses_nothing(reference: Reference) -> None:
    def in_order(n: int) -> Tensor:
        x, labels = points(n, 7)
        return x[labels.argsort()]

    monitor = CollapseMonitor(reference, sampler=in_order, every=100, samples=900)
    found = {sign.name: sign for sign in monitor.update(step=0).evidence}
    assert {"coverage", "recall", "diversity"} <= set(found)
    assert not any(sign.loss for sign in found.values())
