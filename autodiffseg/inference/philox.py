"""Philox-4x32-10: random bits as a pure function of a counter and a key, on any device.

Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011, doi 10.1145/2063384.2063405).
"""

from __future__ import annotations

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Four random 32-bit words per counter.

    Args:
        counter: four int64 tensors of values in [0, 2^32); their shapes broadcast.
        key: two integers in [0, 2^32).

    Returns:
        Four int64 tensors of values in [0, 2^32); bit-identical on every device.
    """
    a, b, c, d = counter
    for i in range(ROUNDS):
        key_a, key_c = ((k + i * step) & MASK for k, step in zip(key, KEY_STEPS, strict=True))
        # The product of two 32-bit words wraps round int64's sign; shift and mask still give its exact halves.
        product_a, product_c = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        # Grids given as broadcast axes only grow to full size in the third round, which saves a fifth of the work.
        a = torch.bitwise_xor((product_c >> 32).bitwise_and_(MASK).bitwise_xor_(key_a), b)
        c = torch.bitwise_xor((product_a >> 32).bitwise_and_(MASK).bitwise_xor_(key_c), d)
        b, d = product_c.bitwise_and_(MASK), product_a.bitwise_and_(MASK)
    return a, b, c, d
