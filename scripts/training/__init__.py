"""Training of a PoseNet: pictures with known keypoints, the network, the losses and the figures."""
