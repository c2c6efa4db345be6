"""How the pictures of a page are drawn: SVG that takes the page's colours, and PNG."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLORS", "GRAY", "INK", "MARKERS", "SOFT", "Picture", "draw_picture", "file_name"]

INK, SOFT = "#010203", "#a0a1a2"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7f3c8d", "#8c564b")
MARKERS = "osD^vPX*"
GRAY = "#808182"
_PAGE_COLORS = {INK: "currentColor", SOFT: "var(--soft)", GRAY: "var(--gray)"} | {
    color: f"var(--m{place})" for place, color in enumerate(COLORS)
}
_PNG_DPI = 160


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: of its files.
        title: of the heading.
        caption: what is seen.
        svg: for the page.
        png: content of the file.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def draw_picture(
    name: str, title: str, caption: str, draw: Callable[[Figure], None], *, height: float = 3.6
) -> Picture:
    """Draw a picture for a page and as a file.

    Args:
        name: of its files, and of what is inside the drawing: unlike all others of a page.
        title: above it, and for a screen reader.
        caption: below it.
        draw: draws on an empty figure, in ``INK`` and ``COLORS``, which become the page's own.
        height: in inches, of a width of 6.4.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": SOFT,
        "grid.linewidth": 0.4,
        "legend.frameon": False,
        "font.family": "sans-serif",
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(6.4, height), layout="constrained")
        draw(figure)
        vector, raster = io.StringIO(), io.BytesIO()
        figure.savefig(vector, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        figure.savefig(raster, format="png", dpi=_PNG_DPI, facecolor="white", metadata={"Software": None})
    return Picture(name, title, caption, _for_page(vector.getvalue(), title, name), raster.getvalue())


def _for_page(svg: str, title: str, name: str) -> str:
    """Without XML header and fixed size, with the page's colours, readable by a screen reader, with ids of its own."""
    svg = svg[svg.index("<svg") :]
    for color, variable in _PAGE_COLORS.items():
        svg = svg.replace(color, variable)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|xlink:href="#|href="#|url\(#)', lambda found: f"{found[1]}{name}-", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" ?', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*" ?', r"<svg \1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)


def file_name(text: str) -> str:
    """Text as a part of a file's name.

    >>> file_name("linear probe: CT")
    'linear_probe_CT'
    """
    return re.sub(r"[^\w-]+", "_", text)
