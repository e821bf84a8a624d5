"""Install the repository's folders as one package, ``chinese_modernbert``; the metadata is in pyproject.toml."""

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "chinese_modernbert"
FOLDERS = (
    "runtime",
    "modeling",
    "tokenization",
    "evaluation",
    "evaluation.clue",
    "evaluation.explanations",
    "evaluation.language_modeling",
    "evaluation.retrieval",
    "evaluation.rewriting",
    "evaluation.sentences",
    "evaluation.spelling",
    "trainers",
    "trainers.clue",
    "trainers.contrastive",
    "trainers.contrastive.kinds",
    "trainers.data",
    "trainers.masking",
    "trainers.masking.materials",
    "trainers.pretraining",
    "trainers.pretraining.batches",
    "trainers.pretraining.objectives",
    "trainers.pretraining.optimizers",
    "trainers.spelling",
    "hub_release",
    "hub_release.card",
    "hub_release.gguf",
    "hub_release.onnx",
    "hub_release.upload",
    "hub_release.verification",
    "demo",
    "demo.corpus",
)
ROOT_MODULES = ("__init__", "cli", "commands")


class BuildPackage(build_py):
    """Take only the root's own modules: setup.py and conftest files are not part of the package."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Return (package, module, path) rows, those of the root filtered to `ROOT_MODULES`."""
        modules = super().find_package_modules(package, package_dir)
        return [row for row in modules if package != PACKAGE or row[1] in ROOT_MODULES]


setup(
    package_dir={PACKAGE: "."},
    packages=[PACKAGE, *(f"{PACKAGE}.{folder}" for folder in FOLDERS)],
    package_data={
        PACKAGE: ["py.typed"],
        f"{PACKAGE}.runtime": ["*.yaml"],
        f"{PACKAGE}.tokenization": ["*.txt"],
        f"{PACKAGE}.trainers": ["recipes/*.yaml", "recipes/*.sbatch"],
        f"{PACKAGE}.evaluation.clue": ["*.yaml"],
        f"{PACKAGE}.evaluation.language_modeling": ["*.yaml"],
        f"{PACKAGE}.evaluation.sentences": ["*.yaml"],
        f"{PACKAGE}.hub_release": ["*.json", "assets/tokenizer/*"],
        f"{PACKAGE}.hub_release.card": ["*.md", "*.json", "examples/*.md"],
        f"{PACKAGE}.demo.corpus": ["*.yaml"],
    },
    include_package_data=False,
    cmdclass={"build_py": BuildPackage},
)
