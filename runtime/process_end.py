"""How one of several processes ends: at once, without taking the interpreter down.

gloo's threads drop their last work only after the process that waited for it has gone on, and need the GIL for that.
Whoever destroys the process group meanwhile holds the GIL and waits for those threads forever, and an interpreter that
shuts down meanwhile is aborted. Both happen on a busy machine, after all work is done. So nobody destroys the group:
the operating system takes what is left.
"""

import atexit
import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec

Parameters = ParamSpec("Parameters")
# Names the file that exit codes are added to, a line each: torchrun itself answers 1 to every code.
EXIT_CODES = "CHINESE_MODERNBERT_EXIT_CODES"


class CheckFailedError(Exception):
    """A check found a fault; the message is the report."""


def ends_at_once(main: Callable[Parameters, int | None]) -> Callable[Parameters, int]:
    """Make a program end in this way where it has a process group, whether it returns, exits or fails.

    Its exit code is written down for a launcher that asks for it, with a process group or without.

    Args:
        main: returns the exit code; None is 0
    """

    @functools.wraps(main)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> int:
        try:
            code = main(*args, **kwargs) or 0
        except BaseException as error:
            code = _exit_code(error)
            if _has_process_group():
                if code is None:
                    traceback.print_exception(error)
                _end(1 if code is None else code)
            _write_down(1 if code is None else code)
            raise
        if _has_process_group():
            _end(code)
        _write_down(code)
        return code

    return run


def _has_process_group() -> bool:
    distributed: Any = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def _exit_code(error: BaseException) -> int | None:
    """Return the code of a program that exits; None for one that fails, with 1 and something to say."""
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return error.code or 0
    return None


def _end(code: int) -> None:
    """Run what is registered for the exit, write the code down, and end."""
    atexit._run_exitfuncs()
    _write_down(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _write_down(code: int) -> None:
    """Add an exit code to the file of a launcher that asks for it."""
    if record := os.environ.get(EXIT_CODES):
        with open(record, "a", encoding="utf-8") as stream:
            stream.write(f"{code}\n")
