import subprocess
import sys

import pytest

COPIES = """
import resource, time, numpy as np
{tune}
image = np.zeros((480, 640, 3), np.uint8)
[image.tobytes() for _ in range(20)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    keep = [image.tobytes() for _ in range(3)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="an allocator's matter, of glibc's")
def test_a_tuned_process_copies_images_without_asking_the_system_for_memory():
    pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
    tune = "from vla3d_ros.ros.process import tune_process; tune_process()"
    run = subprocess.run([sys.executable, "-c", COPIES.format(tune=tune)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 2000, "it faults 11369 times here without it"
