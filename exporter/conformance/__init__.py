"""The command `conformance`: judges the endpoint of any exporter as CNCF's AI Conformance programme does.

Imported by this command only. It needs no right, no accelerator and, but for `--autoscaling`, no Kubernetes.
"""
