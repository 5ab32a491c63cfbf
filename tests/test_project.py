"""The project as a whole: layout, packaging, laziness, and the rules that no single module can keep alone."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from tests.conftest import no_global_draws

import uncollapse

PACKAGE = Path(uncollapse.__file__).parent
# Pages are judged as pages, plans as plans: one test file for what is only meaningful together.
TESTED_ELSEWHERE = {
    "__main__.py": "test_cli.py",
    "sitting.py": "test_run.py",  # a run and its sittings are one behaviour
}


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_module_has_its_test_file(root: Path) -> None:
    missing = []
    for module in sorted(PACKAGE.rglob("*.py")):
        path = module.relative_to(PACKAGE)
        expected = TESTED_ELSEWHERE.get(path.as_posix(), path.with_name(f"test_{path.name}").as_posix())
        if path.name != "__init__.py" and not (root / "tests" / expected).exists():
            missing.append(f"{path} wants tests/{expected}")
    assert not missing


def test_every_test_file_has_its_module(root: Path) -> None:
    known = {"test_project.py", "test_docs.py", "test_init.py", *TESTED_ELSEWHERE.values()}
    stray = []
    for test in sorted((root / "tests").rglob("test_*.py")):
        path = test.relative_to(root / "tests")
        module = PACKAGE / path.with_name(path.name.removeprefix("test_"))
        package = module.with_suffix("") / "__init__.py"
        if (
            path.parts[0] not in ("laws", "benchmarks")
            and path.as_posix() not in known
            and not module.exists()
            and not package.exists()
        ):
            stray.append(str(path))
    assert not stray


def names_of_parts() -> set[str]:
    from uncollapse.parts.registry import PARTS

    # The contracts and the axes themselves may be named; Dynamics is an axis with one class.
    return set(PARTS) - {"Dynamics"}


@pytest.mark.parametrize("module", ["game.py", "judge.py", "generation.py", "loop.py", "lanes.py"])
def test_the_game_and_the_loop_name_no_part_and_no_method(module: str) -> None:
    text = (PACKAGE / module).read_text(encoding="utf-8")
    code = ast.unparse(without_docstrings(ast.parse(text)))
    words = set(re.findall(r"[A-Za-z_]\w*", code))
    assert not words & names_of_parts()
    assert "isinstance(" not in code
    assert not re.search(r"\.name\s*[!=]=", code)
    assert not set(re.findall(r"'([^']*)'", code)) & set(uncollapse.METHODS)


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0] = ast.Pass()
    return tree


def test_the_search_for_parts_would_find_one() -> None:
    tree = without_docstrings(ast.parse('def f(m):\n    """GradientPenalty"""\n    return m.view == Packed(2)'))
    assert "GradientPenalty" not in ast.unparse(tree)
    assert set(re.findall(r"[A-Za-z_]\w*", ast.unparse(tree))) & names_of_parts() == {"Packed"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'PIL', 'jinja2', 'safetensors'}"
    loaded = python(f"import sys, uncollapse, uncollapse.cli; print(sorted({heavy} & set(sys.modules)))")
    assert loaded == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    assert len(uncollapse.__all__) >= 5
    assert set(uncollapse.__all__) <= set(dir(uncollapse))
    for name in uncollapse.__all__:
        value = getattr(uncollapse, name)
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), f"uncollapse.{name} has no docstring"


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        uncollapse.no_such_name  # noqa: B018


def test_the_version_is_the_same_everywhere(root: Path) -> None:
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    assert uncollapse.__version__ == version
    assert f"version: {version}" in (root / "CITATION.cff").read_text()


def test_constraints_pin_every_dependency(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(item for extra in project["optional-dependencies"].values() for item in extra)]
    pinned = {line.partition("==")[0].lower() for line in (root / "constraints.txt").read_text().splitlines()}
    names = {re.split(r"[<>=!~\[ ]", item)[0].lower() for item in asked} - {project["name"]}
    assert names <= pinned


def test_no_test_module_skips_or_xfails_without_a_reason(root: Path) -> None:
    bare = re.compile(r"mark\.(skip|xfail)(\(\)|\s|$)|pytest\.skip\(\)", re.MULTILINE)
    assert [
        path.name
        for path in (root / "tests").rglob("*.py")
        if path.name != Path(__file__).name and bare.search(path.read_text())
    ] == []


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built by the backend itself, without an environment of its own."""
    hatchling = pytest.importorskip("hatchling.build", reason="hatchling is not installed here")
    folder = tmp_path_factory.mktemp("wheel")
    before = Path.cwd()
    os.chdir(root)
    try:
        return zipfile.ZipFile(folder / hatchling.build_wheel(str(folder)))
    finally:
        os.chdir(before)


def test_the_wheel_holds_all_that_the_package_reads(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    on_disk = {
        f"uncollapse/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert on_disk == {name for name in names if name.startswith("uncollapse/")}
    for needed in ("py.typed", "plans/demo.toml", "plans/smoke.toml", "evidence.json", "features/facts.toml"):
        assert f"uncollapse/{needed}" in names
    for pattern in (r"report/.+\.jinja", r"report/.+\.css", r"features/weights/.+\.safetensors"):
        assert any(re.fullmatch(f"uncollapse/{pattern}", name) for name in names), pattern


def test_the_wheel_installs_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    information = {Path(name).name: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "uncollapse = uncollapse.cli:main" in wheel.read(information["entry_points.txt"]).decode()
    assert "Apache License" in wheel.read(information["LICENSE"]).decode()
    metadata = wheel.read(information["METADATA"]).decode()
    assert "Requires-Dist: torch>=2.10" in metadata
    assert "torchvision" not in metadata


def test_training_leaves_every_global_random_stream_alone() -> None:
    settings = {"seeds": (3,), "updates": 4, "batch": 8}
    uncollapse.train("vanilla", "ring-8", **settings)  # imports first: some packages draw while they are imported
    with no_global_draws():
        run = uncollapse.train("vanilla", "ring-8", **settings)
        assert run.samples(5, seed=3).shape == (5, 2)


def test_results_stay_small(root: Path) -> None:
    results = [path for path in (root / "results").rglob("*") if path.is_file()] if (root / "results").exists() else []
    assert sum(path.stat().st_size for path in results) < 10_000_000
    assert not [path for path in results if path.suffix in {".pt", ".safetensors"}]
