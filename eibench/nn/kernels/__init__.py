"""Fast computation of the equations in `functional`: fused passes, memory layout, Triton."""
