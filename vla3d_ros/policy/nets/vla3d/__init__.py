"""3DVLA's spatial route: tokens with places, instance probes, completion of the unseen, geometry aggregation."""

from vla3d_ros.policy.nets.vla3d.route import Vla3dRoute

__all__ = ["Vla3dRoute"]
