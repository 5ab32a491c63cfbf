"""Plugins: what may be named, what is registered, what is refused, and that a file alone never imports anything."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from uncollapse.errors import UserError
from uncollapse.methods import VANILLA
from uncollapse.plugins import _register, bound_to_this_process, load_plugins, plugin_options, resolve

MODULE = """
import uncollapse.methods
from uncollapse.tasks import Mixture

print("imported")
MINE = uncollapse.methods.METHODS["vanilla"].but(name="mine")
TWO = [MINE, MINE.but(name="other")]
TASK = Mixture(name="two-points", centres=((-1.0, 0.0), (1.0, 0.0)), sigma=0.1)
NUMBER = 3
"""


def in_folder(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a folder that holds `mine.py`."""
    (folder / "mine.py").write_text(MODULE)
    command = [sys.executable, "-m", "uncollapse", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.long
def test_methods_and_tasks_of_ones_own_are_listed_and_trained(tmp_path: Path) -> None:
    listed = in_folder(tmp_path, "methods", "--plugin", "mine:TWO", "--json")
    names = [card["name"] for card in json.loads(listed.stdout.removeprefix("imported\n"))]
    assert names[-2:] == ["mine", "other"]
    arguments = ["train", "mine", "two-points", "--updates", "4", "--batch", "8", "--set", "networks.width=4"]
    plugins = ["--plugin", "mine:MINE", "--plugin", "mine:TASK"]
    done = in_folder(tmp_path, *arguments, *plugins, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "spec.json").read_text())["method"]["name"] == "mine"
    assert (
        " --plugin mine:MINE --plugin mine:TASK" in json.loads((tmp_path / "run" / "spec.json").read_text())["command"]
    )
    again = in_folder(tmp_path, "sample", "run", "--n", "3", "--out", "x.csv", *plugins)
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 4


@pytest.mark.long
def test_without_the_flag_nothing_is_imported(tmp_path: Path) -> None:
    done = in_folder(tmp_path, "train", "mine", "ring-8")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "no method 'mine'" in done.stderr


@pytest.mark.long
def test_a_plugin_works_in_workers_too(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        '[plan]\nname = "p"\nseeds = [0]\nupdates = 4\nbatch = 8\n'
        '[[cells]]\nmethods = ["mine", "other"]\ntasks = ["two-points"]\nset = { networks.width = 4 }\n'
    )
    plugins = ["--plugin", "mine:TWO", "--plugin", "mine:TASK"]
    done = in_folder(tmp_path, "compare", "p.toml", "--jobs", "2", "--out", "c", *plugins)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert [cell["method"] for cell in document["cells"]] == ["mine", "other"]
    assert document["command"].endswith("plan.toml --plugin mine:TWO --plugin mine:TASK")
    refused = in_folder(tmp_path, "compare", "p.toml", "--out", "d")
    assert refused.returncode == 2
    assert "--plugin module:attr" in refused.stderr


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("json", "not of the form module:attr"),
        ("os.system('x'):y", "not of the form module:attr"),
        ("a:b:c", "not of the form module:attr"),
        ("no_such_module_here:x", "no module 'no_such_module_here'"),
        ("json.nowhere:x", "no module 'json.nowhere'"),
        ("json:lods", "'lods'; did you mean 'loads'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(reference: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(reference)


def test_a_loss_that_lacks_a_method_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from uncollapse.parts.losses import Loss\nclass Half(Loss):\n    critic = print\nHALF = Half()\n"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "half_a_loss.py").write_text(text)
    with pytest.raises(UserError, match=r"half_a_loss:HALF: can't instantiate abstract class Half .*generator"):
        resolve("half_a_loss:HALF")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("len(3)", r"TypeError: object of type 'int' has no len\(\) \({name}\.py, line 1\)\."),
        ("def f(:\n    pass", r"SyntaxError: invalid syntax \({name}\.py, line 1\)\."),
        (
            "\nimport no_such_module",
            r"ModuleNotFoundError: .* 'no_such_module' \({name}\.py, line 2\)\.",
        ),
        ("def f():\n    return 1 / 0\nX = f()", r"ZeroDivisionError: division by zero \({name}\.py, line 2\)\."),
        ("def __getattr__(name):\n    raise RuntimeError(name)", r"RuntimeError: X \({name}\.py, line 2\)\."),
    ],
)
@pytest.mark.parametrize("option", ["--plugin", "--networks"])
def test_what_fails_in_a_module_is_one_sentence_with_its_place(
    text: str, message: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    name = f"broken_{abs(hash((text, option)))}"
    (tmp_path / f"{name}.py").write_text(text)
    said = rf"^{option} {name}:X: importing it fails: " + message.replace("{name}", name) + "$"
    with pytest.raises(UserError, match=said):
        resolve(f"{name}:X", option=option)


def test_two_methods_of_one_name_are_refused_and_the_same_one_twice_is_not() -> None:
    from uncollapse.methods import METHODS

    one, other = VANILLA.but(name="twin"), METHODS["lsgan"].but(name="twin")
    for plugins in ([[one, other]], [one, other], [one, [other]]):
        with pytest.raises(UserError, match="plugins: two different methods are called 'twin'; give each a name"):
            load_plugins(plugins)
    assert "twin" not in METHODS
    assert load_plugins([one, [one, VANILLA.but(name="twin-2")]]) == ["twin", "twin", "twin-2"]


def test_a_module_that_exits_is_refused_and_its_prints_are_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "script_that_exits.py").write_text("import sys\nprint('working')\nsys.exit(0)")
    with pytest.raises(UserError, match=r"script_that_exits:X: importing it ended in sys\.exit\(0\); put"):
        resolve("script_that_exits:X")
    assert capsys.readouterr() == ("", "working\n")


def test_what_is_none_of_the_four_is_refused() -> None:
    with pytest.raises(UserError, match="function is not a Method, a list of Methods, a Task or a part class"):
        load_plugins(["json:loads"])
    with pytest.raises(UserError, match="int is not a Method"):
        load_plugins([[3]])


def test_a_class_of_tasks_is_no_task() -> None:
    from uncollapse.tasks import Mixture

    with pytest.raises(
        UserError, match=r"--plugin my:Mixture: Task Mixture is a class; name an instance, such as MINE"
    ):
        _register(Mixture, "my:Mixture")


def test_built_in_names_stay_the_projects_own() -> None:
    from uncollapse.methods import METHODS
    from uncollapse.tasks import Mixture

    with pytest.raises(UserError, match="'vanilla' is built in"):
        load_plugins([METHODS["lsgan"].but(name="vanilla")])
    with pytest.raises(UserError, match="'ring-8' is built in"):
        load_plugins([Mixture(name="ring-8", centres=((0.0, 0.0), (1.0, 0.0)), sigma=0.1)])


def test_only_references_can_be_typed_again() -> None:
    assert plugin_options(["a:B", object(), "c:D"]) == " --plugin a:B --plugin c:D"


def test_a_plugin_made_at_a_prompt_trains_in_that_very_process(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Mine:
        """Stands for a user's part."""

    def bound(item: object, **attributes: object) -> bool:
        main = ModuleType("__main__")
        vars(main).update(attributes)
        main.Mine = Mine  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "__main__", main)
            return bound_to_this_process([item])

    Mine.__module__, Mine.__qualname__ = "__main__", "Mine"
    assert bound(Mine)
    assert bound([Mine()])
    assert bound(lambda: None)
    assert bound(Mine, __file__="<stdin>")
    assert not bound(Mine, __file__=__file__)
    assert not bound("mine:MINE")
    assert not bound(VANILLA)
