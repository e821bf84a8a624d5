"""Whatever makes a good release hostile is refused, and nothing but bytes is read before."""

import builtins
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chinese_modernbert.hub_release import verify_release
from chinese_modernbert.hub_release.contents import JSON_FILES
from chinese_modernbert.hub_release.verification import verify
from chinese_modernbert.hub_release.verification.security import content_faults, name_faults
from reference.hostile_folders import DAMAGES, changed_values, seal
from reference.hostile_modules import MODULE_DAMAGES

RECORDS = {
    "run": {"seed": 1, "masking": {"name": "x", "auto_map": None}},
    "packages": {"torch": "2"},
    "machine": {"threads": 1, "cores": 2},
    "name": "owner/name",
    "recipe": {"file": "recipe.yaml", "sha256": "0" * 64},
}


@pytest.fixture(scope="module")
def known_release(saved_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release that holds records and what may join later."""
    folder = Path(shutil.copytree(saved_release, tmp_path_factory.mktemp("known") / "release"))
    (folder / "training_provenance.json").write_text(json.dumps(RECORDS))
    (folder / "recipe.yaml").write_text("seed: 1\nstages:\n- context_length: 128\n  share: 1.0\nreport_to: none\n")
    (folder / "masking.yaml").write_text("rate: 0.3\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    return folder


@pytest.fixture
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a library would see the folder, or somebody is asked."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the folder was loaded")

    for name in ("_Reference", "run_script"):
        monkeypatch.setattr(verify, name, refuse)
    monkeypatch.setattr(builtins, "input", refuse)


def test_a_release_with_all_that_may_join_it_has_no_fault(known_release: Path) -> None:
    assert name_faults(known_release) == content_faults(known_release) == []
    assert {check.outcome for check in verify._static_checks(known_release)} == {"pass"}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_hostile_folder_is_refused_before_anything_loads_it(
    name: str, known_release: Path, tmp_path: Path, nothing_is_loaded: None
) -> None:
    folder = Path(shutil.copytree(known_release, tmp_path / "release"))
    DAMAGES[name](folder)
    expect_refusal(folder)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in MODULE_DAMAGES.items() for name in names])
def test_hostile_modules_are_refused_before_anything_loads_them(
    kind: str, name: str, model_release: Callable[[str], Path], tmp_path: Path, nothing_is_loaded: None
) -> None:
    folder = Path(shutil.copytree(model_release(kind), tmp_path / "release"))
    MODULE_DAMAGES[kind][name](folder)
    expect_refusal(folder)


def expect_refusal(folder: Path) -> None:
    """Mend the manifest of a folder, and see that its verification starts no process and says why."""
    seal(folder)
    report = verify_release(folder)
    about_trust = ("security: ", "modeling files are this library's")
    assert any(check.name.startswith(about_trust) for check in report.failed), report.summary()
    assert report.checks[-1].name == "isolated process" and report.checks[-1].outcome == "skip"
    lines = report.summary().split("\n")
    assert len(lines) == len(report.checks) + 1 and report.summary().isascii()


def test_sixty_ways_are_tried() -> None:
    assert len(DAMAGES) > 60
    assert all(MODULE_DAMAGES.values()) and sum(map(len, MODULE_DAMAGES.values())) > 60


@pytest.mark.parametrize("kind", MODULE_DAMAGES)
def test_modules_of_every_kind_have_no_fault(kind: str, model_release: Callable[[str], Path]) -> None:
    assert name_faults(model_release(kind)) == content_faults(model_release(kind)) == []
    assert {check.outcome for check in verify._static_checks(model_release(kind))} == {"pass"}


@pytest.mark.parametrize("name", [name for name in JSON_FILES if not name.startswith("onnx")])
def test_no_json_file_takes_a_key_or_an_object_more_anywhere(
    name: str, known_release: Path, model_release: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    releases = [known_release, *(model_release(kind) for kind in ("sparse", *MODULE_DAMAGES))]
    holder = next(folder for folder in releases if (folder / name).is_file())
    value = json.loads((holder / name).read_text(encoding="utf-8"))
    value.pop("run", None) if isinstance(value, dict) else None  # a record of any form, which no library reads
    tried = 0
    for changed in changed_values(value):
        (tmp_path / name).write_text(json.dumps(changed))
        assert content_faults(tmp_path), changed
        tried += 1
    assert tried > 2


def test_errors_say_file_place_and_what_is_wanted(known_release: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for values, expected in (
        ({"hidden_size": "32"}, "config.json: hidden_size is '32', wanted is a whole number"),
        ({"classifier_pooling": "max"}, "config.json: classifier_pooling is 'max', wanted is one of 'cls', 'mean'"),
        ({"attribute_map": {}}, "config.json: attribute_map is no key that a release has"),
    ):
        path.write_text(json.dumps(values))
        assert content_faults(tmp_path) == [expected]
