"""What hatchling does for this project besides: the page of the package, and a word where Node is
missing."""

from __future__ import annotations

import os
import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

#: A package's page has no files beside it: links into the repository lead nowhere there, and images
#: stay empty frames.
_IMAGE = re.compile(r"^!\[[^\]]*\]\((?![a-z]+:)[^)]*\)\n+", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:)[^)]*\)")
_NOTE = "*Documents, examples and images come with the source distribution.*\n"

NO_NODE = """\
The JupyterLab extension cannot be built: Node is not on the PATH. Either
  - install Node 20 or newer and build again, or
  - build without the extension (answers then show as plain HTML): SKIP_JUPYTER_BUILDER=1"""


def package_page(readme: str) -> str:
    """The README for a package's page: without the images and links that only the repository
    has."""
    return _LINK.sub(r"\1", _IMAGE.sub("", readme)) + "\n" + _NOTE


class PackagePage(MetadataHookInterface):
    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        text = package_page((Path(self.root) / "README.md").read_text(encoding="utf-8"))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


class Labextension(BuildHookInterface[Any]):
    """Runs before jupyter-builder, which would end in a traceback without Node, and would fetch 800
    packages for a wheel out of a clone: 60 make the same files (scripts/labextension.py)."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        # An editable installation may do without; jupyter-builder's own variables leave it out,
        # too.
        left_out = (
            os.environ.get("SKIP_JUPYTER_BUILDER")
            or os.environ.get("HATCH_JUPYTER_BUILDER_SKIP_NPM") == "1"
        )
        built = root / "opg_magic" / "labextension" / "package.json"
        if version == "editable" or left_out or built.exists():
            return
        if shutil.which("node") is None:
            # No traceback: nothing of it would help whoever reads it.
            raise SystemExit(NO_NODE)
        if self.target_name == "wheel":
            _builder(root).quick()


def _builder(root: Path) -> Any:
    found = spec_from_file_location("labextension", root / "scripts" / "labextension.py")
    assert found is not None and found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
