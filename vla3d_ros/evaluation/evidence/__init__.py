"""Evidence that can be published: every variant of a policy under every variation of the world, on the same scenes."""
