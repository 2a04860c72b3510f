"""Ways to run a policy, all behind `vla3d_ros.policy.backend.PolicyBackend`."""
