"""Messages of the kubelet's PodResources API, generated from `podresources.proto` by `make proto`."""
