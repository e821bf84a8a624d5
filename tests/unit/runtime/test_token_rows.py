"""Runs of equal ids, against a loop over neighbours."""

import numpy as np
import pytest

from chinese_modernbert.runtime.token_rows import begins_run


@pytest.mark.parametrize("shape", [(0,), (1,), (40,), (3, 17), (2, 3, 5)])
def test_a_run_begins_where_a_neighbor_differs_and_in_every_row(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    columns = [random.integers(0, 2, shape) for _ in range(2)]
    for count in (1, 2):
        found = begins_run(*columns[:count])
        assert found.shape == shape and found.dtype == bool
        for index in np.ndindex(shape):
            before = (*index[:-1], index[-1] - 1)
            expected = index[-1] == 0 or any(column[index] != column[before] for column in columns[:count])
            assert found[index] == expected
