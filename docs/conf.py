"""Sphinx configuration of the documentation site: `make site` builds it from these pages."""

import re

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.highlighting import lexers

project = "eibench"
author = "The eibench authors"
html_theme = "furo"
html_title = "eibench"
extensions = ["myst_parser"]
myst_heading_anchors = 4
lexers["mermaid"] = TextLexer()  # a drawing on code hosts, its text here


def add_navigation(_app: Sphinx, name: str, source: list[str]) -> None:
    """Append to the index a hidden table of contents per section, from its links to pages."""
    if name != "index":
        return
    for section in source[0].split("\n## ")[1:]:
        pages = re.findall(r"^- \[[^]]*\]\((\w+)\.md\)", section, re.M)
        caption = section.partition("\n")[0]
        options = f":hidden:\n:caption: {caption}\n"
        source[0] += f"\n```{{toctree}}\n{options}\n" + "\n".join(pages) + "\n```\n"


def setup(app: Sphinx) -> None:
    """Connect the function above."""
    app.connect("source-read", add_navigation)
