"""The device side: a bundle and photos in, similar photos out. Never imports torch, tensorflow or onnx."""
