"""The one door to torch: importing this package's networks without it fails with a remedy."""

from __future__ import annotations

import os

from vla3d_ros.errors import DependencyError

# Threads that spin while they wait slow torch down tenfold on shared cores; OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise DependencyError(
        f"the policy networks need torch, which can not be imported ({error}); "
        "install it with: pip install 'vla3d_ros[nets]'; running an exported package needs only onnxruntime"
    ) from error

__all__ = ["Tensor", "functional", "nn", "torch"]
