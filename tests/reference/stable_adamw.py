"""StableAdamW written element by element in plain Python, for one flat list of numbers."""

import math


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
