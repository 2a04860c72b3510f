"""Photons in, checked motion out, thirty times a second, every step recorded and replayable.

```
 camera ──views──▶ policy ──ActionChunk──▶ adapter ──commands──▶ safety ──▶ arm (or the twin)
        taps on the same stream:  recording · evaluation · retargeting
```
Import rule: errors <- geometry <- datatypes <- rooms (camera, policy, adapter, safety, twin) <- taps <- node.py
<- deployment, cli. The cores of camera, policy, adapter and safety never import one another, and only `ros/` and
the `node.py` files know ROS. `docs/architecture.md` says why; `test/architecture` holds us to it.
"""

__version__ = "0.1.0"
