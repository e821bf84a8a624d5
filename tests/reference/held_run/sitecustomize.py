"""On the path of a run in a test: training waits at the end of a step for a signal, however busy the machine.

Without it the signal would have to come before a few hundredths of a second of training are over.
"""

import os
import signal
import sys
import time
from typing import Any

# torchrun's agents start with the same variables; their workers are the ones that train.
IS_AGENT = any(name in " ".join(sys.orig_argv[:3]) for name in ("torchrun", "torch.distributed.run"))

if "HOLD_AT_STEP" in os.environ and not IS_AGENT:
    from transformers.trainer_callback import CallbackHandler

    handle_step_end = CallbackHandler.on_step_end

    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]

    before_training = handlers()

    def on_step_end(handler: Any, args: Any, state: Any, control: Any) -> Any:
        # A run that has been signalled gives the signals back.
        while state.global_step == int(os.environ["HOLD_AT_STEP"]) and handlers() != before_training:
            time.sleep(0.01)
        return handle_step_end(handler, args, state, control)

    CallbackHandler.on_step_end = on_step_end
