"""Renders a page that needs nothing but itself: styles and pictures are in it, and it runs nothing."""

from __future__ import annotations

from typing import Any

__all__ = ["render_page"]


def render_page(template: str, **content: Any) -> str:
    """The page that a template gives; what is inserted is escaped.

    Args:
        template: below the folder of this package, such as ``"report/page.html"``; it extends ``report/base.html``.
        content: what the template names.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("monai_ext.study", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)
