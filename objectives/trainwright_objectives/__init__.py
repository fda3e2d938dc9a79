"""Losses as plain torch modules; each works in any PyTorch training loop."""
