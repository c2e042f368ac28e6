"""Builds the documentation site into build/site.

python -m bootstrap.site [OPTIONS OF mkdocs build]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from bootstrap.site import pages, references
from bootstrap.steps import BUILD, ROOT

PAGES = BUILD / "pages"
REFERENCE = PAGES / "docs" / "reference"


def main(options: list[str]) -> int:
    """Collects and generates the pages, and builds the site. Returns the exit code of MkDocs."""
    shutil.rmtree(PAGES, ignore_errors=True)
    pages.collect(ROOT, PAGES)
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in (("commands", references.commands()), ("python-api", references.python_api())):
        (REFERENCE / f"{name}.md").write_text(text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--config-file",
        str(ROOT / "mkdocs.yml"),
    ]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # CONTRIBUTING.md has what it says
    code = subprocess.run([*command, *options], cwd=ROOT, env=quiet, check=False).returncode
    if code == 0:
        print(f"{BUILD / 'site' / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
