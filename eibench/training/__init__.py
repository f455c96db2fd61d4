"""Training of one run: build, prepare, fit, evaluate, checkpoint."""
