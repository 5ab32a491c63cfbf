"""Reading a plan's TOML: every wrong key, type and value is refused with a sentence that says what is right."""

from __future__ import annotations

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.plan import Plan
from uncollapse.experiments.search import Tuning

GOOD = """
[plan]
name = "two"
seeds = { first = 1000, count = 3 }
updates = 200
[[cells]]
methods = ["vanilla", "wgan-gp"]
tasks = ["ring-8", "grid-25"]
set = { "dynamics.lr_critic" = 2e-4, networks.width = 16 }
[[cells]]
methods = ["wgan-gp"]
tasks = ["ring-8"]
label = "small penalty"
seeds = [3, 5]
updates = 100
batch = 32
set = { "penalties.0.weight" = 0.1 }
[compare]
baseline = "vanilla"
headline = "modes_hit"
weights = "live"
[claims]
source = "a paper"
measure = "modes_hit"
[claims.values.vanilla]
"ring-8" = 5
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("updates = 200", "update = 200"), r"no key in \[plan\] of the plan, 'update'; did you mean 'updates'"),
        (('methods = ["vanilla"', 'method = ["vanilla"'), r"'method'; did you mean 'methods'"),
        (("updates = 200", "updates = 0"), "updates = 0 .* whole number of at least 1"),
        (("updates = 200", "monitor = 0"), "monitor = 0 .* whole number of at least 1"),
        (("updates = 200", "updates = true"), "updates = True .* whole number"),
        (("updates = 200", 'updates = "many"'), "updates = 'many' .* whole number"),
        (('headline = "modes_hit"', 'headline = "modes_hitt"'), "no measure 'modes_hitt'; did you mean 'modes_hit'"),
        (('weights = "live"', 'weights = "liv"'), 'write "averaged" or "live"'),
        (('baseline = "vanilla"', 'baseline = "vanila"'), "'vanila'; did you mean 'vanilla'"),
        (('name = "two"', 'name = "../two"'), "letters, digits"),
        (("seeds = [3, 5]", "seeds = [3, 3]"), "names a seed twice"),
        (("seeds = [3, 5]", "seeds = []"), "no seed at all"),
        (("seeds = [3, 5]", "seeds = [-1]"), "negative seed -1"),
        (("seeds = [3, 5]", "seeds = { frist = 3, count = 2 }"), "'frist'; did you mean 'first'"),
        (("seeds = [3, 5]", "seeds = 4"), "must be { first = 0, count = 8 } or a list"),
        (('label = "small penalty"', ""), r"wgan-gp on ring-8 twice; give one of its \[\[cells\]\] a label"),
        (('label = "small penalty"', "label = 3"), "label = 3 .* text in quotes"),
        (('"ring-8" = 5', '"ring-8" = "5"'), "values.vanilla .* table of finite numbers"),
        (('"ring-8" = 5', '"ring-8" = nan'), "values.vanilla .* table of finite numbers"),
        (('"ring-8" = 5', '"ring-8" = inf'), "values.vanilla .* table of finite numbers"),
        (('"ring-8" = 5', '"ring8" = 5'), "no task of vanilla .*'ring8'; did you mean 'ring-8'"),
        (("values.vanilla", "values.vanila"), "no method .* could be about, 'vanila'; did you mean 'vanilla'"),
        (("[claims]\n", "[claim]\n"), "'claim'; did you mean 'claims'"),
        (("name = ", "name : "), "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_right(change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(UserError, match=message):
        Plan.from_toml(GOOD.replace(*change, 1)).cells()


def test_a_plan_without_cells_is_refused() -> None:
    with pytest.raises(UserError, match=r"has no \[\[cells\]\]"):
        Plan.from_toml('[plan]\nname = "empty"\n')


def test_dotted_paths_may_be_quoted_or_nested() -> None:
    quoted = GOOD.replace("networks.width = 16", '"networks.width" = 16')
    assert Plan.from_toml(quoted) == Plan.from_toml(GOOD)


TUNING = """
[tuning]
seeds = { first = 9000, count = 2 }
updates = 50
trials = 3
measure = "high_quality_share"
[tuning.search]
dynamics.lr = [3, 0.3]
sensitive = [1, 0.1]
"""


def test_a_tuning_table_is_read() -> None:
    tuning = Plan.from_toml(GOOD + TUNING).tuning
    assert tuning == Tuning(
        seeds=(9000, 9001),
        trials=3,
        rates=(3.0, 0.3),
        sensitive=(0.1,),
        updates=50,
        measure="high_quality_share",
    )
    assert Plan.from_toml(GOOD).tuning is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("trials = 3", "trial = 3"), r"key in \[tuning\] of the plan, 'trial'; did you mean 'trials'"),
        (("sensitive = ", "sensible = "), "'sensible'; did you mean 'sensitive'"),
        (("trials = 3", "trials = 4"), 'needs 3 factors in "dynamics.lr".* and it has 2'),
        (("[3, 0.3]", "[3, -0.3]"), "dynamics.lr .* list of factors above 0"),
        (("[3, 0.3]", "3"), "dynamics.lr .* list of factors above 0"),
        (('"high_quality_share"', '"kl_all"'), "no measure to tune for, 'kl_all'"),
        (("seeds = { first = 9000, count = 2 }", ""), "has no seeds; give some that no cell reports"),
        (("[tuning.search]\n", "[tuning.sarch]\n"), "'sarch'; did you mean 'search'"),
        (("first = 9000", "first = 1001"), "tunes on seed 1001 and reports it for vanilla on ring-8"),
        (("first = 9000", "first = 4"), r"tunes on seed 5 and reports it for wgan-gp \(small penalty\) on ring-8"),
    ],
)
def test_what_is_wrong_with_a_tuning_table_is_named(change: tuple[str, str], message: str) -> None:
    assert change[0] in TUNING
    with pytest.raises(UserError, match=message):
        Plan.from_toml(GOOD + TUNING.replace(*change, 1))
