"""What the verbs of `vla3d` do, a file each. The composition layer: may import any room."""
