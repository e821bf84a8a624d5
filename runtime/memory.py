"""Freed memory kept by the process: on a CPU a large tensor then costs no new pages from the system."""

import ctypes
import os

# Parameters of glibc's `mallopt`; a value is a C int.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
LARGEST_INT = 2**31 - 1
# Who sets one of these has decided.
VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES", "LD_PRELOAD")

PRODUCTS_KEPT = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
# oneDNN keeps 1,024 compiled products, and texts of other lengths bring dozens of new ones in every step. They lie
# about in the memory that large tensors leave, and the next ones no longer fit there. What every step needs fits in 64.
MOST_PRODUCTS = "64"


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for the next tensor instead of giving it back to the system.

    A step on a CPU allocates the same activations again and again, and every page that comes from the system is cleared
    first. The process holds its largest need until it ends, and oneDNN keeps fewer compiled products, which would cut
    that memory into pieces. Commands that compute for long call this; a library that is only imported does not.

    Returns:
        Whether it acted: only with glibc (Linux), and unless the environment says otherwise.
    """
    if any(os.environ.get(name) for name in VARIABLES):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018, musl has an idle mallopt
    except (AttributeError, OSError, TypeError):
        return False
    os.environ.setdefault(PRODUCTS_KEPT, MOST_PRODUCTS)  # oneDNN reads it at its first product
    # Blocks that are mapped each by itself always go back; the threshold for them cannot be set over 32 MiB.
    return bool(set_option(MMAP_MAX, 0) and set_option(TRIM_THRESHOLD, LARGEST_INT))
