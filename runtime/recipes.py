"""Reading recipes: flat YAML whose keys are options of a command.

`${NAME}` in a text is replaced by the environment variable of that name; `$${NAME}` stands for `${NAME}` itself. The
recipe that a run writes down holds the name again; a variable whose name says that it is a secret is refused.
"""

import os
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .text_files import read_text

RECIPES_FOLDER = Path(__file__).parents[1] / "trainers" / "recipes"
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_VARIABLE = re.compile(r"(\$?)\$\{(\w+)\}")
# No option of a command takes a secret: libraries read theirs from the environment, and options are written down.
_SECRET_NAME = re.compile(
    r"(?:.*_)?(?:TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|(?:API|ACCESS|SECRET|PRIVATE)_?KEY)S?(?:_.*)?"
)


class FromEnvironment(str):
    """A text of a recipe with its environment variables filled in.

    Attributes:
        written: the text as the recipe has it, with the names of the variables
    """

    written: str

    def __new__(cls, text: str, written: str = "") -> "FromEnvironment":
        """Make the text; without `written`, as when it is copied, the attribute is set afterwards."""
        value = super().__new__(cls, text)
        value.written = written
        return value


def with_variables(value: Any) -> Any:
    """Return plain data in which texts from the environment are as the recipe has them, for what is written down."""
    if isinstance(value, FromEnvironment):
        return value.written
    if isinstance(value, dict):
        return {name: with_variables(one) for name, one in value.items()}
    return [with_variables(one) for one in value] if isinstance(value, list) else value


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that is written twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping.

        Raises:
            ValueError: If a key occurs twice.
        """
        seen: dict[Any, int] = {}
        for key, _ in node.value:
            line, first = key.start_mark.line + 1, seen.get(key.value)
            if first is not None:
                raise ValueError(f"line {line}: '{key.value}' is given twice, first in line {first}; keep one of them")
            seen[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """Read YAML without objects and without keys that are given twice.

    Raises:
        ValueError: If the text is not YAML, or a mapping has a key twice.
    """
    try:
        return yaml.load(text, _UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def find_recipe(path: str | Path) -> Path:
    """Return the recipe's file: a path, or the name of a recipe that ships with the package (`pretrain_smoke`).

    Raises:
        FileNotFoundError: If there is neither such a file nor such a recipe.
    """
    shipped = RECIPES_FOLDER / f"{Path(path).name.removesuffix('.yaml')}.yaml"
    if Path(path).is_file():
        return Path(path)
    if Path(path).parent == Path(".") and shipped.is_file():
        return shipped
    names = ", ".join(sorted(file.stem for file in RECIPES_FOLDER.glob("*.yaml")))
    raise FileNotFoundError(f"recipe '{path}' is neither a file nor one of the shipped recipes: {names}")


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read a recipe's keys and values, with its environment variables filled in.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If the file is not YAML, not a mapping of names to values, gives a key twice, or uses an
            environment variable that is not set.
    """
    file = find_recipe(path)
    text = read_text(file)
    try:
        values = read_yaml(text)
    except ValueError as error:
        message = str(error)
        place, _, rest = message.removeprefix("line ").partition(": ")
        is_twice = message.startswith("line ") and place.isdecimal()
        raise ValueError(f"{file}:{place}: {rest}" if is_twice else f"{file} is not YAML: {message}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ValueError(f"{file} must be a mapping of field names to values, one 'name: value' per line")
    return {key: expand_variables(value, key, str(file)) for key, value in values.items()}


def expand_variables(value: Any, key: str, origin: str) -> Any:
    """Replace `${NAME}` in every text of a value by the environment variable, and `$${NAME}` by `${NAME}`.

    Raises:
        ValueError: If a variable is not set, which does not become an empty text, or is a secret by its name.
    """
    if isinstance(value, list):
        return [expand_variables(item, key, origin) for item in value]
    if isinstance(value, dict):
        return {name: expand_variables(item, key, origin) for name, item in value.items()}
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        variable = match[0]
        if _SECRET_NAME.fullmatch(match[2].upper()):
            raise ValueError(
                f"{key} in {origin} uses {variable}, by its name a secret, which no option takes and a run would write "
                "down; leave it out, libraries find it in the environment"
            )
        if match[2] not in os.environ:
            raise ValueError(f"{key} in {origin} uses {variable}, but that environment variable is not set; export it")
        return os.environ[match[2]]

    filled = _VARIABLE.sub(replacement, value)
    is_plain = all(match[1] for match in _VARIABLE.finditer(value))
    return filled if is_plain else FromEnvironment(filled, value)


def with_numbers(value: Any) -> Any:
    """Turn numbers with an exponent into numbers; YAML reads `1e-4` as text."""
    if isinstance(value, dict):
        return {name: with_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        number = float(value)
        return int(number) if number.is_integer() and "-" not in value[1:] else number
    return value
