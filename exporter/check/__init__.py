"""`accelerator-exporter check`: one look at the node, what is missing there, and what that costs."""
