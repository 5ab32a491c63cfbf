"""Reads a plan's TOML: every key is checked by name and type before a plan is built from it.

Called by `plan.Plan.from_toml` only; a wrong key is refused with the nearest right one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from uncollapse.errors import UserError, unknown
from uncollapse.experiments.plan import HEADLINES, MOST_SEEDS, WEIGHTS, CellGroup, Claims, Plan, check_seeds, parse_toml
from uncollapse.experiments.search import TUNED_FOR, Tuning

PLAN_KEYS = ("name", "description", "seeds", "updates", "batch", "threads", "monitor")
CELL_KEYS = ("methods", "tasks", "set", "updates", "batch", "seeds", "label")
COMPARE_KEYS = ("baseline", "headline", "weights")
CLAIM_KEYS = ("source", "measure", "values")
TUNING_KEYS = ("seeds", "updates", "trials", "measure", "search")
SEARCH_KEYS = ("dynamics.lr", "sensitive")


def read_plan(text: str, source: str) -> Plan:
    """The plan in a TOML text; see `Plan.from_toml`."""
    document = _keys(parse_toml(text, source), ("plan", "cells", "compare", "claims", "tuning"), source)
    head = _keys(_table(document, "plan", source), PLAN_KEYS, f"[plan] of {source}")
    where = f"[plan] of {source}"
    tables = document.get("cells")
    if not isinstance(tables, list) or not tables:
        raise UserError(f"{source} has no [[cells]]; it needs at least one, with methods = [...] and tasks = [...].")
    plan = Plan(
        name=_name(head, where),
        description=_text(head, "description", where, ""),
        seeds=_seeds(head.get("seeds", {"first": 0, "count": 4}), where),
        updates=_count(head, "updates", where),
        batch=_count(head, "batch", where),
        threads=_count(head, "threads", where) or 1,
        monitor=_count(head, "monitor", where),
        groups=tuple(_group(table, f"[[cells]] number {i} of {source}") for i, table in enumerate(tables, 1)),
        tuning=_tuning(document, source),
        text=text,
        **_comparison(document, source),
    )
    names = list(dict.fromkeys(cell.name for cell in plan.cells()))
    if plan.baseline_name not in names:
        raise unknown(f"method in {source} that could be its baseline,", plan.baseline, names)
    _check_claims(plan, source)
    return plan


def _check_claims(plan: Plan, source: str) -> None:
    """Refuses published numbers of methods and tasks that the plan does not hold: they would be left out in silence."""
    if plan.claims is None:
        return
    held: dict[str, list[str]] = {}
    for cell in plan.cells():
        held.setdefault(cell.name, []).append(cell.task)
    for method, row in plan.claims.values.items():
        if method not in held:
            raise unknown(f"method in {source} that [claims.values] could be about,", method, held)
        for task in row:
            if task not in held[method]:
                raise unknown(f"task of {method} in {source} that [claims.values] could be about,", task, held[method])


def _comparison(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    where = f"[compare] of {source}"
    table = _keys(document.get("compare", {}), COMPARE_KEYS, where)
    headline = _text(table, "headline", where, "modes_solid")
    if headline not in HEADLINES:
        raise unknown("measure", headline, HEADLINES)
    weights = _text(table, "weights", where, "averaged")
    if weights not in WEIGHTS:
        raise UserError(f'weights = {weights!r} in {where} is not allowed; write "averaged" or "live".')
    baseline = _text(table, "baseline", where, "")
    return {"baseline": baseline, "headline": headline, "weights": weights, "claims": _claims(document, source)}


def _claims(document: Mapping[str, Any], source: str) -> Claims | None:
    if "claims" not in document:
        return None
    where = f"[claims] of {source}"
    table = _keys(document["claims"], CLAIM_KEYS, where)
    measure = _text(table, "measure", where, "")
    if measure not in HEADLINES:
        raise unknown("measure", measure, HEADLINES)
    values = _table(table, "values", where)
    for method, row in values.items():
        if not isinstance(row, dict) or not all(_is_number(value) and math.isfinite(value) for value in row.values()):
            raise UserError(f"values.{method} in {where} must be a table of finite numbers, one a task.")
    return Claims(source=_text(table, "source", where, ""), measure=measure, values=values)


def _tuning(document: Mapping[str, Any], source: str) -> Tuning | None:
    if "tuning" not in document:
        return None
    where = f"[tuning] of {source}"
    table = _keys(document["tuning"], TUNING_KEYS, where)
    search = dict(_flat(_table(table, "search", where)))
    _keys(search, SEARCH_KEYS, f"[tuning.search] of {source}")
    measure = _text(table, "measure", where, "modes_solid")
    if measure not in TUNED_FOR:
        raise unknown("measure to tune for,", measure, TUNED_FOR)
    if "seeds" not in table:
        raise UserError(
            f"{where} has no seeds; give some that no cell reports, as seeds = {{ first = 9000, count = 2 }}."
        )
    rates, trials = _factors(search, "dynamics.lr", where), _count(table, "trials", where) or 1
    if trials > 1 + len(rates):
        raise UserError(
            f'trials = {trials} in {where} needs {trials - 1} factors in "dynamics.lr", one less than trials, '
            f"and it has {len(rates)}: a method without a sensitive setting spends all its trials on learning rates."
        )
    return Tuning(
        seeds=_seeds(table["seeds"], where),
        trials=trials,
        rates=rates,
        sensitive=_factors(search, "sensitive", where),
        updates=_count(table, "updates", where),
        measure=measure,
    )


def _factors(table: Mapping[str, Any], key: str, where: str) -> tuple[float, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(_is_number(item) and 0 < item < math.inf for item in value):
        raise UserError(f"{key} in {where} must be a list of factors above 0, such as [3, 0.3].")
    return tuple(float(item) for item in value if item != 1)


def _group(table: object, where: str) -> CellGroup:
    table = _keys(table, CELL_KEYS, where)
    settings = table.get("set", {})
    if not isinstance(settings, dict):
        raise UserError(f'set in {where} must be a table such as {{ "dynamics.lr_critic" = 2e-4 }}.')
    return CellGroup(
        methods=_texts(table, "methods", where),
        tasks=_texts(table, "tasks", where),
        set=dict(_flat(settings)),
        updates=_count(table, "updates", where),
        batch=_count(table, "batch", where),
        seeds=_seeds(table["seeds"], where) if "seeds" in table else None,
        label=_text(table, "label", where, ""),
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Dotted paths, because TOML reads an unquoted ``dynamics.lr_critic`` as nested tables."""
    for key, value in settings.items():
        if isinstance(value, dict) and "part" not in value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _seeds(value: object, where: str) -> tuple[int, ...]:
    if isinstance(value, dict):
        table = _keys(value, ("first", "count"), f"seeds in {where}")
        count = _count(table, "count", where)
        first = table.get("first", 0)
        if count is None or not _is_integer(first):
            raise UserError(f"seeds in {where} must be {{ first = 0, count = 8 }} or a list such as [3, 5].")
        return check_seeds(range(first, first + min(count, MOST_SEEDS + 1)), f"seeds in {where}")
    if isinstance(value, list) and all(_is_integer(item) for item in value):
        return check_seeds(value, f"seeds in {where}")
    raise UserError(f"seeds in {where} must be {{ first = 0, count = 8 }} or a list such as [3, 5].")


def _keys(table: object, allowed: Iterable[str], where: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise UserError(f"{where} must be a table.")
    for key in table:
        if key not in set(allowed):
            raise unknown(f"key in {where},", key, allowed)
    return table


def _table(document: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = document.get(key)
    if not isinstance(value, dict):
        raise UserError(f"{where} has no table [{key}].")
    return value


def _name(head: Mapping[str, Any], where: str) -> str:
    name = _text(head, "name", where, "")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UserError(f"name = {name!r} in {where} must be letters, digits, '-', '_' or '.', as it names a folder.")
    return name


def _text(table: Mapping[str, Any], key: str, where: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise UserError(f"{key} = {value!r} in {where} must be a text in quotes.")
    return value


def _texts(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise UserError(f'{key} in {where} must be a list of names such as ["vanilla", "wgan-gp"].')
    return tuple(value)


def _count(table: Mapping[str, Any], key: str, where: str) -> int | None:
    value = table.get(key)
    if value is None:
        return None
    if not _is_integer(value) or value < 1:
        raise UserError(f"{key} = {value!r} in {where} must be a whole number of at least 1.")
    return int(value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
