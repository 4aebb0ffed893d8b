"""Who holds the memory of a job: the words in which it is forecast, metered and reported."""

OWNERS = ("base", "context", "parameters", "gradients", "optimizer", "frames", "state", "cache", "activations")
"""Who holds a job's memory.

base : Python and the libraries, resident before a model is loaded (host only)
context : what the driver takes of a GPU for each process (GPU only)
parameters : the model's weights and buffers
gradients : of the weights, in training
optimizer : what it keeps for each weight
frames : decoded pictures and the model's inputs, waiting ones included
state : what a tracker knows of its objects
cache : what is kept to save work, and could be dropped
activations : everything that an operation makes, and what is saved for the backward pass
"""
