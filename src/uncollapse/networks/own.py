"""Networks of the user's own: `uc.train(..., generator=, critic=)` and ``--networks module:factory``.

Code is imported only because the user named or passed it; a spec holds no more than a name and a digest of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from uncollapse.errors import UserError
from uncollapse.networks import networks_from_json
from uncollapse.networks.adapters import Fit, OwnCritic, OwnGenerator
from uncollapse.networks.fingerprint import aspects, difference, fingerprint, told_aspects
from uncollapse.networks.fitting import (
    critic_inputs,
    fit_critic,
    fit_generator,
    generator_inputs,
    small_batch,
    within,
)
from uncollapse.networks.network import Networks, whole_number
from uncollapse.networks.rehearsal import rehearse
from uncollapse.networks.sources import ROLES, Pair, Role, Source, drawing
from uncollapse.parts.scene import Law, Sizes
from uncollapse.plugins import REFERENCE
from uncollapse.text import clean

if TYPE_CHECKING:
    from uncollapse.method import Method

# What a spec says beside the digests: where networks live, and of what the digests are made.
PLACES = ("generator", "critic", "reference", "aspects")


@dataclass(frozen=True, kw_only=True)
class Own(Networks):
    """A pair of which at least one is the user's own.

    Attributes:
        generator_source: Where the generator comes from; None where `other` builds it.
        critic_source: Likewise.
        other: The networks that build what the user did not give.
        reference: ``module:factory``; empty for objects of Python.
        generator_sha256: Digest of the generator; empty before `settled`, or where `other` builds it.
        critic_sha256: Likewise.
        aspects: Role -> digests of its layers, shapes, code and starting weights, to say what has changed.
        fit: What a trial found of the critic.
        fitted_to: The method and sizes of the trial.
    """

    family: ClassVar[str] = "own"

    generator_source: Source | None = field(default=None, compare=False)
    critic_source: Source | None = field(default=None, compare=False)
    other: Networks | None = None
    reference: str = field(default="", compare=False)
    generator_sha256: str = ""
    critic_sha256: str = ""
    aspects: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False)
    fit: Fit | None = field(default=None, compare=False)
    fitted_to: tuple[Method, Sizes] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Refuses a latent without numbers."""
        whole_number(self.latent, "latent", 1)

    @property
    def latent_law(self) -> Law:
        """That of the networks which build the generator; standard normal for the user's."""
        return "normal" if self.generator_source or self.other is None else self.other.latent_law

    def sources(self) -> Iterator[Source]:
        """Where the user's networks come from."""
        yield from (source for source in (self.generator_source, self.critic_source) if source is not None)

    def usual(self, networks: Networks) -> Networks:
        """The project's networks in whose place these stand; by default a task's own with this latent."""
        return self.other or replace(networks, latent=self.latent)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON; `read` needs the networks beside it."""
        digests = {source.role: getattr(self, f"{source.role}_sha256") for source in self.sources()}
        places: dict[str, str | None] = {role: None for role in ROLES}  # noqa: C420 - of this type
        places.update({source.role: source.place for source in self.sources()})
        other = {} if self.other is None else {"other": self.other.to_json()}
        rest: dict[str, Any] = {"reference": self.reference or None, "sha256": digests}
        rest["aspects"] = {role: dict(self.aspects.get(role, {})) for role in digests}
        return {"family": self.family, "latent": self.latent, **places, **rest, **other}

    def settings(self) -> dict[str, Any]:
        """The latent; everything else is the user's."""
        return {"latent": self.latent}

    def check(self, method: Method, sizes: Sizes) -> None:
        """Refuses networks that do not fit, as `settled`."""
        self.settled(method, sizes)

    def settled(self, method: Method, sizes: Sizes) -> Own:
        """These networks with their digests, after a trial of a small batch on the CPU.

        Raises:
            UserError: They do not fit the method or the task, or are not those of the run that they were read from.
        """
        if self.fitted_to == (method, sizes):
            return self
        self._check_population(method)
        if self.other is not None:
            self.other.check(method, sizes)
        small = small_batch(method, sizes)
        try:
            return self._tried(method, sizes, small)
        except UserError:
            # Layers that compare samples may need the groups of the whole batch.
            if small == sizes.packs:
                raise
        return self._tried(method, sizes, sizes.packs)

    def _check_population(self, method: Method) -> None:
        population = type(method.population).__name__
        if method.population.members > 1:
            raise UserError(
                f"{method.name} narrows the networks of its {method.population.members} members until all together have"
                " the parameters of one, and yours cannot be narrowed; choose another method, or leave yours out."
            )
        if method.population.count > 1 and self.generator_source is not None:
            raise UserError(
                f"{method.name} builds {method.population.count} generators that share layers ({population}), and"
                f" {within(self.generator_source.said)} plays alone; leave the generator out, or choose another method."
            )

    def _tried(self, method: Method, sizes: Sizes, packs: int) -> Own:
        """`settled` with so many items in the trial."""
        small = replace(sizes, batch=packs * sizes.group)
        with drawing():
            networks = {source.role: self._known(source, method, sizes, small) for source in self.sources()}
        digests = {f"{role}_sha256": digest for role, (_, digest, _) in networks.items()}
        made_of = {role: parts for role, (_, _, parts) in networks.items()}
        fit = None
        if self.generator_source is not None:
            fit_generator(networks["generator"][0], method, small, self.generator_source.said)
        if self.critic_source is not None:
            fit = fit_critic(networks["critic"][0], method, small, self.critic_source.said)
        settled = replace(self, **digests, aspects=made_of, fit=fit, fitted_to=(method, sizes))  # type: ignore[arg-type]
        with drawing():
            pair = settled.generator(method, sizes).float(), settled.critic(method, sizes).float()
        rehearse(method, small, *pair)
        return settled

    def _known(
        self, source: Source, method: Method, sizes: Sizes, small: Sizes
    ) -> tuple[nn.Module, str, dict[str, str]]:
        """A user's network, its digest and those of its aspects.

        Raises:
            UserError: It is drawn from anything but torch's global generator, or is not the one of the run.
        """
        inputs = _inputs(source.role, method, small)
        found, networks = [], []
        for _ in range(2):
            torch.default_generator.manual_seed(0)
            found.append(source.found(sizes))
            networks.append(source.ready(found[-1], inputs).float())
        network, same = networks[0], found[0] is found[1]
        if len({fingerprint(made, weights=True) for made in networks}) > 1:
            raise UserError(
                f"{source.said} is another network when it is made again under the same seed; draw its weights with"
                " torch's own initialisers and no generator of your own."
            )
        digest, parts = fingerprint(network, weights=same), aspects(network, weights=same)
        expected = getattr(self, f"{source.role}_sha256")
        if expected and self.fitted_to is None and digest != expected:
            changed = difference(self.aspects.get(source.role, {}), parts)
            raise UserError(
                f"{source.said} is not the {source.role} of this run (other {changed}); restore it, or train yours in"
                " a directory of its own."
            )
        return network, digest, parts

    def generator(self, method: Method, sizes: Sizes) -> nn.Module:
        """The generator of one run, drawn from torch's global generator."""
        if self.generator_source is None:
            return self._others().generator(method, sizes)
        return OwnGenerator(self.generator_source.made(sizes, generator_inputs(method, self._small(sizes))), sizes)

    def critic(self, method: Method, sizes: Sizes) -> nn.Module:
        """The critic of one run, drawn from torch's global generator; a second one where the method reads its score."""
        if self.critic_source is None:
            return self._others().critic(method, sizes)
        fit = self.fit or self.settled(method, sizes).fit
        assert fit is not None
        inputs = critic_inputs(method, replace(sizes, batch=fit.packs * sizes.group))
        network = self.critic_source.made(sizes, inputs)
        two = "second_score" in method.heads(sizes) and "second_score" not in fit.gives
        second = self.critic_source.made(sizes, inputs) if two else None
        return OwnCritic(network, method, sizes, fit, second=second)

    def _small(self, sizes: Sizes) -> Sizes:
        return replace(sizes, batch=min(sizes.batch, 4 * sizes.group))

    def _others(self) -> Networks:
        if self.other is None:
            raise UserError("These networks lack a generator or a critic; give both, or the networks that provide one.")
        return self.other


def beside(pair: Pair, usual: Networks, sizes: Sizes) -> Own:
    """A pair with the latent of a task's usual networks, which provide what it lacks.

    Raises:
        UserError: A function of the user's cannot be called.
    """
    with drawing():
        own = [source for role in ROLES if (source := pair.source(role)) and source.found(sizes) is not None]
    if not own:
        raise UserError(f"--networks {pair.reference} gives no network; return a generator, a critic or both.")
    sources = {f"{source.role}_source": source for source in own}
    other = usual if len(own) < len(ROLES) else None
    return Own(latent=usual.latent, other=other, reference=pair.reference, **sources)  # type: ignore[arg-type]


_PERMITTED: list[Pair] = []


def permit(reference: str) -> None:
    """Lets specs that need networks of the user's be read in this process: the user named where they are.

    Raises:
        UserError: They cannot be imported, or are no pair.
    """
    _PERMITTED.append(Pair.named(reference))


def read(settings: Mapping[str, Any], pair: Pair | None = None) -> Own:
    """The networks that `Own.to_json` described, with the user's networks beside it; imports nothing.

    Args:
        settings: Of a spec.
        pair: The networks; by default those that `permit` was told of.

    Raises:
        UserError: No networks are permitted, or the spec was edited.
    """
    digests = settings.get("sha256")
    if not isinstance(digests, Mapping) or not digests or set(digests) - set(ROLES):
        raise UserError("This spec does not say which networks are the user's own; it was edited.")
    reference = str(settings.get("reference") or "")
    named = [known for known in _PERMITTED if known.reference == reference]
    pair = pair or next(iter(named[::-1] or _PERMITTED[::-1]), None)
    if pair is None:
        raise UserError(_how_to_open(settings, [role for role in ROLES if role in digests], reference))
    sources = {role: pair.source(role) for role in ROLES}
    for role, source in sources.items():
        if role in digests and source is None:
            raise UserError(f"This run was trained with a {role} of your own too; give it beside the other.")
        if role not in digests and source is not None and not source.of_pair:
            raise UserError(f"The {role} of this run is the project's own; leave yours out.")
    return Own(
        latent=settings.get("latent"),  # type: ignore[arg-type]
        other=networks_from_json(settings["other"]) if "other" in settings else None,
        reference=pair.reference,
        aspects=told_aspects(settings),
        **{f"{role}_source": sources[role] for role in digests},  # type: ignore[arg-type]
        **{f"{role}_sha256": str(digest) for role, digest in digests.items()},  # type: ignore[arg-type]
    )


def _how_to_open(settings: Mapping[str, Any], roles: list[Role], reference: str) -> str:
    """The sentence that names the option which is missing."""
    objects = ", ".join(f"{role}=..." for role in roles)
    if REFERENCE.fullmatch(reference):
        return (
            f"This run's networks come from {reference!r}, which is not built in; repeat the command with"
            f" `--networks {reference}` (or `{objects}` in Python) if you trust that code."
        )
    said = " and ".join(clean(settings.get(role)) for role in roles)
    many = "was" if len(roles) == 1 else "were"
    return (
        f"This run's {' and '.join(roles)} ({said}) {many} given in Python, and a run directory holds no code; open it"
        f" with uc.load(directory, {objects}), or with `--networks module:factory` that returns them."
    )


def another(there: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Whether two specs' contents differ in nothing but networks of the user's own, and the number of updates."""
    one, other = there.get("networks"), spec.get("networks")
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False
    own = one.get("family") == other.get("family") == Own.family
    rest = [name for name in spec if name not in ("networks", "updates")]
    return own and all(there.get(name) == spec[name] for name in rest)


def _inputs(role: Role, method: Method, sizes: Sizes) -> tuple[torch.Tensor, ...]:
    return generator_inputs(method, sizes) if role == "generator" else critic_inputs(method, sizes)
