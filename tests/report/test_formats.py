"""Each format is read back by its own rules, with names that try to mean something to their reader."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from uncollapse.report.amounts import Amount
from uncollapse.report.formats import FORMATS
from uncollapse.report.sheets import Sheet, found, named

CLASS = r"100% & <b>_x_</b> #1 $y$ {z} ~^ \input{/etc/passwd} [a](javascript:1) | `c` *d* -- "
AMOUNT = Amount(value=-0.25, low=-1.5, high=1.0, level=0.95, n=4, kind="count", basis="4 seeds", difference=True)


def sheet(name: str, amount: Amount = AMOUNT, more: int = 0) -> Sheet:
    columns = (*named(("method", "Method")), *found(("change", "Change"), ("told", "Told")))
    columns += found(*((f"m{i}", f"M{i}") for i in range(more)))
    return Sheet(
        name="one", title="One", columns=columns, rows=((name, amount, "text", *[amount] * more),), note="A note."
    )


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\N{FULLWIDTH EQUALS SIGN}1"])
def test_no_text_of_a_csv_begins_a_formula(name: str) -> None:
    rows = list(csv.reader(io.StringIO(FORMATS["csv"]("title", [sheet(name)]))))
    assert rows[0] == ["table", "method", "column", "value", "low", "high", "level", "n", "text"]
    assert rows[1][1].startswith("'")
    assert rows[1][1].lstrip("'").strip() == name.strip()
    # Numbers stay numbers, with their sign.
    assert [float(cell) for cell in rows[1][3:8]] == [-0.25, -1.5, 1.0, 0.95, 4.0]
    assert rows[2][2:] == ["told", "", "", "", "", "", "text"]


def test_a_csv_keeps_names_with_commas_quotes_and_minus_signs_inside() -> None:
    name = 'a, "b" - c'
    rows = list(csv.reader(io.StringIO(FORMATS["csv"]("title", [sheet(name)]))))
    assert rows[1][1] == name
    assert len({len(row) for row in rows}) == 1


def test_latex_means_nothing_but_the_text() -> None:
    text = FORMATS["latex"]("title", [sheet(CLASS)])
    row = next(line for line in text.splitlines() if line.startswith("100"))
    assert row.endswith(r" \\")
    assert row == (
        r"100\% \& \textless{}b\textgreater{}\_x\_\textless{}/b\textgreater{} \#1 \$y\$ \{z\} "
        r"\textasciitilde{}\textasciicircum{} \textbackslash{}input\{/etc/passwd\} {[}a{]}(javascript:1) "
        r"\textbar{} \textasciigrave{}c\textasciigrave{} {*}d{*} -{}-  & $-$0.2 {[}$-$1.5, 1.0{]}, 4 seeds & text \\"
    )
    assert [line for line in text.splitlines() if line.startswith(r"\t") or line == r"\midrule"] == [
        r"\toprule", r"\midrule",
    ]  # fmt: skip
    assert r"\caption{One. A note.}" in text
    assert r"\label{tab:one}" in text


@pytest.mark.parametrize("name", ["[0pt]", "*", "a]"])
def test_no_row_of_latex_becomes_an_option_of_the_row_before(name: str) -> None:
    text = FORMATS["latex"]("title", [sheet(name)])
    assert not re.search(r"(\\\\|\\midrule)\s*[\[*]", text)


def test_braces_and_environments_of_latex_close() -> None:
    text = FORMATS["latex"]("50% }", [sheet(CLASS + "}{", more=6)])
    bare = re.sub(r"(?m)(?<!\\)%.*$", "", text).replace(r"\{", "").replace(r"\}", "")
    depth = 0
    for letter in bare:
        depth += (letter == "{") - (letter == "}")
        assert depth >= 0
    assert depth == 0
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table"),
    ]  # fmt: skip
    assert r"\resizebox{\linewidth}" in text
    assert r"\resizebox" not in FORMATS["latex"]("a", [sheet("a")])


def test_markdown_shows_names_as_they_are_and_stays_one_table() -> None:
    text = FORMATS["md"]("<script>", [sheet(CLASS), sheet("plain")])
    assert "<" not in text
    rows = [line for line in text.splitlines() if line.startswith("| 100")]
    # A bar inside a name is escaped, so every row has its three cells.
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [4]
    assert r"[a\](javascript:1)" in rows[0]
    assert "\u22120.2 [\u22121.5, 1.0], 4 seeds" in rows[0]
    assert text.count("|---|---|---|") == 2


@pytest.mark.parametrize("name", ["https://a.example", "HTTP://a.example", "see www.a.example", "mailto:a"])
def test_no_reader_of_markdown_makes_a_link_of_a_name(name: str) -> None:
    text = FORMATS["md"]("title", [sheet(name)])
    assert name not in text
    assert name in text.replace("\\", "")  # as it is shown


def test_json_holds_the_title_the_schema_and_the_numbers() -> None:
    content = json.loads(FORMATS["json"]("a title", [sheet(CLASS)]))
    assert (content["title"], content["schema"]) == ("a title", 1)
    (row,) = content["tables"][0]["rows"]
    assert row["method"] == CLASS
    assert (row["change"]["value"], row["change"]["n"]) == (-0.25, 4)
