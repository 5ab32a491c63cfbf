"""Orders to other machines: carried out as here, refused where they cannot travel, understood when they come back."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from tests.experiments.engines.small import content, job, never

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Outcome, perform
from uncollapse.experiments.engines.desk import Desk
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.engines.orders import Order, absolute, refuse_objects, understood


@pytest.mark.long
def test_an_order_that_travelled_trains_the_same(tmp_path: Path) -> None:
    with Desk.opened(tmp_path / "runs") as desk:
        one = job(tmp_path / "runs", "vanilla", 20)
        order: Order = pickle.loads(pickle.dumps(Order(one, desk, Limits(), 1, tmp_path)))
        assert order.stopped is None
        assert not desk.begun("vanilla")
        worker = order.worker()
        assert desk.begun("vanilla")
        assert order.carry_out(worker).status == "finished"
        desk.ask_to_stop()
        assert order.stopped == Outcome(name="vanilla", status="stopped")
    perform(job(tmp_path, "vanilla", 20), progress=lambda _: None, stop=never)
    assert content(tmp_path / "runs" / "vanilla") == content(tmp_path / "vanilla")


def test_directories_mean_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = absolute(job(Path("runs"), "vanilla", 20))
    assert one.directory == tmp_path.resolve() / "runs" / "vanilla"
    assert one.name == "vanilla"


def test_objects_are_refused_and_references_travel() -> None:
    refuse_objects([job(Path("runs"), "vanilla", 20, plugins=("mine:M",))], "ray")
    with pytest.raises(UserError, match=r"The engine ray trains on other machines, which cannot get a plugin"):
        refuse_objects([job(Path("runs"), "vanilla", 20, plugins=("mine:M", object()))], "ray")


def test_a_worker_that_stopped_unasked_did_not_see_the_desk(tmp_path: Path) -> None:
    desk, stopped = Desk(tmp_path / "runs" / ".engine-1"), Outcome(name="a", status="stopped")
    assert understood(stopped, desk, "ray", asked=True) is stopped
    found = understood(stopped, desk, "ray", asked=False)
    assert found.status == "failed"
    assert found.error.startswith(f"{tmp_path / 'runs'} is not shared with the machine that was to train it")
    for other in (Outcome(name="a", status="finished"), Outcome(name="a", status="failed", error="Why.")):
        assert understood(other, desk, "ray", asked=False) is other
