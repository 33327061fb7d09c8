"""People drawn by ourselves, with keypoints that are known: for training, the demo and tests."""
