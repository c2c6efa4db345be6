"""Builds the pages: ``sphinx-build -W docs build/pages`` from the root, with the extra ``docs`` installed.

The pages are the Markdown files of this folder as they are, the bundles' READMEs, and an API reference made from the
docstrings: a page for every room with public names. What is made here goes to ``_generated``, which git ignores.

Formulas become MathML, which browsers draw themselves, so that the pages need no network: Sphinx's own way is a script
from a server.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

from monai_ext import __version__

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
GENERATED = DOCS / "_generated"

project = "monai-ext"
author = "The monai-ext contributors"
html_show_copyright = False
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_generated/**/README.md"]
html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["formulas.css"]
html_title = "monai-ext"
html_show_sphinx = False
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_use_rtype = False
suppress_warnings = ["myst.header", "misc.highlighting_failure"]


def public_modules() -> list[str]:
    """Rooms of the package that have public names, and the errors."""
    found = ["monai_ext.errors"]
    for file in sorted((ROOT / "monai_ext").rglob("__init__.py")):
        names = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.Assign)]
        if any(getattr(node.targets[0], "id", "") == "__all__" for node in names):
            found.append(".".join(file.parent.relative_to(ROOT).parts))
    return found


def write_api_pages() -> None:
    """One page a room, and the page that lists them."""
    folder = GENERATED / "api"
    folder.mkdir(parents=True)
    modules = public_modules()
    for module in modules:
        heading = f"{module}\n{'=' * len(module)}\n\n"
        (folder / f"{module}.rst").write_text(f"{heading}.. automodule:: {module}\n", encoding="utf-8")
    listed = "\n".join(f"   {module}" for module in modules)
    title = (
        "API reference\n=============\n\nPublic names by room; each is imported from the path that heads its page.\n\n"
    )
    (folder / "index.rst").write_text(f"{title}.. toctree::\n   :maxdepth: 2\n\n{listed}\n", encoding="utf-8")


def write_bundle_pages() -> None:
    """The bundles' READMEs, with links that hold from here."""
    folder = GENERATED / "bundles"
    folder.mkdir(parents=True)
    names = []
    for readme in sorted((ROOT / "bundles").glob("*/docs/README.md")):
        names.append(readme.parents[1].name)
        text = readme.read_text(encoding="utf-8")
        text = re.sub(r"\]\(\.\./\.\./\.\./docs/", "](../../", text)
        text = re.sub(r"\]\(\.\./\.\./(\w+)/docs/README\.md", r"](\1.md", text)
        (folder / f"{names[-1]}.md").write_text(text, encoding="utf-8")
        for picture in readme.parent.glob("*.[ps][nv]g"):
            shutil.copy(picture, folder)
    listed = "\n".join(names)
    (folder / "index.md").write_text(f"# Bundles\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n", encoding="utf-8")


def rewrite_links(app: object, docname: str, source: list[str]) -> None:
    """Links to the repository's files become links to the pages made of them."""
    if not docname.startswith("_generated"):
        up = "../" * docname.count("/")
        source[0] = re.sub(
            r"\]\((?:\.\./)+bundles/(\w+)/docs/README\.md", rf"]({up}_generated/bundles/\1.md", source[0]
        )


def escape_stars(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Shapes such as (B, C, *spatial) are no emphasis."""
    for number, line in enumerate(lines):
        pieces = re.split(r"(``.*?``)", line)
        lines[number] = "".join(
            piece if piece.startswith("``") else re.sub(r"(?<![\w*\\])\*(?=\w+[,)])", r"\*", piece) for piece in pieces
        )


def write_formula(writer: Any, node: nodes.Element) -> None:
    """LaTeX as MathML; what the converter does not know is an error, as everything is that does not build."""
    formula = tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block))
    writer.body.append(formula)
    raise nodes.SkipNode


def refuse_what_needs_a_network(app: Any, exception: Exception | None) -> None:
    """Scripts, styles and pictures lie beside the pages: where patients are, machines often have no way out."""
    pages = Path(app.outdir).rglob("*.html") if exception is None else ()
    remote = {
        f"{page.relative_to(app.outdir)} loads {address}"
        for page in pages
        for address in re.findall(
            r"<(?:script|link|img)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]+)", page.read_text()
        )
    }
    if remote:
        raise ExtensionError(f"Pages must open without a network: {'; '.join(sorted(remote)[:5])}.")


def setup(app: Any) -> None:
    """Make the generated pages before Sphinx looks for pages."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    write_api_pages()
    write_bundle_pages()
    app.connect("autodoc-process-docstring", escape_stars)
    app.connect("source-read", rewrite_links)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("build-finished", refuse_what_needs_a_network)
