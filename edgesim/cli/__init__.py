"""The command line: parse, call the library once, print. Heavy imports stay inside the commands."""
