"""The binary table `gpu_metrics` of a GPU: its layouts, its parser, the parsed values, and the queries of them."""
