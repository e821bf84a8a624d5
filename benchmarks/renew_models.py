"""Bring the code inside the released folders of hub_release/models to that of modeling/: make models."""

from pathlib import Path

from chinese_modernbert.hub_release.manifest import MANIFEST_FILE, renew_modeling_files

for manifest in sorted((Path(__file__).parents[1] / "hub_release" / "models").glob(f"*/{MANIFEST_FILE}")):
    renew_modeling_files(manifest.parent)
    print(manifest.parent.name)
