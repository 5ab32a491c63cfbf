from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from uncollapse.errors import UserError
from uncollapse.features.classifier import CLASSIFIERS
from uncollapse.features.extractors import EXTRACTORS, NAMES, Entry, find_entry


@pytest.mark.parametrize("entry", EXTRACTORS.values(), ids=NAMES)
def test_every_entry_is_complete(entry: Entry) -> None:
    for field in ("title", "gives", "good", "bad", "blind", "use", "resizing", "needs", "licence", "example"):
        assert getattr(entry, field), field
    assert (entry.seconds is None) == (not entry.measured)
    assert not entry.title.endswith(".")
    for sentence in (entry.good, entry.bad, entry.blind, entry.use):
        assert sentence.endswith(".")


def test_the_list_is_complete() -> None:
    assert set(NAMES) == {
        "identity", "pixels", "pca", *(f"classifier:{name}" for name in CLASSIFIERS), "inception",
        "pretrained:NAME_OR_DIR", "module:factory",
    }  # fmt: skip


def test_names_with_settings_are_found() -> None:
    assert find_entry("inception[legacy]").name == "inception"
    assert find_entry("pixels[28x28]").name == "pixels"
    assert find_entry("pretrained").name == find_entry("pretrained:a/b").name == "pretrained:NAME_OR_DIR"
    assert find_entry("module").name == "module:factory"
    with pytest.raises(UserError, match="did you mean 'inception'"):
        find_entry("incepton")


def test_every_example_leads_to_its_entry_and_the_page_has_all(root: Path) -> None:
    page = (root / "docs" / "extractors.md").read_text()
    for entry in EXTRACTORS.values():
        if entry.name != "module:factory":
            assert find_entry(entry.example) is entry
        assert f"`{entry.name}`" in page


def test_the_list_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'PIL'}"
    code = f"import sys, uncollapse.features.extractors; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
