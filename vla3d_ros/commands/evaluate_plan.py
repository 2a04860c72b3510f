"""`vla3d evaluate plan`: how many trials a question needs, before the first one is run."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics.planning import (
    exact_power,
    pairs_needed,
    sequential_paired_plan,
    sequential_plan,
    trials_per_arm,
)

_POWERS_AT = (10, 20, 50)
_MOST_EXACT = 120
_SEED = 0


def plan(options: argparse.Namespace, console: Console) -> int:
    """Print trials per policy for a fixed and for a sequential comparison, on different and on the same scenes."""
    if options.effect is None:
        raise ConfigError("'vla3d evaluate plan' needs --effect: the difference of success rates to find, e.g. 0.1")
    low, high = options.baseline, options.baseline + options.effect
    if not 0 <= low < high <= 1:
        raise ConfigError(f"--baseline and --effect mean rates {low:g} and {high:g}; expected fractions from 0 to 1")
    figures = _figures(low, high, options)
    console.print(
        f"To tell [bold]{low:.0%}[/] from [bold]{high:.0%}[/] with power {options.power:.0%} and two-sided error "
        f"{options.alpha:.0%}, every policy needs:"
    )
    console.print(_table(figures))
    for n, power in figures["exact_power"].items():
        console.print(f"  {n} trials per policy find it with a chance of {power:.0%} (Boschloo's exact test)")
    console.print("Fix method, alpha and the most trials in the protocol before the first trial.")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _figures(low: float, high: float, options: argparse.Namespace) -> dict[str, Any]:
    alpha, power = options.alpha, options.power
    plain = trials_per_arm(low, high, alpha=alpha, power=power)
    corrected = trials_per_arm(low, high, alpha=alpha, power=power, corrected=True)
    first_only, second_only = _discordant(low, high, options.concordance)
    pairs = pairs_needed(second_only, first_only, alpha=alpha, power=power)
    generator = np.random.default_rng(_SEED)
    unpaired = sequential_plan(low, high, most_pairs=math.ceil(3 * plain), generator=generator, alpha=alpha)
    paired = sequential_paired_plan(
        first_only, second_only, most_pairs=math.ceil(3 * pairs), generator=generator, alpha=alpha
    )
    return {
        "rates": [low, high],
        "alpha": alpha,
        "power": power,
        "independent": math.ceil(plain),
        "independent_continuity_corrected": math.ceil(corrected),
        "pairs": math.ceil(pairs),
        "sequential_independent": _sequential(unpaired),
        "sequential_pairs": _sequential(paired),
        "exact_power": {n: exact_power(low, high, n, alpha=alpha) for n in _POWERS_AT if n <= _MOST_EXACT},
    }


def _discordant(low: float, high: float, correlation: float) -> tuple[float, float]:
    """Shares of scenes on which only the worse, and only the better policy succeeds."""
    both = low * high + correlation * math.sqrt(low * (1 - low) * high * (1 - high))
    both = min(both, low)
    if both < max(0.0, low + high - 1):
        raise ConfigError(f"--concordance {correlation:g} is impossible for rates {low:g} and {high:g}; expected >= 0")
    return low - both, high - both


def _sequential(found: Any) -> dict[str, float]:
    return {"most": found.most_pairs, "power": found.power, "mean": found.mean_pairs, "median": found.median_pairs}


def _table(figures: dict[str, Any]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("comparison", "trials per policy", "stops after (mean / median)", "power"):
        table.add_column(heading)
    power = f"{figures['power']:.0%}"
    corrected = figures["independent_continuity_corrected"]
    table.add_row("fixed, different scenes", f"{figures['independent']} ({corrected} with continuity)", "–", power)
    table.add_row("fixed, the same scenes (McNemar)", str(figures["pairs"]), "–", power)
    for name, key in (("different scenes", "sequential_independent"), ("the same scenes", "sequential_pairs")):
        found = figures[key]
        stops = f"{found['mean']:.0f} / {found['median']:.0f}"
        table.add_row(f"sequential, {name}", f"at most {found['most']}", stops, f"{found['power']:.0%}")
    return table
