"""A MuJoCo robot, table and cameras that speak the real robot's interfaces and nothing else."""
