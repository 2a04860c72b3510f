"""Run by a Python that has lerobot: load a dataset, look at every frame, print what came out as JSON.

Arguments: folder of the dataset, a video key.
"""

import json
import sys
from importlib.metadata import version

from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main(root: str, key: str) -> None:
    dataset = LeRobotDataset("local/check", root=root, video_backend="pyav")
    meta = dataset.meta
    frames = [dataset[index] for index in range(len(dataset))]
    print(
        json.dumps(
            {
                "lerobot": version("lerobot"),
                "codebase_version": meta.info["codebase_version"],
                "episodes": meta.total_episodes,
                "frames": len(frames),
                "tasks": [frame["task"] for frame in frames],
                "timestamps": [float(frame["timestamp"]) for frame in frames],
                "state": [frame["observation.state"].tolist() for frame in frames],
                "action": [frame["action"].tolist() for frame in frames],
                "shapes": {name: list(value.shape) for name, value in frames[0].items() if hasattr(value, "shape")},
                "mean_colours": [[float(c.mean()) for c in frame[key]] for frame in frames],
                "action_mean": [float(x) for x in meta.stats["action"]["mean"]],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
