"""What encoders cost, edgesim's and others': model files run, counted and weighed; the machine's limits."""
