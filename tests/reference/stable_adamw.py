"""StableAdamW written element by element in plain Python, and tensor by tensor."""

import math

import torch


def stable_adamw(
    weights: list[float],
    gradients: list[list[float]],
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> list[float]:
    """Return the weights after one step for each list of gradients; decay is `weight_decay` a step at the peak rate."""
    first = [0.0] * len(weights)
    second = [0.0] * len(weights)
    for step, gradient in enumerate(gradients, start=1):
        for i, g in enumerate(gradient):
            first[i] = betas[0] * first[i] + (1 - betas[0]) * g
            second[i] = betas[1] * second[i] + (1 - betas[1]) * g * g
        first_hat = [m / (1 - betas[0] ** step) for m in first]
        second_hat = [v / (1 - betas[1] ** step) for v in second]
        ratios = [g * g / max(v, eps * eps) for g, v in zip(gradient, second_hat, strict=True)]
        rate = lr / max(1.0, math.sqrt(sum(ratios) / len(ratios)))
        for i in range(len(weights)):
            weights[i] -= rate * weight_decay / lr * weights[i]
            weights[i] -= rate * first_hat[i] / (math.sqrt(second_hat[i]) + eps)
    return weights


class PerTensorStableAdamW:
    """StableAdamW one tensor after the other, whole, in the order of operations that the library's batches keep."""

    def __init__(self, weights: list[torch.Tensor], lr: float, weight_decay: float, eps: float = 1e-6) -> None:
        self.weights, self.lr, self.weight_decay, self.eps, self.betas = weights, lr, weight_decay, eps, (0.9, 0.98)
        self.moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in weights]
        self.steps = [0] * len(weights)
        self.clipped = [0] * len(weights)

    @torch.no_grad()
    def step(self) -> None:
        """Take one step; `clipped` counts the steps in which each tensor's rate was reduced."""
        for i, weight in enumerate(self.weights):
            if weight.grad is not None:
                self._step(i, weight, weight.grad)

    def _step(self, i: int, weight: torch.Tensor, gradient: torch.Tensor) -> None:
        self.steps[i] += 1
        first, second = (
            beta * (1.0 - math.pow(beta, self.steps[i] - 1)) / (1.0 - math.pow(beta, self.steps[i]))
            for beta in self.betas
        )
        mean, square = self.moments[i]
        mean.lerp_(gradient, 1.0 - first)
        squared = gradient.square()
        square.lerp_(squared, 1.0 - second)
        ratio = squared / square.clamp_min(self.eps**2)
        root = (ratio.sum() / ratio.numel()).sqrt()
        self.clipped[i] += int(root > 1.0)
        rate = self.lr / root.clamp_min(1.0)
        weight.mul_(1.0 - rate * (self.weight_decay / self.lr))
        weight.sub_(mean / square.sqrt().add_(self.eps) * rate)
