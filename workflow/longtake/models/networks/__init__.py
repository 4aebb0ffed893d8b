"""Networks that classify clips: what `training` fits, and what a trained fold's folder holds.

Every network maps clips (B, T, 3, H, W), RGB in [0, 1], to logits (B, classes). Its normalisation belongs to it, so
that gradients are with respect to what was seen. Build one with `longtake.models.networks.build.build`.
"""
