"""Numbers that say how sure they are. Every method is checked against published or independently computed values."""

from vla3d_ros.evaluation.statistics.percentiles import percentile
from vla3d_ros.evaluation.statistics.proportions import Proportion, wilson_interval

__all__ = ["Proportion", "percentile", "wilson_interval"]
