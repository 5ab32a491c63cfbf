"""A plan: which methods on which tasks with which seeds, read from TOML and checked before anything trains.

The first station of the data's way: plan -> runs -> train -> run directory -> records -> comparison -> report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

from uncollapse import parsing
from uncollapse.errors import UserError, unknown
from uncollapse.experiments.search import Tuning
from uncollapse.metrics.further import FURTHER
from uncollapse.parsing import MOST_PLAN_BYTES, Beyond, check_size, regular_size

HEADLINES = (
    "modes_solid",
    "modes_hit",
    "high_quality_share",
    "tutorial_coverage",
    "kl_high_quality",
    "kl_all",
    "class_entropy",
    "core_sigma_ratio",
    *FURTHER,
)
WEIGHTS = ("averaged", "live")
MOST_SEEDS = 100_000
# Label of a cell with the settings that [tuning] chose.
TUNED = "tuned"


@dataclass(frozen=True, kw_only=True)
class CellGroup:
    """Every method of `methods` on every task of `tasks`, all with the same settings.

    Attributes:
        methods: Names of methods.
        tasks: Names of tasks.
        set: Dotted paths and their values, as in ``--set``.
        updates: Critic updates of these cells; None = the plan's, else the task's own budget.
        batch: Batch size of these cells; None = the plan's, else the task's own.
        seeds: Seeds of these cells; None = the plan's.
        label: Tells two groups with the same method and task apart: tables then say ``method (label)``.
    """

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    set: Mapping[str, Any] = field(default_factory=dict)
    updates: int | None = None
    batch: int | None = None
    seeds: tuple[int, ...] | None = None
    label: str = ""

    def __post_init__(self) -> None:
        """Takes a part among the settings as plans hold it, by its name and its own settings."""
        if any(is_dataclass(value) for value in self.set.values()):
            from uncollapse.parts.registry import to_json  # which brings torch, that reading a plan does without

            object.__setattr__(self, "set", {path: to_json(value) for path, value in self.set.items()})


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Numbers that somebody else published, to be printed beside the measured ones.

    Attributes:
        source: Where the numbers come from.
        measure: The measure that they are about, for example ``"tutorial_coverage"``.
        values: method -> task -> value, in the unit of the measure.
    """

    source: str
    measure: str
    values: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method on one task with its settings and seeds; `untuned` names the cell that it is the tuned one of."""

    method: str
    task: str
    seeds: tuple[int, ...]
    updates: int | None
    batch: int | None
    set: Mapping[str, Any]
    label: str = ""
    untuned: str = ""

    @property
    def name(self) -> str:
        """The method's name in tables, with the group's label where it has one."""
        return f"{self.method} ({self.label})" if self.label else self.method


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A comparison to be run.

    Attributes:
        name: Names the default output folder ``runs/<name>``.
        seeds: Seeds of every cell that does not state its own.
        groups: The ``[[cells]]`` tables.
        updates: Critic updates; None = each task's own budget.
        batch: Batch size; None = each task's own.
        threads: Torch threads of each run; part of a run's identity, because it changes the last bits.
        monitor: Critic updates from look to look of a monitor of each seed; None = no monitor. Its other choices are
            settings of cells, as ``"monitor.margin" = 0.05``.
        description: What the plan is for, in one or two sentences.
        baseline: The method that the others are compared with; empty = the first method.
        headline: The measure that leads the report.
        weights: ``"averaged"`` or ``"live"``: which generator the measures are about.
        claims: Published numbers to print beside the measured ones.
        tuning: The small search that every method gets before it is reported; None = methods as they stand.
        text: The TOML that the plan was read from, kept beside its results.
    """

    name: str
    seeds: tuple[int, ...]
    groups: tuple[CellGroup, ...]
    updates: int | None = None
    batch: int | None = None
    threads: int = 1
    monitor: int | None = None
    description: str = ""
    baseline: str = ""
    headline: str = "modes_solid"
    weights: str = "averaged"
    claims: Claims | None = None
    tuning: Tuning | None = None
    text: str = field(default="", compare=False, repr=False)

    def cells(self) -> list[Cell]:
        """The cells in the plan's order.

        Raises:
            UserError: Two cells would carry the same name, one that of a tuned cell, or a seed would be tuned on and
                reported.
        """
        cells = [
            self._cell(group, method, task) for group in self.groups for method in group.methods for task in group.tasks
        ]
        seen: set[tuple[str, str]] = set()
        for cell in cells:
            if (cell.name, cell.task) in seen:
                raise UserError(
                    f"Plan {self.name!r} holds {cell.name} on {cell.task} twice; "
                    'give one of its [[cells]] a label = "..." so that tables can tell them apart.'
                )
            seen.add((cell.name, cell.task))
            self._check_apart(cell)
        return cells

    def _check_apart(self, cell: Cell) -> None:
        if self.tuning and cell.label.split(", ")[-1] == TUNED:
            raise UserError(
                f"Plan {self.name!r} labels {cell.method} on {cell.task} {cell.label!r}, which is what [tuning] calls "
                "its chosen settings; give these [[cells]] another label."
            )
        both = sorted(set(cell.seeds) & set(self.tuning.seeds)) if self.tuning else []
        if both:
            raise UserError(
                f"Plan {self.name!r} tunes on seed {both[0]} and reports it for {cell.name} on {cell.task}; "
                "a result on a seed that chose the setting proves nothing, so give [tuning] other seeds."
            )

    def _cell(self, group: CellGroup, method: str, task: str) -> Cell:
        return Cell(
            method=method,
            task=task,
            seeds=group.seeds or self.seeds,
            updates=group.updates or self.updates,
            batch=group.batch or self.batch,
            set=group.set if self.monitor is None else {"monitor.every": self.monitor, **group.set},
            label=group.label,
        )

    @property
    def baseline_name(self) -> str:
        """The baseline as tables call it."""
        return self.baseline or self.cells()[0].name

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values; `from_json` is the way back."""
        document: dict[str, Any] = _plain(asdict(self))
        del document["text"]
        if self.monitor is None:  # as in the locks of plans from before there was one
            del document["monitor"]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """The plan that `to_json` wrote."""
        groups = tuple(
            CellGroup(
                **{
                    **group,
                    "methods": tuple(group["methods"]),
                    "tasks": tuple(group["tasks"]),
                    "seeds": tuple(group["seeds"]) if group["seeds"] else None,
                }
            )
            for group in document["groups"]
        )
        claims = Claims(**document["claims"]) if document["claims"] else None
        tuning = None
        if searched := document.get("tuning"):
            lists = {key: tuple(searched[key]) for key in ("seeds", "rates", "sensitive")}
            tuning = Tuning(**{**searched, **lists})
        changed = {"seeds": tuple(document["seeds"]), "groups": groups, "claims": claims, "tuning": tuning}
        return cls(**{**document, **changed})

    @classmethod
    def from_toml(cls, text: str, source: str = "the plan") -> Plan:
        """The plan in a TOML text.

        Args:
            text: The TOML document.
            source: What error messages call it.

        Raises:
            UserError: The text is not TOML, or a key or value is not what a plan allows.
        """
        from uncollapse.experiments.plan_reader import read_plan

        return read_plan(text, source)


def _plain(value: Any) -> Any:
    """Tuples as lists and mappings as dicts, so that a plan equals what comes back from JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds as the command line writes them: ``8`` = 0..7, ``3,5`` = these two, ``100-107`` = the range.

    Raises:
        UserError: The text is none of the three, or names a seed twice.
    """
    problem = UserError(f"--seeds {text!r} is not understood; write a count (8), a list (3,5) or a range (100-107).")
    parts = [part.strip() for part in text.split(",")]
    seeds: list[int] = []
    for part in parts:
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise problem
        if dash and int(last) < int(first):
            raise problem
        some = range(int(first), int(last) + 1) if dash else range(int(first), int(first) + 1)
        if len(parts) == 1 and not dash:
            some = range(int(first))
        # No more than tell that these are too many, or a slip of the finger fills the memory.
        seeds += some[: MOST_SEEDS + 1]
    return check_seeds(seeds, "--seeds")


def check_seeds(seeds: Sequence[int], where: str) -> tuple[int, ...]:
    """The seeds as a tuple, refused when there is none, a negative one or one given twice."""
    if not seeds:
        raise UserError(f"{where} asks for no seed at all; at least one is needed.")
    if min(seeds) < 0:
        raise UserError(f"{where} holds the negative seed {min(seeds)}; seeds are whole numbers from 0.")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{where} names a seed twice; each seed is one independent repetition.")
    if len(seeds) > MOST_SEEDS:
        raise UserError(f"{where} asks for more than {MOST_SEEDS:,} seeds; at most so many are allowed.")
    return tuple(seeds)


def builtin_plans() -> dict[str, str]:
    """Name -> TOML text of the plans that ship with the package."""
    folder = resources.files("uncollapse").joinpath("plans")
    found = {
        item.name.removesuffix(".toml"): item.read_text(encoding="utf-8")
        for item in folder.iterdir()
        if item.name.endswith(".toml")
    }
    return dict(sorted(found.items()))


def builtin_plan(name: str) -> Plan:
    """The built-in plan of that name, whatever files lie in the current folder."""
    return Plan.from_toml(builtin_plans()[name], f"the built-in plan {name}")


def load_plan(reference: str | Path | Plan) -> Plan:
    """A plan from an object, a TOML file or the name of a built-in plan.

    Raises:
        UserError: There is no such file or built-in plan, or it does not hold a plan.
    """
    if isinstance(reference, Plan):
        return reference
    if not isinstance(reference, str | PathLike):
        raise UserError(
            f"plan must be a Plan, a TOML file or the name of a built-in plan, not of type {type(reference).__name__}."
        )
    path = Path(reference)
    if path.is_file():
        try:
            check_size(regular_size(path), MOST_PLAN_BYTES)
            text = path.read_text(encoding="utf-8-sig")  # some editors begin a text with a byte order mark
        except Beyond as error:
            raise UserError(f"{path} {error}, so it cannot be a plan.") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not a text file, so it cannot be a plan.") from error
        return Plan.from_toml(text, str(path))
    builtin = builtin_plans()
    if str(reference) in builtin:
        return builtin_plan(str(reference))
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UserError(f"There is no plan file {str(reference)!r}; built-in plans are {', '.join(builtin)}.")
    raise unknown("plan file or built-in plan", str(reference), builtin)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """The TOML document; a text that is none, is too long or too deep is a `UserError` that names the source."""
    try:
        return parsing.parse_toml(text)
    except Beyond as error:
        raise UserError(f"{source} {error}, so it cannot be a plan.") from error
    except ValueError as error:
        raise UserError(f"{source} is not valid TOML: {error}.") from error
