"""The frame that every page stands in: template, style, the one script, and the policy that admits nothing else.

The templates escape everything that is not marked as markup; only charts made here are inserted as such.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from uncollapse.report.anchors import PLACES, Anchors
from uncollapse.report.sheets import Sheet, document

if TYPE_CHECKING:
    from jinja2 import Environment

LIMIT = 4_800_000  # bytes: below 5 MB with a margin


def fill(
    template: str, styles: Sequence[str], sheets: Sequence[Sheet], content: Mapping[str, Any], **filters: Any
) -> str:
    """A page from its template, with its style, its script, the policy that admits just these, and its numbers.

    Args:
        template: Name of the template.
        styles: Names of the style sheets.
        sheets: Every table of the page, kept in it as JSON.
        content: What the template shows.
        **filters: Further filters of the template.
    """
    script = _packaged("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
    frame = {
        "policy": Markup(policy + "base-uri 'none'; form-action 'none'"),
        "style": Markup("".join(map(_packaged, styles))),
        "script": Markup(script),
        "numbers": document(sheets),
        "anchor": Anchors(PLACES),
    }
    environment = templates()
    environment.filters.update(filters)
    return environment.get_template(template).render(**frame, **content)


def _packaged(name: str) -> str:
    return resources.files("uncollapse.report").joinpath(name).read_text(encoding="utf-8")


def templates() -> Environment:
    """The templates of all pages; they escape everything that is not marked as markup."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("uncollapse", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
