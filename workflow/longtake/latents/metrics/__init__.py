"""The metrics of one latent, by family: each with its plain float64 reference beside the batched one."""
