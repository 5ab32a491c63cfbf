"""Rules of SECURITY.md that are about the package's own text: what it never imports, starts or leaves unescaped."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.making import opened

import uncollapse
from uncollapse.errors import UserError

PACKAGE = Path(uncollapse.__file__).parent
SOURCES = {file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}
# Packages whose readers run what a file says.
UNSAFE = ("webdataset", "yaml", "ruamel", "dill", "joblib", "cloudpickle", "shelve", "marshal", "ray.data")


@functools.cache
def nodes(text: str) -> list[ast.AST]:
    """The imports and calls of a source."""
    wanted = (ast.Import, ast.ImportFrom, ast.Call)
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, wanted)]


def imports(text: str) -> Iterator[str]:
    """Full names of the modules that a source imports anywhere."""
    for node in nodes(text):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(text: str) -> Iterator[tuple[str, ast.Call]]:
    """Dotted names of what a source calls, and the calls."""
    for node in nodes(text):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def unsafe(text: str) -> list[str]:
    return sorted({name for name in imports(text) for bad in UNSAFE if name == bad or name.startswith(f"{bad}.")})


def opened_arrays(text: str) -> set[str]:
    return {called for called, _ in calls(text)} & {"np.load", "numpy.load", "zipfile.ZipFile", "ZipFile"}


def test_rule_8_arrays_are_opened_by_our_readers_alone() -> None:
    """The live page, which must not hold a whole file, checks sizes and headers beside Python's zipfile itself."""
    assert {name for name, text in SOURCES.items() if opened_arrays(text)} <= {"watch/samples.py"}
    assert opened_arrays("import numpy as np\nnp.load(f)\nzipfile.ZipFile(f)") == {"np.load", "zipfile.ZipFile"}


# What comes from this package, the command line or another of our processes; and readers with limits of their own.
PARSERS = {
    "advice.py": "ours",
    "cards.py": "ours",
    "commands.py": "of the command line",
    "data/cache.py": "a header that safetensors has checked",
    "data/labels.py": "limited",
    "data/parquet.py": "limited",
    "data/tars.py": "limited",
    "evaluation/crews.py": "of our processes",
    "features/classifier.py": "ours",
    "features/extractors.py": "ours",
    "features/pretrained.py": "a configuration that transformers has read",
    "features/shards.py": "of our processes",
    "integrations/hub.py": "limited",
    "integrations/lightning.py": "in a checkpoint that torch has read",
    "integrations/wandb.py": "written in the same line",
    "methods.py": "ours",
    "metrics/metric.py": "ours",
    "parsing.py": "limited",
    "watch/documents.py": "limited",
}


def parsers(text: str) -> set[str]:
    return {called for called, _ in calls(text)} & {"json.load", "json.loads", "json.JSONDecoder", "tomllib.loads"}


def test_rule_12_documents_are_parsed_where_they_are_limited() -> None:
    assert {name for name, text in SOURCES.items() if parsers(text)} <= set(PARSERS)
    assert parsers("import json, tomllib\njson.loads(a)\ntomllib.loads(b)") == {"json.loads", "tomllib.loads"}


def test_rules_10_to_12_packages_that_run_what_they_read_are_not_used() -> None:
    assert len(SOURCES) > 100
    assert {name: unsafe(text) for name, text in SOURCES.items() if unsafe(text)} == {}
    assert unsafe("def f():\n    import ray.data\n    from yaml import load\n    import rayon") == [
        "ray.data",
        "yaml",
        "yaml.load",
    ]


@pytest.mark.parametrize(
    "given", ["pipe:touch pwned", "pipe:touch pwned.tar", "|touch pwned", "gs://bucket/x.tar", "file:///etc/passwd"]
)
def test_rule_11_a_data_set_cannot_name_a_command(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        opened(given)
    assert list(tmp_path.iterdir()) == []


def test_rule_11_no_shell_is_ever_asked() -> None:
    for name, text in SOURCES.items():
        for called, call in calls(text):
            assert called not in ("os.system", "os.popen", "subprocess.getoutput"), name
            shell = [item.value for item in call.keywords if item.arg == "shell"]
            assert all(isinstance(value, ast.Constant) and value.value is False for value in shell), name


def test_rule_13_every_template_escapes_and_carries_no_handler() -> None:
    made = [call for text in SOURCES.values() for called, call in calls(text) if called.endswith("Environment")]
    assert len(made) >= 2
    for call in made:
        given = {item.arg: getattr(item.value, "value", None) for item in call.keywords}
        assert given.get("autoescape") is True
    templates = list(PACKAGE.rglob("*.jinja"))
    assert len(templates) >= 3
    for file in templates:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape\s+false|\{%-?\s*raw", text), file.name
        assert not re.search(r"<[^>]*\son[a-z]+\s*=", text), file.name
        assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text), file.name


def test_rule_16_only_one_module_opens_addresses() -> None:
    clients = ("urllib.request", "http.client", "requests", "httpx", "aiohttp", "ftplib")
    using = {name for name, text in SOURCES.items() for found in imports(text) if found.startswith(clients)}
    assert using == {"data/fetch.py"}


def test_rule_17_ray_is_started_in_one_place_and_closed(root: Path) -> None:
    started = [name for name, text in SOURCES.items() for called, _ in calls(text) if called == "ray.init"]
    assert started == ["experiments/engines/ray_cluster.py"]
    text = SOURCES["experiments/engines/ray_cluster.py"]
    own = next(call for called, call in calls(text) if any(item.arg == "include_dashboard" for item in call.keywords))
    given = {item.arg: getattr(item.value, "value", None) for item in own.keywords}
    assert (given["include_dashboard"], given["_node_ip_address"], given["address"]) == (False, "127.0.0.1", "local")
    assert 'os.environ["RAY_USAGE_STATS_ENABLED"] = "0"' in text
    assert 'os.environ.setdefault("RAY_AUTH_MODE", "token")' in text
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [item.replace(" ", "") for item in extras["ray"]] == ["ray>=2.59"]


def test_rule_18_lower_bounds_lie_above_known_holes(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(item for extra in project["optional-dependencies"].values() for item in extra)]
    bounds = {name: tuple(int(part) for part in number.split(".")) for item in asked
              for name, number in re.findall(r"^([\w-]+)(?:\[[^]]*\])?\s*>=\s*([\d.]+)", item)}  # fmt: skip
    least = {"torch": (2, 10), "ray": (2, 59), "lightning": (2, 6, 6), "pyarrow": (14, 0, 1)}
    assert {name: bounds[name] for name in least if bounds[name] < least[name]} == {}
    for text in SOURCES.values():
        assert "load_from_checkpoint(" not in text
