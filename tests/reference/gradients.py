"""Comparing two results and the gradients that they give."""

from collections.abc import Sequence

import torch


def assert_same_with_gradients(
    ours: torch.Tensor, theirs: torch.Tensor, our_inputs: Sequence[torch.Tensor], their_inputs: Sequence[torch.Tensor]
) -> None:
    """Compare results of two functions, and what one upstream gradient becomes at their inputs."""
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(ours)
    ours.backward(upstream)
    theirs.backward(upstream)
    for one, other in zip(our_inputs, their_inputs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)
