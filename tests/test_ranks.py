"""Which process this is: what torchrun sets, what is missing, and who has which GPU."""

from __future__ import annotations

import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.ranks import SET_BY_TORCHRUN, Ranks, ranks_of_environment, said_by


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SET_BY_TORCHRUN:
        monkeypatch.delenv(name, raising=False)


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_a_process_is_alone_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks_of_environment() == Ranks(rank=0, size=1, local=0)
    assert ranks_of_environment().leads
    environment(monkeypatch, RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="here")
    assert ranks_of_environment() == Ranks()
    assert said_by() == ""


def test_what_torchrun_sets_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", MASTER_ADDR="there")
    assert ranks_of_environment() == Ranks(rank=5, size=8, local=1)
    assert not ranks_of_environment().leads
    assert said_by() == "rank 5: "
    environment(monkeypatch, RANK="0", LOCAL_RANK="0")
    assert ranks_of_environment().leads
    assert said_by() == ""


@pytest.mark.parametrize(
    "values",
    [
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "0"},
        {"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "here"},
        {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "here"},
        {"WORLD_SIZE": "2", "RANK": "-1", "MASTER_ADDR": "here"},
        {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "x", "MASTER_ADDR": "here"},
        {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "-1", "MASTER_ADDR": "here"},
    ],
)
def test_half_of_it_or_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    environment(monkeypatch, **values)
    with pytest.raises(UserError, match=r"^The environment is not what torchrun sets \(RANK=.*\); start with torchrun"):
        ranks_of_environment()


def test_each_process_has_the_gpu_of_its_number_on_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert Ranks(rank=7, size=8, local=3).own(cuda) == torch.device("cuda", 3)
    assert Ranks(rank=7, size=8, local=3).own(cpu) == cpu
    assert Ranks().own(torch.device("cuda", 2)) == torch.device("cuda", 2)
    with pytest.raises(UserError, match="LOCAL_RANK is 4, and this machine has 4 GPUs; start one process a GPU"):
        Ranks(rank=4, size=8, local=4).own(cuda)
