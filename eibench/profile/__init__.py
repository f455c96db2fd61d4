"""Cost of networks before a run: time and memory of a step, throughput of data, sizes."""
