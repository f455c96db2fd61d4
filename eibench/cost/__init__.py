"""Cost of inference: operations counted on real activity, memory traffic, and a model of energy."""
