"""A bag of words with texts to mask."""

from collections.abc import Callable

import pytest

from reference.bag_of_words import Bag, make_bag


@pytest.fixture
def bag() -> Callable[..., Bag]:
    """Return what makes one, of a kind and a number of outputs."""
    return make_bag
