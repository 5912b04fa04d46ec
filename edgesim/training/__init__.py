"""Training, in PyTorch: data, augmentation, losses, the loop and its checkpoints."""
