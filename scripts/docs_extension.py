"""An extension of Python-Markdown that fills the markers of a page; no hook of one site generator."""

from __future__ import annotations

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

from scripts.docs_markers import fill


class DocsMarkers(Extension):
    """Fills the markers before anything else reads the page."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802, named by Python-Markdown
        """Put the filler in front of the other preprocessors."""
        md.preprocessors.register(_Filler(md), "docs_markers", priority=100)


class _Filler(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return fill("\n".join(lines)).split("\n")
