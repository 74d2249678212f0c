"""A pull request's text as GitHub shows it: by its own renderer, and in the sizes of its style.

`python -m tests.support.evidence_page FOLDER [STYLE]` writes pictures of each story, in two widths.
STYLE is a file such as github-markdown-light.css of npm's github-markdown-css.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options

from tests.support.evidence_stories import STORIES, story
from tests.support.mlflow_ui import browser_page

__all__ = ["WIDTH", "page_of"]

WIDTH = 812  # pixels of a comment's text on GitHub

STYLE = f"""
body {{ margin: 0; padding: 16px; background: #fff; }}
.markdown-body {{
  box-sizing: border-box; max-width: {WIDTH}px; margin: 0 auto; color: #1f2328;
  font: 16px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif;
  overflow-wrap: break-word;
}}
.markdown-body p, blockquote, ul, table, pre, details {{ margin: 0 0 16px; }}
.markdown-body h3 {{ font-size: 20px; line-height: 1.25; margin: 24px 0 16px; }}
.markdown-body blockquote {{ padding: 0 1em; color: #59636e; border-left: .25em solid #d1d9e0; }}
.markdown-body ul {{ padding-left: 2em; }}
.markdown-body table {{
  border-spacing: 0; border-collapse: collapse; display: block; width: max-content;
  max-width: 100%; overflow: auto;
}}
.markdown-body th {{ font-weight: 600; }}
.markdown-body th, .markdown-body td {{ padding: 6px 13px; border: 1px solid #d1d9e0; }}
.markdown-body code {{
  font-family: ui-monospace, Menlo, Consolas, "Liberation Mono", monospace; font-size: 85%;
  padding: .2em .4em; white-space: break-spaces; background: #818b981f; border-radius: 6px;
}}
.markdown-body pre {{
  padding: 16px; overflow: auto; font-size: 85%; line-height: 1.45; background: #f6f8fa;
  border-radius: 6px;
}}
.markdown-body pre > code {{
  padding: 0; font-size: 100%; white-space: pre; background: none;
}}
"""


def page_of(markdown: str, style: str = STYLE) -> str:
    shown = cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE)
    head = f'<meta charset="utf-8"><style>{style}</style>'
    return f'<!doctype html>{head}<body><article class="markdown-body">{shown}</article></body>'


def main(folder: Path, style: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser_page() as page:
        for name in STORIES:
            (folder / f"{name}.md").write_text(story(name))
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 900})
                page.set_content(page_of(story(name), style))
                page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)


if __name__ == "__main__":
    extra = Path(sys.argv[2]).read_text() if len(sys.argv) > 2 else ""
    main(Path(sys.argv[1]), STYLE + extra)
