"""Builds the pages of this folder into a site: `make docs`. Every warning is an error there.

The pages are read in the repository as well, so their links to files outside of this folder are
relative paths. The site has no such files: a link of this kind becomes the file's name.
"""

import re
import sys
import tomllib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))  # for the reference, which is made from docstrings

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_LINK = re.compile(r"\[([^\]\[]+)\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^(```|~~~)")
# Pages that are files of the repository's top folder.
_FROM_THE_TOP = {"contributing": "CONTRIBUTING.md", "changes": "CHANGELOG.md"}

project = _PROJECT["name"]
release = version = _PROJECT["version"]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_*"]
default_role = "literal"  # `name` in a docstring is code
smartquotes = False  # options begin with two dashes
myst_heading_anchors = 4  # a heading's anchor is the one that GitHub gives it
myst_enable_extensions = ["attrs_inline"]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = False

html_theme = "furo"
html_title = f"nativecgi {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

_log = logging.getLogger(__name__)


def setup(app: Sphinx) -> None:
    """Have each page's links looked at before it is parsed."""
    app.connect("source-read", _read)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    folder = (DOCS / page).parent
    text = source[0]
    if name := _FROM_THE_TOP.get(page):
        folder, text = ROOT, (ROOT / name).read_text()
        app.env.note_dependency(ROOT / name)
    source[0] = _with_links_for_the_site(text, folder, DOCS / page)


def _with_links_for_the_site(text: str, folder: Path, page: Path) -> str:
    """The page's text, its links relative to the page or, outside of the site, plain names."""

    def link(match: re.Match[str]) -> str:
        label, (target, _, anchor) = match[1], match[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = (folder / target).resolve()
        if not path.exists():
            _log.warning("%s links to %s, which does not exist", page, target)
        elif path.is_relative_to(DOCS) and path.is_file():
            moved = path.relative_to(DOCS) if folder == ROOT else target
            return f"[{label}]({moved}{'#' if anchor else ''}{anchor})"
        name = f"`{path.relative_to(ROOT)}`"
        return name if label.strip("`") in name else f"{label} ({name})"

    lines, is_code = [], False
    for line in text.split("\n"):
        is_code ^= bool(_FENCED.match(line.lstrip()))
        lines.append(line if is_code else _LINK.sub(link, line))
    return "\n".join(lines)
