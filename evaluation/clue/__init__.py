"""CLUE: tasks, their files, scores, significance, submissions and the report."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .files import TaskData, read_task
    from .own_tasks import read_own_task
    from .readers import Example
    from .scores import example_scores, score
    from .significance import PairedComparison, compare
    from .submissions import write_submissions
    from .tasks import TASKS, Task
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Example",
    "PairedComparison",
    "TASKS",
    "Task",
    "TaskData",
    "compare",
    "example_scores",
    "read_own_task",
    "read_task",
    "score",
    "write_submissions",
]
