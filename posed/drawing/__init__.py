"""Skeletons on pictures, and what pictures may leave the device."""
