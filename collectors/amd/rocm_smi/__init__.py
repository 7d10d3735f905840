"""ROCm SMI: the library is called in a child process, because it can end the process that calls it."""
