"""The copy benchmark: its pictures and edits, the encoders that it compares, and their scores."""
