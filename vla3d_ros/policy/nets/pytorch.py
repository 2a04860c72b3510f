"""The one door to torch: importing this package's networks without it fails with a remedy."""

from __future__ import annotations

from vla3d_ros.errors import DependencyError

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
