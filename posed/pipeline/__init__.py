"""From a camera to people: capture, inference, and what becomes of a frame."""
