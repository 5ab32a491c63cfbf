"""Writes the parts of the documentation that are made from the code: `make docs`; a test fails when they are stale."""

from __future__ import annotations

from pathlib import Path

from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- methods: begin, made by `make docs` -->"
END = "<!-- methods: end -->"


def link(method: Method) -> str:
    """The paper as a link."""
    address = method.facts.arxiv
    return f"[{method.facts.paper}]({address if '://' in address else f'https://arxiv.org/abs/{address}'})"


def table() -> str:
    """One row a method: name, idea, paper."""
    rows = [f"| `{name}` | {method.facts.idea} | {link(method)} |" for name, method in METHODS.items()]
    return "\n".join(["| method | idea | paper |", "|---|---|---|", *rows])


def page() -> str:
    """The whole of docs/methods.md."""
    sections = [section(method) for method in METHODS.values()]
    head = [
        "# Methods",
        "",
        "Made from `methods.py` by `make docs`; `uncollapse methods NAME` prints the same with every setting.",
        "",
        table(),
    ]
    return "\n".join([*head, *sections]) + "\n"


def difference(method: Method) -> str:
    """The axes that differ from the baseline, as code."""
    return "nothing, it is the baseline" if method == VANILLA.but(name=method.name) else f"`{method.describe()}`"


def section(method: Method) -> str:
    """What is known of one method."""
    facts = method.facts
    lines = [
        f"\n## {method.name}",
        "",
        facts.idea,
        "",
        f"- Paper: {link(method)}",
        f"- Differs from the baseline in: {difference(method)}",
        f"- Good at: {facts.strengths}",
        f"- Bad at: {facts.weaknesses}",
        f"- Effort: {facts.complexity}",
        f"- Watch first: `{facts.sensitive}` (here `{method.settings()[facts.sensitive]}`)",
        *[f"- Differs from the paper: {sentence}" for sentence in facts.differs],
    ]
    return "\n".join(lines)


def files() -> dict[Path, str]:
    """Path -> what it should hold."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        ROOT / "docs" / "methods.md": page(),
        readme: f"{before}{BEGIN}\n{table()}\n{END}{after}",
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
