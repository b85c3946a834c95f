"""Exact binomial bounds from counted errors, without scipy.

How many errors among so many batteries still allow 'the true share is at most so much', said with
so much confidence? Plain numbers in, plain numbers out. Source: Clopper & Pearson, *Biometrika* 26
(1934) 404. Terms go through log-gamma, so large counts neither overflow nor vanish.
"""

import itertools
import math
from collections.abc import Iterator

_BISECTIONS = 60
"""Halvings of [0, 1]: the bound is then exact to the last digit of a double."""


def binomial_tail(errors: int, battery_count: int, share: float) -> float:
    """P(at most `errors` of `battery_count`) when each errs with probability `share`.

    Parameters
    ----------
    errors, battery_count : int
        ``0 <= errors <= battery_count``.
    share : float
        In (0, 1).

    Returns
    -------
    float
        Sum of binomial terms through log-gamma; relative error about 1e-12 at 1,000 batteries, below 1e-9 at 100,000.

    Examples
    --------
    >>> round(binomial_tail(0, 149, 0.02), 4)
    0.0493
    """
    return min(math.fsum(_binomial_terms(errors, battery_count, share)), 1.0)


def upper_bound_share(errors: int, battery_count: int, confidence: float) -> float:
    """One-sided Clopper-Pearson bound of the true share of errors.

    Parameters
    ----------
    errors, battery_count : int
        ``0 <= errors <= battery_count``.
    confidence : float
        In (0, 1).

    Returns
    -------
    float
        Share at which seeing so few errors has probability ``1 - confidence``; 1 if all are errors.

    Examples
    --------
    >>> round(upper_bound_share(0, 149, 0.95), 4)
    0.0199
    """
    if errors == battery_count:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        too_low = binomial_tail(errors, battery_count, middle) > 1.0 - confidence
        low, high = (middle, high) if too_low else (low, middle)
    return high


def errors_allowed(battery_count: int, share: float, confidence: float) -> int | None:
    """Most errors with which 'the true share is at most `share`' can be said; None if not even without one.

    Examples
    --------
    >>> errors_allowed(159, 0.02, 0.95), errors_allowed(159, 0.05, 0.95), errors_allowed(212, 0.01, 0.95)
    (0, 3, None)
    """
    tails = itertools.accumulate(_binomial_terms(battery_count, battery_count, share))
    passed = sum(1 for _ in itertools.takewhile(lambda tail: tail <= 1.0 - confidence, tails))
    return passed - 1 if passed else None


def batteries_needed(share: float, confidence: float) -> int:
    """Fewest batteries, all without error, with which 'the true share is at most `share`' can be said.

    Examples
    --------
    >>> [batteries_needed(share, 0.95) for share in (0.01, 0.02, 0.05)]
    [299, 149, 59]
    """
    about = math.floor(math.log(1.0 - confidence) / math.log1p(-share))
    return next(n for n in itertools.count(max(about, 1)) if errors_allowed(n, share, confidence) is not None)


def _binomial_terms(errors: int, battery_count: int, share: float) -> Iterator[float]:
    log_share, log_rest = math.log(share), math.log1p(-share)
    of_all = math.lgamma(battery_count + 1)
    for wrong in range(errors + 1):
        ways = of_all - math.lgamma(wrong + 1) - math.lgamma(battery_count - wrong + 1)
        yield math.exp(ways + wrong * log_share + (battery_count - wrong) * log_rest)
