"""`style("talk")`: pictures large enough for the last row."""

from __future__ import annotations

from labsched.errors import ConfigError

from . import figures

# Dots per inch at which pictures are shown: their parts keep their proportions, so nothing can overlap.
STYLES = {"notebook": figures.DPI, "talk": round(figures.DPI * 1.6)}


def style(name: str) -> None:
    """How large pictures are shown from now on: "notebook", or "talk" for a projector. ConfigError for others."""
    if name not in STYLES:
        raise ConfigError(f"style is {name!r}, allowed are {', '.join(STYLES)}")
    figures.shown_at = STYLES[name]
