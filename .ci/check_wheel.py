"""Compare a wheel's file list with the tree, so that no sub-package and no data file is forgotten or slips in."""

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "chinese_modernbert"
FOLDERS = ("runtime", "modeling", "tokenization", "evaluation", "trainers", "hub_release", "demo")
ROOT_FILES = {"__init__.py", "cli.py", "commands.py", "py.typed"}
MODELS = "hub_release/models/"  # released folders are for the Hub, not for whoever installs the library


def main(wheel: str) -> int:
    """Return 0 where the wheel holds exactly the tracked files of the library's folders and the root's own modules."""
    tracked = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split("\n")
    shipped = (path for path in tracked if not path.startswith(MODELS))
    wanted = {f"{PACKAGE}/{path}" for path in shipped if path in ROOT_FILES or path.split("/")[0] in FOLDERS}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    for title, names in (("missing from the wheel", wanted - packed), ("not expected in the wheel", packed - wanted)):
        if names:
            sys.stdout.write(f"{title}: {', '.join(sorted(names))}\n")
    sys.stdout.write(f"{len(packed)} files in {Path(wheel).name}\n")
    return int(packed != wanted)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
