"""Nearest neighbours in edgesim beside other libraries: a file for each, and what measures them."""
