"""Bring the code inside the released folders of hub_release/models to that of modeling/: make models."""

from pathlib import Path

from chinese_modernbert.hub_release.manifest import MANIFEST_FILE, renew_modeling_files

MODELS = Path(__file__).parents[1] / "hub_release" / "models"


def main() -> None:
    """Renew each released folder and name it."""
    for manifest in sorted(MODELS.glob(f"*/{MANIFEST_FILE}")):
        renew_modeling_files(manifest.parent)
        print(manifest.parent.name)


if __name__ == "__main__":
    main()
