"""Reads accelerator hardware; knows nothing of Kubernetes or Prometheus."""
