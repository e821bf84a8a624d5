"""Conventions of rows of tokens that every room shares: the label that no loss reads, and where runs of ids begin."""

import numpy as np

IGNORED_LABEL = -100
"""Label of a position with nothing to predict. Source: the default `ignore_index` of torch's cross-entropy."""


def begins_run(*columns: np.ndarray) -> np.ndarray:
    """Return where a run of equal values begins along the last axis.

    Args:
        columns: one array or several of one shape `[..., L]`; a change in any of them begins a run

    Returns:
        bool `[..., L]`, True at the first position of each row too.
    """
    begins = np.ones(columns[0].shape, dtype=bool)
    begins[..., 1:] = columns[0][..., 1:] != columns[0][..., :-1]
    for column in columns[1:]:
        begins[..., 1:] |= column[..., 1:] != column[..., :-1]
    return begins
