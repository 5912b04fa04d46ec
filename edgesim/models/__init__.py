"""The networks, in PyTorch: the involution layer and the compact encoder."""
