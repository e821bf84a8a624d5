"""Several devices on a machine that has one: every tensor carries the name of a device, and an operation on two raises.

The numbers are those of the real device. What torch does inside one call is not seen, which is as much as matters: a
call gets its tensors from one place, or from two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

HERE = torch.device("cpu")
MOVES = (torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda)


def place_of(tensor: torch.Tensor) -> torch.device:
    """Return the device that a tensor pretends to be on."""
    return tensor.__dict__.get("pretended", HERE)


def tensors_in(values: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor in nested lists and dictionaries."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        yield from tensors_in(list(values.values()))
    elif isinstance(values, Sequence) and not isinstance(values, str):
        for value in values:
            yield from tensors_in(value)


class PretendedDevices(TorchFunctionMode):
    """Within it, `tensor.to("cuda:1")` gives a tensor that says so, and whatever is made of it says so too."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function == torch.Tensor.device.__get__:
            return place_of(args[0])
        if function in MOVES:
            return self._move(args, kwargs)
        wanted = kwargs.pop("device", None)
        # A tensor of no dimension may come from the host, as with torch.
        places = {place_of(tensor) for tensor in tensors_in([args, kwargs]) if tensor.dim()}
        if len(places) > 1:
            raise RuntimeError(f"{function.__name__}: tensors on {sorted(map(str, places))}")
        result = function(*args, **kwargs)
        place = next(iter(places), HERE) if wanted is None else torch.device(wanted)
        for tensor in tensors_in(result):
            if tensor.__dict__.get("pretended") != place:
                tensor.__dict__["pretended"] = place
        return result

    @staticmethod
    def _move(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        tensor, *rest = args
        place, kept = kwargs.pop("device", None), []
        for value in rest:
            if isinstance(value, (str, torch.device, int)) and not isinstance(value, bool):
                place = value
            else:
                kept.append(value)
        kwargs.pop("non_blocking", None)
        place = place_of(tensor) if place is None else torch.device(place)
        result = torch.Tensor.to(tensor, *kept, **kwargs) if kept or kwargs else tensor
        if place != place_of(tensor):
            result = result.view(result.shape)
        result.__dict__["pretended"] = place
        return result


@contextmanager
def placed(modules: Mapping[torch.nn.Module, str]) -> Iterator[None]:
    """Put the parameters of modules on pretended devices, each module with the hook that `accelerate` gives it.

    The first module is the whole model; one that comes later in the mapping counts more.
    """
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module

    root = next(iter(modules))
    for module, device in modules.items():
        for parameter in module.parameters():
            parameter.__dict__["pretended"] = torch.device(device)
        hook = AlignDevicesHook(io_same_device=module is root)
        add_hook_to_module(module, hook)
        hook.execution_device = device  # given afterwards: it would really move the parameters
    try:
        with PretendedDevices():
            yield
    finally:
        for module in modules:
            remove_hook_from_module(module)
            for parameter in module.parameters():
                parameter.__dict__.pop("pretended", None)
