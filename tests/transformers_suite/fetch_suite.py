"""Fetch Transformers' own model tests of the installed version from PyPI into a cache folder that git ignores.

The source distribution ships the common tests but not three modules that they import. Of those the tests of an encoder
need one dictionary and two base classes to inherit from, which are written here. Nothing of theirs enters this
repository. Run as a script: `python tests/transformers_suite/fetch_suite.py`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import transformers

CACHE = Path(__file__).resolve().parents[2] / "outputs" / "transformers_suite"
PACKAGE = "transformers_tests"
# What the common tests import beside Transformers and torch; a pure Python package without dependencies.
REQUIREMENT = "parameterized==0.9.0"

STAND_INS = {
    "__init__.py": "",
    "exporters/__init__.py": "",
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/__init__.py": "",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "utils/__init__.py": "",
    # Fields that every configuration takes, each away from its default.
    "utils/test_configuration_utils.py": """config_common_kwargs = {
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "is_encoder_decoder": True,
    "architectures": ["SomeModel"],
    "id2label": {0: "one", 1: "two"},
    "label2id": {"one": 0, "two": 1},
    "problem_type": "regression",
}
""",
}


def suite_folder() -> Path:
    """Return the folder that goes onto `sys.path`; it holds the package `transformers_tests` once fetched."""
    return CACHE / transformers.__version__


def is_fetched() -> bool:
    """Whether the tests of the installed Transformers are in the cache."""
    return (suite_folder() / PACKAGE / "test_modeling_common.py").is_file()


def fetch_suite() -> Path:
    """Download and unpack the tests unless they are there already.

    Returns:
        The folder for `sys.path`.

    Raises:
        subprocess.CalledProcessError: where pip cannot get the source distribution.
    """
    folder = suite_folder()
    if is_fetched():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        place = Path(temporary)
        wanted = f"transformers=={transformers.__version__}"
        _pip("download", "--no-deps", "--no-binary", "transformers", "--dest", str(place), wanted)
        unpacked = place / "suite"
        _unpack(next(place.glob("transformers-*.tar.gz")), unpacked / PACKAGE)
        if importlib.util.find_spec("parameterized") is None:
            _pip("install", "--no-deps", "--target", str(unpacked), REQUIREMENT)
        unpacked.rename(folder)
    return folder


def _pip(*arguments: str) -> None:
    """Run pip of this interpreter."""
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], check=True)


def _unpack(archive: Path, folder: Path) -> None:
    """Write the archive's `tests/*.py` and the stand-ins into a folder."""
    with tarfile.open(archive) as opened:
        members = [member for member in opened if Path(member.name).match("transformers-*/tests/test_*.py")]
        for member in members:
            member.name = Path(member.name).name
        opened.extractall(folder, members=members, filter="data")
    for name, text in STAND_INS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    fetch_suite()
