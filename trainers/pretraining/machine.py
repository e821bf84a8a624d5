"""What a run computes with on its machine: compiled layers, and who multiplies float32 matrices on a CPU."""

import os
import shutil

from ...modeling.products_chinese_modernbert import set_products
from .arguments import PretrainingArguments

COMPILERS = ("g++", "clang++", "cl")


def check_compiling(arguments: PretrainingArguments) -> None:
    """Check that layers can be compiled where that is asked for.

    Raises:
        ValueError: Beside `torch_compile`, or on a CPU without a C++ compiler.
    """
    if not arguments.compile_layers:
        return
    if arguments.torch_compile:
        raise ValueError("compile_layers and torch_compile are both true; set one, compile_layers keeps rows flat")
    compilers = (os.environ.get("CXX"), *COMPILERS)
    if arguments.device.type == "cpu" and not any(name and shutil.which(name) for name in compilers):
        raise ValueError(
            f"compile_layers needs a C++ compiler on a CPU, and none of {', '.join(COMPILERS)} is on the PATH; "
            "install one, or set compile_layers: false"
        )


def choose_products(arguments: PretrainingArguments, recorded: str | None = None) -> str:
    """Choose the library of a run's products, and return it.

    Args:
        arguments: with `cpu_products`
        recorded: what a run that goes on has used; it stands where `cpu_products` is `auto`, since another library
            rounds otherwise

    Raises:
        ValueError: For an unknown library, or one that this torch lacks.
    """
    is_open = arguments.cpu_products == "auto"
    return set_products(recorded if is_open and recorded else arguments.cpu_products)
