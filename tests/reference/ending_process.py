"""One of two processes whose gloo threads get no time after their last work, as on a busy machine.

Words: this process's number, a file to meet in, and how it ends: `return`, `exit` or `fail`.
"""

import os
import sys
from pathlib import Path

import torch
from torch import distributed

from chinese_modernbert.runtime.process_end import ends_at_once


def starve_threads() -> None:
    """Let gloo's threads run only when nothing else wants the processor, and give up the GIL only while waiting."""
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().strip() == "pt_gloo_runloop":
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
    sys.setswitchinterval(1000.0)


@ends_at_once
def main(number: str, meeting: str, way: str) -> int:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=int(number), world_size=2)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3))
    starve_threads()
    model(torch.ones(2, 3)).sum().backward()
    distributed.all_gather_object([None, None], {"some": "thing"})
    if way == "exit":
        raise SystemExit(75)
    if way == "fail":
        raise ValueError("what went wrong")
    return 3


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
