"""What ran, as the libraries themselves say it, and the choice of a device."""

from __future__ import annotations

import json
import os
import sys

import numpy
import pytest
import torch

import uncollapse
from uncollapse.errors import UserError
from uncollapse.versions import choose_device, versions


def test_versions_are_those_of_the_libraries() -> None:
    found = versions()
    assert list(found) == ["uncollapse", "torch", "numpy", "python", "system"]
    assert found["uncollapse"] == uncollapse.__version__
    assert found["torch"] == torch.__version__
    assert found["numpy"] == numpy.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["system"] == f"{os.uname().sysname} {os.uname().machine}"
    assert json.loads(json.dumps(found)) == found


def test_auto_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, kind in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto").type == kind
        assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda").type == "cuda"


@pytest.mark.parametrize("device", ["gpu", "", "cpu0"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(UserError, match=rf"^There is no device '{device}'; choose auto, cpu or cuda\.$"):
        choose_device(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "meta"])
def test_a_device_that_is_not_here_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=rf"^Device '{device}' is not available here; choose auto or cpu\.$"):
        choose_device(device)
