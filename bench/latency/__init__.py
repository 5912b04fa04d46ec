"""Instruction counts of networks, from which latencies on boards that are not here are estimated."""
