"""Training one run: build, prepare, fit, evaluate, checkpoint."""
