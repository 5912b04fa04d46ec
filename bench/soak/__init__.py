"""What runs of hours are judged by: which answers are right, and whether anything grows."""
