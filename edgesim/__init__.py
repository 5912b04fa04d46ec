"""edgesim: image similarity search on small devices.

Importing this package costs nothing: it holds the version and no re-exports, which would
drag an inference engine or torch into programs that need neither.
"""

__version__ = "0.1.0"
