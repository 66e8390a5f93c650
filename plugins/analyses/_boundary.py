"""The decision boundary that margins are measured from: the option `threshold`, a probability, as log-odds."""

from __future__ import annotations

import math

from auditor import ConfigError


def log_odds(threshold: float, analysis: str) -> float:
    """The log-odds of a probability between 0 and 1; ConfigError, in the name of the analysis, for any other number."""
    if not 0 < threshold < 1:
        raise ConfigError(f"{analysis}: threshold: {threshold} is not between 0 and 1: it is a probability")
    return math.log(threshold / (1 - threshold))
