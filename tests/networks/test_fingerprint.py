"""Digests of networks: equal for equal networks, different for each change that changes what is computed."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from uncollapse.networks.fingerprint import aspects, changes, difference, fingerprint

CLASS = '''
from torch import nn

class Net(nn.Module):
    """{doc}"""

    def __init__(self):
        super().__init__()
        self.layer, self.slope = nn.Linear(2, 3), {slope}

    def forward(self, x):  # {comment}
        """What it does."""
        return self.layer(x){end}
'''


def net(folder: Path, name: str, **texts: object) -> nn.Module:
    values = {"doc": "A net.", "slope": 0.2, "comment": "a comment", "end": ".relu()", **texts}
    path = folder / f"{name}.py"
    path.write_text(CLASS.format(**values))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import sys

    sys.modules[name] = module  # where `inspect` looks for the source
    try:
        made: nn.Module = module.Net()
        fingerprint(made, weights=False)
    finally:
        del sys.modules[name]
    return made


def test_code_settings_and_shapes_count_but_not_comments_names_of_files_or_weights(tmp_path: Path) -> None:
    one = fingerprint(net(tmp_path, "net_a"), weights=False)
    assert fingerprint(net(tmp_path, "net_b", doc="Another text.", comment="other"), weights=False) == one
    others = [
        fingerprint(net(tmp_path, "net_c", end=".tanh()"), weights=False),
        fingerprint(net(tmp_path, "net_d", slope=0.3), weights=False),
    ]
    assert len({one, *others}) == 3


def stack(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def test_no_two_different_networks_share_a_digest() -> None:
    networks = [
        stack(nn.Linear(2, 3)),
        stack(nn.Linear(2, 4)),
        stack(nn.Linear(2, 3, bias=False)),
        stack(nn.Linear(2, 3), nn.ReLU()),
        stack(nn.Linear(2, 3), nn.LeakyReLU()),
        stack(nn.Linear(2, 3), nn.LeakyReLU(0.3)),
        stack(nn.Linear(2, 3), nn.BatchNorm1d(3)),
        stack(nn.Linear(2, 3), nn.BatchNorm1d(3, momentum=0.2)),
        stack(nn.Linear(2, 3).requires_grad_(False)),
        nn.Linear(2, 3),
    ]
    for one, other in itertools.combinations(networks, 2):
        assert fingerprint(one, weights=False) != fingerprint(other, weights=False)
    for network in networks:
        assert fingerprint(network, weights=False) == fingerprint(network, weights=False)


def test_weights_count_where_they_are_asked_for() -> None:
    one, other = nn.Linear(2, 3), nn.Linear(2, 3)
    assert fingerprint(one, weights=False) == fingerprint(other, weights=False)
    assert fingerprint(one, weights=True) != fingerprint(other, weights=True)
    other.load_state_dict(one.state_dict())
    assert fingerprint(one, weights=True) == fingerprint(other, weights=True)
    with torch.no_grad():
        other.bias[0] = torch.nextafter(other.bias[0], torch.tensor(9.0))
    assert fingerprint(one, weights=True) != fingerprint(other, weights=True)


def test_numbers_of_any_kind_and_extra_state_are_weights() -> None:
    class Stateful(nn.Module):
        def __init__(self, extra: int) -> None:
            super().__init__()
            self.register_buffer("steps", torch.tensor(3))
            self.short = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
            self.extra = [extra]

        def get_extra_state(self) -> object:
            return self.extra

        def forward(self, x: Tensor) -> Tensor:
            return x

    assert fingerprint(Stateful(1), weights=True) == fingerprint(Stateful(1), weights=True)
    one, other = Stateful(1), Stateful(1)
    other.extra.append(nn.ReLU())  # which is no plain setting any more
    one.extra.append(nn.Tanh())
    assert fingerprint(one, weights=False) == fingerprint(other, weights=False)
    assert fingerprint(one, weights=True) != fingerprint(other, weights=True)


def test_addresses_in_descriptions_do_not_count() -> None:
    class Applied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.function = lambda x: x
            self.layer = nn.Linear(2, 2)

    assert fingerprint(Applied(), weights=False) == fingerprint(Applied(), weights=False)


def test_what_differs_is_named(tmp_path: Path) -> None:
    one = aspects(net(tmp_path, "net_e"), weights=True)
    code = aspects(net(tmp_path, "net_f", end=".tanh()"), weights=False)
    torch.manual_seed(3)
    weights = aspects(net(tmp_path, "net_g"), weights=True)
    assert difference(one, one | code) == "code"
    assert difference(one, weights) == "starting weights"
    assert difference(aspects(nn.Linear(2, 3), weights=False), aspects(nn.Linear(2, 4), weights=False)) == (
        "layers and shapes"
    )


def test_changes_are_named_by_role_and_unknown_where_an_earlier_version_wrote() -> None:
    def spec(**digests: str) -> dict[str, object]:
        told = {role: {"layers": "a", "code": digest} for role, digest in digests.items()}
        return {"networks": {"sha256": digests, "aspects": told}}

    assert changes(spec(generator="a", critic="b"), spec(generator="c", critic="b")) == "other code of the generator"
    both = "other code of the generator; other code of the critic"
    assert changes(spec(generator="a", critic="b"), spec(generator="c", critic="d")) == both
    old = {"networks": {"sha256": {"critic": "a"}}}
    assert changes(old, spec(critic="b")) == "other layers, shapes, code or starting weights of the critic"
