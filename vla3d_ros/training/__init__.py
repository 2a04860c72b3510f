"""Learning a policy: demonstrations, samples, losses, the two stages, and the package that comes of it."""
