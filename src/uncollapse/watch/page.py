"""The page itself: one template, and the few static files beside it, all loaded once from the package.

What comes from the directory enters the page as JSON, in a block that no browser runs; the script shows it as text.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

STATIC = {
    "watch.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "build.js": "text/javascript; charset=utf-8",
    "chart.js": "text/javascript; charset=utf-8",
    "detail.js": "text/javascript; charset=utf-8",
    "modes.js": "text/javascript; charset=utf-8",
    "runs.js": "text/javascript; charset=utf-8",
    "samples.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@cache
def static_file(name: str) -> tuple[bytes, str] | None:
    """One static file and its media type; None for a name that is not in the list."""
    if name not in STATIC:
        return None
    content = resources.files("uncollapse").joinpath("watch", "static", name).read_bytes()
    return (palette() + content if name == "watch.css" else content), STATIC[name]


def palette() -> bytes:
    """The colours and type faces of the reports, light and dark: what precedes the first rule of their style sheet."""
    sheet = resources.files("uncollapse").joinpath("report", "page.css").read_text(encoding="utf-8")
    return sheet.partition("* {")[0].encode()


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("uncollapse", "watch"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def render(state: Mapping[str, Any]) -> tuple[str, str]:
    """The page with its first state in it, and the policy under which the browser may run it.

    Args:
        state: What `WatchedDirectory.overview` gives.

    Returns:
        The HTML, and the Content-Security-Policy: one random number admits this page's own script and style sheet.
    """
    nonce = secrets.token_urlsafe(16)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'nonce-{nonce}'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    return _template().render(state=state, nonce=nonce), policy
