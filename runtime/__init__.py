"""What every room uses: options, files, processes, environment, counter-based random numbers. Imports no other room."""

from typing import TYPE_CHECKING

from .lazy import lazy_names

if TYPE_CHECKING:
    from .counter_random import CounterRandom
    from .files import file_sha256, model_fingerprint, new_output_folder, write_text_atomically
    from .markdown import markdown_table
    from .options import load_recipe
    from .processes import on_every_process, on_main_process
    from .settings import differing_settings
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "CounterRandom",
    "differing_settings",
    "file_sha256",
    "load_recipe",
    "markdown_table",
    "model_fingerprint",
    "new_output_folder",
    "on_every_process",
    "on_main_process",
    "write_text_atomically",
]
