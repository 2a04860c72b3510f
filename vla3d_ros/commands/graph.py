"""Start a deployment's processes in a checked environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from vla3d_ros.deployment import Deployment
from vla3d_ros.ros.domain import check_nodes_absent, claimed_domain, claimed_namespace
from vla3d_ros.ros.environment import prepare_environment
from vla3d_ros.ros.transport import check_transport
from vla3d_ros.supervisor import Supervisor

_OWN_DOMAINS = range(42, 90)
_DISCOVERY_S = 1.5


@contextlib.contextmanager
def running_graph(deployment: Deployment, log_dir: Path, *, is_private: bool) -> Iterator[Supervisor]:
    """Run a deployment's processes until the block ends; their nodes still have to be brought up.

    Args:
        deployment: What to run.
        log_dir: Where parameters and logs of the processes go.
        is_private: Use a free ROS domain of our own, seen on this machine only, unless ROS_DOMAIN_ID is set.

    Raises:
        TransportError: If the domain or the transport can not carry it.
        DependencyError: If ROS can not be imported.
    """
    with contextlib.ExitStack() as stack:
        if is_private and "ROS_DOMAIN_ID" not in os.environ:
            os.environ["ROS_DOMAIN_ID"] = str(stack.enter_context(claimed_domain(_OWN_DOMAINS)))
            stack.callback(os.environ.pop, "ROS_DOMAIN_ID", None)
        if is_private:
            os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        prepare_environment()
        check_transport(os.environ, participants=len(deployment.processes) + 1)
        domain_id = int(os.environ.get("ROS_DOMAIN_ID") or 0)
        stack.enter_context(claimed_namespace(domain_id, deployment.namespace))
        _check_alone(deployment, domain_id)
        yield stack.enter_context(Supervisor(deployment, log_dir, os.environ))


def _check_alone(deployment: Deployment, domain_id: int) -> None:
    """Look for the same nodes on other machines, or started by other means."""
    from vla3d_ros.ros.graph import running_nodes  # needs rclpy, which the environment has to be prepared for

    check_nodes_absent(running_nodes(_DISCOVERY_S), deployment.node_names, domain_id)
