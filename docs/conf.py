"""The site: `make docs` builds it into site/, strictly and without a network."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "unbraid"
project_copyright = "the authors of unbraid, Apache-2.0"
extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "_site.command_line",
    "_site.docstrings",
    "_site.links",
    "_site.mathml",
]
exclude_patterns = ["_site"]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# A page a room, from the sources as they stand; what a package gathers is shown in its own module.
apidoc_modules = [
    {
        "path": "../src/unbraid",
        "destination": "api",
        "module_first": True,
        "exclude_patterns": ["**/cli/**", "**/registry.py", "**/__main__.py"],
    }
]
os.environ["SPHINX_APIDOC_OPTIONS"] = "members,show-inheritance,ignore-module-all"
autodoc_inherit_docstrings = False
# Optional packages need not be installed for the site.
optional = ("gradio", "h5py", "onnxruntime", "pooch", "pyarrow", "ray", "starlette")
autodoc_mock_imports = [name for name in optional if find_spec(name) is None]
autodoc_member_order = "bysource"
add_module_names = False
# Every function and object that a page names must be there; types of signatures link if they can.
nitpicky = True
nitpick_ignore_regex = [("py:class", r".*")]

# Flags keep their two hyphens.
smartquotes = False

html_theme = "furo"
html_title = "unbraid"
html_static_path = ["_site/static"]
html_css_files = ["unbraid.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
