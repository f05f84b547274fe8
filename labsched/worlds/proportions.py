"""How sure a share is that was counted. Formulas and where they are from."""

from __future__ import annotations

from math import sqrt

Z95 = 1.959963984540054  # the 97.5th percentile of the normal distribution


def wilson(k: int, n: int, z: float = Z95) -> tuple[float, float]:
    """The interval for the true share when `k` of `n` was counted, at 95 % unless `z` says otherwise.

    E. B. Wilson: Probable inference, the law of succession, and statistical inference, JASA 22 (1927). Unlike the
    textbook interval it stays inside 0 to 1 and is right for small `n` and for shares near 0. Without any: 0 to 1.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no share")
    if n == 0:
        return 0.0, 1.0
    share, spread = k / n, z * z / n
    middle = share + spread / 2
    reach = z * sqrt(share * (1 - share) / n + spread / (4 * n))
    low, high = (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)
    return (0.0 if k == 0 else low), (1.0 if k == n else high)


def rule_of_three(n: int) -> float:
    """With 95 % certainty the true share is at most this, when none of `n` was counted: 3/n.

    J. A. Hanley, A. Lippman-Hand: If nothing goes wrong, is everything all right? JAMA 249 (1983).
    """
    return min(1.0, 3 / n) if n else 1.0
