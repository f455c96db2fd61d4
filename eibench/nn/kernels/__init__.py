"""Fast computation of the equations in `functional`, with the same values and gradients.

    dispatch        torch's operations or Triton's
    layout          order in memory, chunks that stay in the cache
    recompute       weights that are computed again in the backward pass
    lif             a neuron over all steps
    division        S and the quotient
    ei_fold         gain and subtraction folded into the synapse
    ei_circuit      the circuit behind the synapse: drive to current
    ei_lif          the circuit and its neurons: drive to spikes
    triton_*        the same on a GPU

Backward passes are written by hand: they keep less and pass over memory fewer times. While
operations are recorded (`eibench.nn.autograd.tracing`) the equations themselves are used.
"""
