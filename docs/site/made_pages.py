"""Pages of the reference that are made from the code: every public name, and the options of every command."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from chinese_modernbert.cli import PROGRAM, imported
from chinese_modernbert.commands import COMMANDS
from chinese_modernbert.runtime.help import Section, option_sections
from chinese_modernbert.runtime.markdown import markdown_table

PACKAGE = "chinese_modernbert"
FOLDERS = ("runtime", "modeling", "tokenization", "evaluation", "trainers", "hub_release", "demo")


def public_names(file: Path, package: str) -> dict[str, str]:
    """Return for each public name of an `__init__.py` the dotted name of its definition, in the order of `__all__`.

    The code is read, not run: an import of everything takes minutes and optional packages.
    """
    defined, promised = {}, []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*above, *([node.module] if node.module else [])])
            defined |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign) and any(getattr(one, "id", "") == "__all__" for one in node.targets):
            promised = ast.literal_eval(node.value)
    return {name: defined[name] for name in promised if name in defined}


def interface_pages(root: Path) -> Iterator[tuple[str, str]]:
    """Yield `(page, Markdown)` of each package with public names, and of their list.

    A name stands on the page of the package that defines it, or of the first that promises it.
    """
    files = [root / "__init__.py", *sorted(one for name in FOLDERS for one in (root / name).rglob("__init__.py"))]
    packages = {".".join((PACKAGE, *file.relative_to(root).parts[:-1])): file for file in files}
    promised = {
        package: {name: _definition(root, path) for name, path in public_names(file, package).items()}
        for package, file in packages.items()
    }
    homes: dict[str, str] = {}
    for defines in (True, False):
        for package in sorted(promised, key=len, reverse=True):
            for path in promised[package].values():
                if path.startswith(f"{package}.") or not defines:
                    homes.setdefault(path, package)
    index = ["# Python interface", "", "What the package and its rooms promise; everything else may change.", ""]
    for package, names in sorted(promised.items()):
        if not names:
            continue
        own = [path for path in names.values() if homes[path] == package]
        if own:
            yield f"reference/python/{_page(package)}", _interface_page(package, own)
        links = (f"[`{name}`]({_page(homes[path])}#{path})" for name, path in names.items())
        index += [f"## `{package}`", "", " · ".join(links), ""]
    yield "reference/python/index.md", "\n".join(index)


def _page(package: str) -> str:
    return f"{'_'.join(package.split('.')[1:]) or 'package'}.md"


def _definition(root: Path, path: str) -> str:
    """Return the definition that a dotted name leads to: a package that passes a name on leads further."""
    parts = path.split(".")
    init = root.joinpath(*parts[1:-1], "__init__.py")
    passed = public_names(init, ".".join(parts[:-1])) if init.is_file() else {}
    return _definition(root, passed[parts[-1]]) if parts[-1] in passed else path


def _interface_page(package: str, paths: list[str]) -> str:
    room = package.removeprefix(f"{PACKAGE}.")
    return "\n\n".join([f"---\ntitle: {room}\n---", f"# `{package}`", *(f"::: {path}" for path in paths)]) + "\n"


def command_pages() -> Iterator[tuple[str, str]]:
    """Yield `(page, Markdown)` of each command, and of their list."""
    rows = []
    for name, command in COMMANDS.items():
        page = f"{name.replace(' ', '_')}.md"
        rows.append((f"[`{name}`]({page})", command.purpose))
        words = f" [{command.first.upper()} ...]" if command.first else ""
        lines = [f"# `{name}`", "", f"{command.purpose[0].upper()}{command.purpose[1:]}.", ""]
        lines += ["```text", f"{PROGRAM} {name}{words} [--NAME VALUE ...]", "```"]
        for section in option_sections(imported(command.arguments)):
            lines += ["", *_section(section)]
        yield f"reference/commands/{page}", "\n".join([*lines, ""])
    listed = [
        "# Commands",
        "",
        f"`{PROGRAM} COMMAND --help` prints the same.",
        "",
        *markdown_table(("command", "what it does"), rows),
    ]
    yield "reference/commands/index.md", "\n".join([*listed, ""])


def _section(section: Section) -> list[str]:
    """Return a group of options as a table."""
    if section.text:
        return [f"## {section.title}", "", section.text]
    return [
        f"## {section.title}",
        "",
        *markdown_table(("option", "what it does"), ((f"`{name}`", text) for name, text in section.rows)),
    ]
