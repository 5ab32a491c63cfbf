"""Networks of the user's own against a loop in plain torch and the project's own networks; and what is refused."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.networks.owned import (
    Autoencoder,
    CodeScorer,
    Describer,
    LabelledMaker,
    LabelledScorer,
    Maker,
    Normed,
    Reversible,
    Scorer,
)
from torch import Tensor, nn
from torch.nn.functional import softplus

from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import METHODS
from uncollapse.networks import own as module
from uncollapse.networks.mlp import MLP
from uncollapse.networks.own import Own, another
from uncollapse.networks.sources import Pair
from uncollapse.parts.scene import Sizes
from uncollapse.plugins import permit_networks
from uncollapse.spec import RunSpec, make_spec
from uncollapse.trees import flatten


@pytest.fixture(autouse=True)
def _nothing_permitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_PERMITTED", [])
    before = list(sys.path)
    yield
    sys.path[:] = before
    sys.modules.pop("nets_of_mine", None)


def spec(
    method: str | Method, generator: Any = Maker, critic: Any = Scorer, *, task: str = "ring-8", **options: Any
) -> RunSpec:
    given = {"seeds": (3, 5), "updates": 10, "batch": 12, **options}
    return make_spec(method, task, own=Pair.of(generator, critic), **given)


# --- what is trained ------------------------------------------------------------------------------------------------


def plain_update(method: str, batch: Any, generator: nn.Module, critic: nn.Module) -> tuple[Tensor, Tensor]:
    """Losses of critic and generator, as a textbook writes them."""
    fake = generator(batch.latent[0])
    if method == "vanilla":
        scores = critic(fake).squeeze(-1)
        real = None if batch.real is None else critic(batch.real[0]).squeeze(-1)
        loss = softplus(scores).mean() + (0 if real is None else softplus(-real).mean())
        return loss, softplus(-scores).mean()
    if batch.real is None:
        return torch.zeros(()), -critic(fake).mean()
    between = batch.noise["penalties.0.between"][0].unsqueeze(-1)
    points = (between * batch.real[0] + (1 - between) * fake).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    penalty = (slopes.norm(dim=1) - 1).square().mean()
    return critic(fake).mean() - critic(batch.real[0]).mean() + 10 * penalty, -critic(fake).mean()


@pytest.mark.parametrize(("method", "rounds"), [("vanilla", 3), ("wgan-gp", 2)])
def test_losses_and_weights_are_those_of_a_plain_loop_on_the_same_batches(method: str, rounds: int) -> None:
    one = spec(method, seeds=(3,), dtype="float64")
    sizes = one.networks.fitted_to[1]  # type: ignore[attr-defined]
    trainer, dynamics = Trainer(one), one.method.dynamics
    networks = {"generator": Maker(sizes).double(), "critic": Scorer(sizes).double()}
    for name, network in networks.items():
        start = getattr(trainer.lanes.state, name).parameters[0]
        nn.utils.vector_to_parameters(start.clone(), network.parameters())
    generator, critic = networks["generator"], networks["critic"]
    adams = {
        name: torch.optim.Adam(network.parameters(), lr=getattr(dynamics, f"lr_{name}"), betas=dynamics.betas)
        for name, network in networks.items()
    }
    steps = dynamics.critic_steps
    for turn in range(rounds):
        trainer.advance((turn + 1) * steps)
        for step in range(steps):
            loss, _ = plain_update(method, trainer_batch(one, "critic", turn * steps + step), generator, critic)
            adams["critic"].zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adams["critic"].step()
        _, asked = plain_update(method, trainer_batch(one, "generator", turn), generator, critic)
        adams["generator"].zero_grad()
        asked.backward()  # type: ignore[no-untyped-call]
        adams["generator"].step()
        losses = trainer.losses()
        assert losses["critic"][0] == pytest.approx(loss.item(), abs=1e-10)
        assert losses["generator"][0] == pytest.approx(asked.item(), abs=1e-10)
    for name, network in networks.items():
        flat = nn.utils.parameters_to_vector(network.parameters()).detach()
        torch.testing.assert_close(getattr(trainer.lanes.state, name).parameters[0], flat, rtol=0, atol=1e-10)


def trainer_batch(one: RunSpec, role: str, update: int) -> Any:
    """The numbers that were drawn for an update, from a trainer that plays nothing."""
    trainer = Trainer(one)
    return (trainer.critic_blocks if role == "critic" else trainer.generator_blocks).batch(update)


class Sequence(nn.Sequential):
    """Linear layers with ReLU between, as the project's own fully connected networks."""

    def __init__(self, *widths: int) -> None:
        made: list[nn.Module] = [nn.Flatten()]
        for one, other in itertools.pairwise(widths):
            made += [nn.Linear(one, other), nn.ReLU()]
        super().__init__(*made[:-1])


@pytest.mark.parametrize("method", ["vanilla", "wgan-gp", "pacgan-2", "r3gan", "sngan", "d2gan", "unrolled-5"])
def test_the_same_layers_train_to_the_same_bits_as_the_projects_own(method: str) -> None:
    def generator(sizes: Sizes) -> nn.Module:
        return Sequence(sizes.latent, 8, 8, sizes.data)

    def critic(sizes: Sizes) -> nn.Module:
        return Sequence(sizes.group * sizes.data, 8, 8, 1)

    networks = MLP(width=8, depth=2, latent=3)
    options: dict[str, Any] = {"seeds": (3,), "updates": 10, "batch": 12}
    built_in = Trainer(make_spec(method, "digits", networks=networks, **options))
    mine = Trainer(make_spec(method, "digits", networks=networks, own=Pair.of(generator, critic), **options))
    for trainer in (built_in, mine):
        trainer.advance(10)
    assert mine.losses() == built_in.losses()
    for role in ("generator", "critic"):
        ours, theirs = (getattr(one.lanes.state, role).parameters for one in (built_in, mine))
        assert torch.equal(ours, theirs)


PLAYED: list[tuple[str, Any, Any]] = [
    ("vanilla", Maker, Scorer),
    ("wgan-gp", Maker, Scorer),
    ("pacgan-2", Maker, Scorer),
    ("r3gan", Maker, Scorer),
    ("d2gan", Maker, Scorer),
    ("began", Maker, Autoencoder),
    ("ebgan-pt", Maker, Autoencoder),
    ("minibatch-discrimination", Maker, Describer),
    ("minibatch-stddev", Maker, Describer),
    ("gdpp", Maker, Describer),
    ("cgan", LabelledMaker, LabelledScorer),
    ("cwgan-gp", LabelledMaker, LabelledScorer),
    ("projection", LabelledMaker, Describer),
    ("ac-gan", LabelledMaker, Describer),
    ("veegan", Reversible, CodeScorer),
    ("mgan-4", None, Describer),
    ("mad-gan-4", None, Describer),
    ("vanilla", Maker, Normed),
    ("vanilla", None, Scorer),
    ("wgan-gp", Maker, None),
]


@pytest.mark.parametrize("task", ["ring-8", "digits"])
@pytest.mark.parametrize(("method", "generator", "critic"), PLAYED)
def test_every_kind_of_method_trains(method: str, generator: Any, critic: Any, task: str) -> None:
    trainer = Trainer(spec(method, generator, critic, task=task))
    start = {role: getattr(trainer.lanes.state, role).parameters.clone() for role in ("generator", "critic")}
    steps = trainer.method.dynamics.critic_steps
    trainer.advance(3 * steps)
    assert trainer.diverged() == {}
    for role, before in start.items():
        after = getattr(trainer.lanes.state, role).parameters
        assert not torch.equal(before[0], before[1])  # seeds differ from the start
        assert not torch.equal(before, after)
    samples = trainer.samples(6)
    assert samples.shape == (2, 6, *trainer.spec.task.shape)
    assert samples.isfinite().all()
    again = Trainer(spec(method, generator, critic, task=task))
    again.advance(3 * steps)
    for path, value in flatten(again.lanes).items():
        assert torch.equal(value, flatten(trainer.lanes)[path]), path


class FrozenWayBack(Reversible):
    """Its first layer on the way back stays as it was drawn."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        for parameter in self.back[0].parameters():
            parameter.requires_grad_(False)


def test_a_seed_keeps_the_weights_that_were_frozen_on_its_own_way_back() -> None:
    alone, among = (Trainer(spec("veegan", FrozenWayBack, CodeScorer, seeds=seeds)) for seeds in ((5,), (3, 5)))
    for trainer in (alone, among):
        trainer.advance(10)
    for role in ("generator", "critic"):
        ours, theirs = (getattr(one.lanes.state, role).parameters for one in (alone, among))
        torch.testing.assert_close(ours[0], theirs[1], rtol=1e-5, atol=1e-6)


def test_packs_of_labelled_samples_come_with_a_label_for_each() -> None:
    trainer = Trainer(spec(METHODS["pacgan-2"].but(conditioning=METHODS["cgan"].conditioning), LabelledMaker,
                           LabelledScorer))  # fmt: skip
    trainer.advance(2)
    assert trainer.diverged() == {}


def test_an_instance_gives_every_seed_its_weights_and_stays_as_it_is() -> None:
    torch.manual_seed(1)
    generator = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    kept = nn.utils.parameters_to_vector(generator.parameters()).detach().clone()
    trainer = Trainer(spec("vanilla", generator, Scorer))
    assert torch.equal(trainer.lanes.state.generator.parameters, kept.expand(2, -1))
    assert not torch.equal(*trainer.lanes.state.critic.parameters)
    trainer.advance(4)
    assert not torch.equal(trainer.lanes.state.generator.parameters[0], kept)
    assert torch.equal(nn.utils.parameters_to_vector(generator.parameters()), kept)


def test_weights_that_are_not_to_be_trained_stay() -> None:
    generator = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    generator[0].weight.requires_grad_(False)
    trainer = Trainer(spec("vanilla", generator, Scorer))
    trainer.advance(4)
    state = trainer.lanes.state.generator
    assert state.parameters.shape == (2, 4 + 4 * 2 + 2)
    assert torch.equal(state.buffers["network.0.weight"], generator[0].weight.expand(2, -1, -1))


def test_lazy_layers_get_their_shapes_and_the_seed_their_weights() -> None:
    def generator() -> nn.Module:
        return nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(2))

    def critic() -> nn.Module:
        return nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(1))

    trainer = Trainer(spec("wgan-gp", generator, critic))
    assert trainer.parameter_counts() == {"generator": 2 * 6 + 6 + 6 * 2 + 2, "critic": 2 * 6 + 6 + 6 + 1}
    assert not torch.equal(*trainer.lanes.state.critic.parameters)
    trainer.advance(5)
    assert trainer.diverged() == {}


def test_batch_norm_judges_real_and_fake_apart_and_its_statistics_are_state() -> None:
    trainer = Trainer(spec("vanilla", Maker, Normed))
    assert trainer.game.critic.mixes is True
    trainer.advance(3)
    # Real and fake are two passes of a critic update; the generator's updates leave the critic's buffers alone.
    assert trainer.lanes.state.critic.buffers["network.net.2.num_batches_tracked"].tolist() == [6, 6]
    assert Trainer(spec("vanilla")).game.critic.mixes is False


# --- the spec -------------------------------------------------------------------------------------------------------


def test_the_spec_names_and_digests_the_networks_and_comes_back_with_them() -> None:
    one = spec("wgan-gp", networks=MLP(latent=7))
    document = one.to_json()["networks"]
    assert document | {"sha256": None, "aspects": None} == {
        "family": "own", "latent": 7, "generator": "tests.networks.owned:Maker",
        "critic": "tests.networks.owned:Scorer", "reference": None, "sha256": None,
        "aspects": None,
    }  # fmt: skip
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in document["sha256"].values())
    assert document["aspects"].keys() == {"generator", "critic"}
    assert document["aspects"]["critic"].keys() == {"layers", "shapes", "code"}
    back = RunSpec.from_json(one.to_json(), own=Pair.of(Maker, Scorer))
    assert back == one
    old = {**one.to_json(), "networks": {name: item for name, item in document.items() if name != "aspects"}}
    assert RunSpec.from_json(old, own=Pair.of(Maker, Scorer)).hash == old["hash"]
    assert back.hash == one.hash


def test_what_the_user_leaves_out_comes_from_the_tasks_networks_and_their_settings() -> None:
    one = spec("vanilla", None, Scorer, settings={"networks.width": 5, "networks.latent": 4})
    assert one.networks.other == MLP(width=5, latent=4)  # type: ignore[attr-defined]
    assert one.networks.to_json()["generator"] is None
    assert one.networks.settings() == {"latent": 4}
    assert one.hash != spec("vanilla", None, Scorer, settings={"networks.width": 6, "networks.latent": 4}).hash
    assert RunSpec.from_json(one.to_json(), own=Pair.of(None, Scorer)) == one
    with pytest.raises(UserError, match=r"^networks\.width changes nothing, because both networks are your own; only"):
        spec("vanilla", settings={"networks.width": 5})


def test_the_hash_follows_the_networks_and_not_where_they_live() -> None:
    class Other(Maker):
        def forward(self, latent: Tensor) -> Tensor:
            return 2 * super().forward(latent)

    def elsewhere(sizes: Sizes) -> nn.Module:
        return Maker(sizes)

    one = spec("vanilla")
    assert spec("vanilla", elsewhere).hash == one.hash
    assert spec("vanilla", Other).hash != one.hash
    assert spec("vanilla", seeds=(3,), networks=MLP(latent=3)).hash != spec("vanilla", seeds=(3,)).hash


NETS = """
import torch
from tests.networks.owned import LabelledMaker, LabelledScorer, Maker, Scorer

PAIR = (Maker, Scorer)
HALF = [None, Scorer]
NOTHING = (None, None)
THREE = (Maker, Scorer, Scorer)
NUMBER = 3


def pair(sizes):
    return Maker(sizes), Scorer(sizes)


def classes():
    return Maker, Scorer


def half():
    return None, Scorer


def nothing():
    return None, None


def one():
    return torch.nn.Linear(2, 2)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets_of_mine.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nets")
def test_a_reference_may_be_a_tuple_or_a_function_of_networks_or_of_classes() -> None:
    options: dict[str, Any] = {"seeds": (3,), "updates": 10, "batch": 12}
    made = {
        name: make_spec("vanilla", "ring-8", own=Pair.named(f"nets_of_mine:{name}"), **options)
        for name in ("PAIR", "pair", "classes")
    }
    assert len({one.hash for one in made.values()} | {spec("vanilla", seeds=(3,)).hash}) == 1
    for name in ("HALF", "half"):
        half = make_spec("vanilla", "ring-8", own=Pair.named(f"nets_of_mine:{name}"), **options)
        assert half.hash == spec("vanilla", None, Scorer, seeds=(3,)).hash
    ours, theirs = Trainer(made["pair"]), Trainer(spec("vanilla", seeds=(3,)))
    assert torch.equal(ours.lanes.state.generator.parameters, theirs.lanes.state.generator.parameters)


@pytest.mark.usefixtures("nets")
def test_the_command_names_the_reference_and_works() -> None:
    one = make_spec("wgan-gp", "ring-8", seeds=(3,), own=Pair.named("nets_of_mine:half"),
                    settings={"networks.width": 9, "penalties.0.weight": 0.5})  # fmt: skip
    command = one.command()
    assert " --networks nets_of_mine:half " in command
    assert "--set networks.width=9" in command
    assert "--set penalties.0.weight=0.5" in command
    assert spec("wgan-gp").command() == ""  # which needs Python
    full = make_spec("wgan-gp", "ring-8", own=Pair.named("nets_of_mine:pair"), settings={"networks.latent": 6})
    assert full.command().endswith("--networks nets_of_mine:pair --set networks.latent=6")


@pytest.mark.usefixtures("nets")
def test_nothing_is_imported_because_a_spec_asks_for_it() -> None:
    one = make_spec("vanilla", "ring-8", seeds=(3,), own=Pair.named("nets_of_mine:pair"))
    document = one.to_json()
    sys.modules.pop("nets_of_mine")
    sentence = (
        "This run's networks come from 'nets_of_mine:pair', which is not built in; repeat the command with"
        " `--networks nets_of_mine:pair` (or `generator=..., critic=...` in Python) if you trust that code."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        RunSpec.from_json(document)
    assert "nets_of_mine" not in sys.modules
    permit_networks(None)
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        RunSpec.from_json(document)
    permit_networks("nets_of_mine:PAIR")
    assert RunSpec.from_json(document) == one


def test_networks_given_in_python_must_be_given_again() -> None:
    document = spec("vanilla", lambda sizes: Maker(sizes), None).to_json()
    with pytest.raises(UserError, match=r"^This run's generator \(tests\.networks\.test_own:\S+<lambda>\) ") as caught:
        RunSpec.from_json(document)
    assert str(caught.value).endswith(
        "was given in Python, and a run directory holds no code; open it with uc.load(directory, generator=...), or"
        " with `--networks module:factory` that returns them."
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((Maker, Normed), "Your critic (tests.networks.owned:Normed) is not the critic of this run (other"
         " layers, shapes and code); restore it, or train yours in a directory of its own."),
        ((None, Scorer), "This run was trained with a generator of your own too; give it beside the other."),
    ],
)  # fmt: skip
def test_other_networks_than_those_of_the_run_are_refused(given: tuple[Any, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        RunSpec.from_json(spec("vanilla").to_json(), own=Pair.of(*given))


def test_networks_beside_those_of_the_project_are_refused() -> None:
    half, built_in = spec("vanilla", None, Scorer).to_json(), make_spec("vanilla", "ring-8").to_json()
    with pytest.raises(UserError, match=r"^The generator of this run is the project's own; leave yours out\.$"):
        RunSpec.from_json(half, own=Pair.of(Maker, Scorer))
    with pytest.raises(UserError, match=r"^This run was trained with the project's own networks; leave yours out\.$"):
        RunSpec.from_json(built_in, own=Pair.of(Maker, Scorer))


def test_an_instance_with_other_weights_is_refused() -> None:
    generator = nn.Linear(2, 2)
    document = spec("vanilla", generator).to_json()
    assert RunSpec.from_json(document, own=Pair.of(generator, Scorer)).to_json() == document
    with torch.no_grad():
        generator.weight[0, 0] += 1e-6
    sentence = (
        "Your generator (torch.nn.modules.linear:Linear) is not the generator of this run (other starting weights);"
        " restore it, or train yours in a directory of its own."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        RunSpec.from_json(document, own=Pair.of(generator, Scorer))


@pytest.mark.parametrize("digests", [None, {}, {"judge": "0"}, 3])
def test_an_edited_spec_is_refused(digests: Any) -> None:
    document = spec("vanilla").to_json()
    document["networks"] = {**document["networks"], "sha256": digests}
    with pytest.raises(UserError, match=r"^This spec does not say which networks are the user's own; it was edited\.$"):
        RunSpec.from_json(document, own=Pair.of(Maker, Scorer))


def test_control_characters_of_a_spec_do_not_reach_the_terminal() -> None:
    document = spec("vanilla").to_json()
    document["networks"] = {**document["networks"], "generator": "a\x1b[31mb", "reference": "os:system('x')\x1b[0m"}
    with pytest.raises(UserError, match=r"^This run's generator and critic \(a\[31mb and tests\.") as caught:
        RunSpec.from_json(document)
    assert "\x1b" not in str(caught.value)


def test_only_other_networks_are_told_from_another_run() -> None:
    one = spec("vanilla")
    assert another(spec("vanilla", Maker, Normed, updates=20).content(), one.content())
    assert not another(spec("lsgan").content(), one.content())
    assert not another(make_spec("vanilla", "ring-8").content(), one.content())
    assert not another({}, one.content())


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: spec("ensemble-4"), "ensemble-4 narrows the networks of its 4 members until all together have the"
         " parameters of one, and yours cannot be narrowed; choose another method, or leave yours out."),
        (lambda: spec("ensemble-4", None, Scorer), "ensemble-4 narrows the networks"),
        (lambda: spec("mgan-4", Maker, Describer), "mgan-4 builds 4 generators that share layers (Mixture), and your"
         " generator (tests.networks.owned:Maker) plays alone; leave the generator out, or choose another method."),
        (lambda: spec("cgan"), "cgan calls forward(latent, labels), and that of your generator (tests.networks.owned:"
         "Maker) is forward(latent); change it, or choose a method without labels such as wgan-gp."),
        (lambda: spec("vanilla", settings={"networks.latent": 0}), "networks.latent = 0 is not a whole number"),
        (lambda: spec("vanilla", nn.Linear(2, 2).requires_grad_(False)), "Your generator (torch.nn.modules.linear:"
         "Linear) has no parameter to train; give one whose parameters have requires_grad = True."),
        (lambda: spec("vanilla", drawn_elsewhere()), "is another network when it is made again under the same seed;"
         " draw its weights with torch's own initialisers and no generator of your own."),
        (lambda: Own(latent=2).generator(METHODS["vanilla"], SIZES), "These networks lack a generator or a critic"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        make()
    assert "\n" not in str(caught.value)


SIZES = Sizes(shape=(2,), latent=2, batch=12)


def drawn_elsewhere() -> Callable[[], nn.Module]:
    numbers = torch.Generator().manual_seed(0)

    def make() -> nn.Module:
        made = nn.Linear(2, 2)
        made.weight.data.normal_(generator=numbers)
        return made

    return make


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing", "--networks nets_of_mine:nothing gives no network; return a generator, a critic or both."),
        ("one", "nets_of_mine:one must give a pair (generator, critic), with None for one that the task's own networks"
         " provide; it gives a Linear."),
    ],
)  # fmt: skip
def test_a_function_that_gives_no_pair_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        make_spec("vanilla", "ring-8", own=Pair.named(f"nets_of_mine:{name}"))


def test_a_trial_that_needs_the_whole_batch_gets_it() -> None:
    class Sixes(Scorer):
        def forward(self, samples: Tensor) -> Tensor:
            return super().forward(samples) + samples.flatten(1).reshape(-1, 6 * samples[0].numel()).mean()

    assert spec("vanilla", Maker, Sixes, batch=12).networks.fit.packs == 12  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"fails on inputs \[16, 2\]: RuntimeError"):
        spec("vanilla", Maker, Sixes, batch=16)


def test_another_batch_is_another_trial() -> None:
    one = spec("vanilla")
    more = replace(one, batch=24)
    assert more.networks.fitted_to[1].batch == 24  # type: ignore[attr-defined]
    assert replace(one, seeds=(7,)).networks is one.networks


@pytest.mark.long
def test_the_code_of_the_page_works(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "own-networks.md").read_text(encoding="utf-8")
    first, pair, judgement = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_networks.py").write_text(first.split("run = uc.train")[0] + pair)
    (tmp_path / "script.py").write_text(f"{first}\n{pair}\nscore = features = torch.zeros(1, 1)\n{judgement}")
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    sample = ["sample", "runs/own", "--n", "9", "--networks", "my_networks:pair", "--out", "digits.png"]
    for command in (["-W", "error", "script.py"], ["-m", "uncollapse", *sample]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "(10, 8, 8)\nTrue" in done.stdout or done.stdout == "digits.png\n"


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.population.members == 1])
def test_the_page_names_every_method_that_needs_more_than_a_score(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-networks.md").read_text(encoding="utf-8")
    table = page.split("## A critic that says more")[1].split("##")[0]
    method = METHODS[name]
    generator = None if method.population.count > 1 else LabelledMaker if method.labelled else Maker
    told = method.labelled and method.conditioning.context(torch.zeros(1), lambda: torch.zeros(1)) is not None
    if name in ("veegan", "diffaugment"):
        return
    try:
        spec(name, generator, LabelledScorer if told else Scorer)
    except UserError:
        assert f"`{name}`" in table
    else:
        assert f"`{name}`" not in table or name == "d2gan"
