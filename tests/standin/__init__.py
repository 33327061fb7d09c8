"""A stand-in for the Edge TPU: a TFLite delegate in C, built with the system's compiler."""
