"""Configuration of the documentation site; `make docs` builds it in site/ without a network."""

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
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "_site.command_line",
    "_site.docstrings",
    "_site.links",
    "_site.mathml",
]
exclude_patterns = ["_site"]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# One page per package; an object is documented in the module that defines it.
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
# numpydoc sections become lists. Autodoc lists the attributes as objects already.
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_param = False
napoleon_use_rtype = False
# Optional packages need not be installed for the site.
optional = ("gradio", "h5py", "onnxruntime", "pooch", "pyarrow", "ray", "starlette")
autodoc_mock_imports = [name for name in optional if find_spec(name) is None]
autodoc_member_order = "bysource"
add_module_names = False
# Every function and object that a page refers to must exist; types and exceptions link if they can.
nitpicky = True
nitpick_ignore_regex = [("py:class", r".*"), ("py:exc", r".*")]

# Keep the two hyphens of flags.
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
