"""The binary table `gpu_metrics` of a GPU: its layouts, its parser, what is parsed, and the queries it answers."""
