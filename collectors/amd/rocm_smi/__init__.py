"""ROCm SMI, the library: asked in a process of its own, because it can end the process that asks."""
