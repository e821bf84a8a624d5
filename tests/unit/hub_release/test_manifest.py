"""Which Python files a release may hold: those of the installed version, or all of those of one earlier version."""

import ast
import filecmp
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from chinese_modernbert import __version__
from chinese_modernbert.hub_release import manifest
from chinese_modernbert.hub_release.manifest import (
    INSTALLED,
    closest_version,
    known_modeling_digests,
    renew_modeling_files,
)
from chinese_modernbert.hub_release.verification.verify import _static_checks
from chinese_modernbert.modeling import ChineseModernBertConfig
from reference.older_release import make_older


def outcomes(folder: Path) -> dict[str, tuple[str, str]]:
    return {check.name: (check.outcome, check.detail) for check in _static_checks(folder)}


def test_a_release_of_an_older_version_is_accepted_and_the_version_is_named(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(release, "0.0.9", tmp_path / "table.json")
    assert "differs from version" in outcomes(release)["modeling files are this library's"][1]
    monkeypatch.setattr(manifest, "DIGESTS_FILE", tmp_path / "table.json")
    found = outcomes(release)
    assert found["modeling files are this library's"] == ("pass", "version 0.0.9")
    assert {outcome for outcome, _ in found.values()} == {"pass"}


def test_a_mix_of_two_versions_is_refused_and_the_file_that_does_not_fit_is_named(
    release: Path, saved_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(release, "0.0.9", tmp_path / "table.json")
    monkeypatch.setattr(manifest, "DIGESTS_FILE", tmp_path / "table.json")
    name = "layout_chinese_modernbert.py"
    (release / name).write_bytes((saved_release / name).read_bytes())
    detail = outcomes(release)["modeling files are this library's"]
    assert detail == ("fail", f"{name} differs from version 0.0.9")


def test_an_older_version_needs_the_files_that_it_had(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(release, "0.0.9", tmp_path / "table.json")
    monkeypatch.setattr(manifest, "DIGESTS_FILE", tmp_path / "table.json")
    name = "layout_chinese_modernbert.py"
    table = json.loads((tmp_path / "table.json").read_text())
    del table["0.0.9"][name]
    (tmp_path / "table.json").write_text(json.dumps(table))
    assert outcomes(release)["modeling files are this library's"] == ("fail", f"{name} is none of them")
    (release / name).unlink()
    found = outcomes(release)
    assert found["modeling files are this library's"][0] == found["every file is there"][0] == "pass"


def test_an_older_release_gets_the_code_of_today_and_keeps_the_rest(saved_release: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved_release, tmp_path / "older")
    (folder / "rotary_chinese_modernbert.py").write_text("older = True\n")
    (folder / "gone_chinese_modernbert.py").write_text("gone = True\n")
    (folder / "layers_chinese_modernbert.py").unlink()
    renew_modeling_files(folder)
    same = filecmp.dircmp(saved_release, folder)
    assert not same.left_only and not same.right_only and not same.diff_files
    (folder / "release_manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="names no files"):
        renew_modeling_files(folder)
    assert (folder / "layers_chinese_modernbert.py").is_file()


def test_of_equally_close_versions_the_installed_one_counts(saved_release: Path) -> None:
    assert closest_version({})[0] == INSTALLED
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in saved_release.glob("*.py")}
    assert closest_version(digests) == (INSTALLED, digests)


def test_every_recorded_version_is_whole_and_a_released_one_no_longer_changes() -> None:
    known = known_modeling_digests()
    assert {"0.1.0.dev0"} < set(known)
    for digests in known.values():
        assert {"configuration_chinese_modernbert.py", "modeling_chinese_modernbert.py"} <= set(digests)
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests.values())
    assert known.get(__version__, known[INSTALLED]) == known[INSTALLED]


def test_entry_files_import_every_sibling_that_they_need(saved_release: Path) -> None:
    """Transformers 4.57 copies from a local folder the entry file and its own imports only."""
    direct = {}
    for path in saved_release.glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        direct[path.stem] = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and node.level}
    for entry in {str(value).split(".")[0] for value in ChineseModernBertConfig().auto_map.values()}:
        assert all(direct[sibling] <= direct[entry] | {entry} for sibling in direct[entry]), entry
