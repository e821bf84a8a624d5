"""Upload of a release: the plan, then the push."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .plan import PushPlan, plan_push
    from .push import PushArguments, push_release
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["PushArguments", "PushPlan", "plan_push", "push_release"]
