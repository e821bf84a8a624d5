"""What of a folder goes to the Hub: the files of the release and nothing else, and why a folder is refused.

All of this is decided without the network. Files that a release does not hold stay behind; a link that leaves the
folder, a file that holds something like a token, or a manifest that names a foreign file stops the push.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..contents import LATER_FILES, may_hold
from ..manifest import MANIFEST_FILE, read_release_manifest, release_files
from .secrets import find_secret


@dataclass(frozen=True)
class PushPlan:
    """What a push sends.

    Attributes:
        folder: the release, resolved
        sizes: bytes of every file that goes, by its path in the repository, in order of name
        left_out: files of the folder that stay behind
    """

    folder: Path
    sizes: dict[str, int]
    left_out: tuple[str, ...]

    @property
    def total(self) -> int:
        """Bytes of all files that go."""
        return sum(self.sizes.values())

    def listing(self) -> str:
        """Return one line per file, sizes first, then those that stay, then the total."""
        rows = [f"{size:>15,}  {name}" for name, size in self.sizes.items()]
        rows += [f"{'stays here':>15}  {name}" for name in self.left_out]
        return "\n".join([*rows, f"{self.total:>15,}  bytes in {len(self.sizes)} files"])


def plan_push(folder: str | Path) -> PushPlan:
    """Decide what of a folder goes to the Hub.

    Args:
        folder: a release, as `build_release` wrote it; ONNX files, pictures and a second card may have joined it

    Raises:
        FileNotFoundError: Where the folder or a file that its manifest names is missing.
        ValueError: For a folder that is no release, a link that leaves it, a manifest that names what no release holds,
            or a file that holds what looks like a secret.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give the folder of a release")
    if not (root / MANIFEST_FILE).is_file():
        raise ValueError(f"{folder} is no release, it has no {MANIFEST_FILE}; build one: chinese-modernbert release")
    built = read_release_manifest(root)
    if foreign := [name for name in built if not may_hold(name)]:
        raise ValueError(f"{MANIFEST_FILE} of {folder} names {foreign[0]}, which no release holds; build it again")
    _refuse_links_that_leave(root)
    present = release_files(root)
    if lost := sorted(set(built) - set(present)):
        raise FileNotFoundError(f"{folder} lacks {', '.join(lost)}, which its {MANIFEST_FILE} names; build it again")
    going = sorted([MANIFEST_FILE, *(name for name in present if name in built or LATER_FILES.fullmatch(name))])
    for name in going:
        _refuse_secrets(root, name)
    sizes = {name: (root / name).stat().st_size for name in going}
    return PushPlan(root, sizes, tuple(sorted(set(present) - set(going))))


def _refuse_links_that_leave(root: Path) -> None:
    """Raise for the first link, to a file or a folder, whose target lies outside."""
    for path in sorted(root.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ValueError(f"{path} is a link to {path.resolve()}, outside of the release; put a copy in its place")


def _refuse_secrets(root: Path, name: str) -> None:
    """Raise where a file holds what looks like a secret; the message does not repeat it."""
    if kind := find_secret(root / name):
        raise ValueError(f"{root / name} holds what looks like {kind}; remove it, and revoke it if it is real")
