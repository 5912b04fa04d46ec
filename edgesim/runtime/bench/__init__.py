"""Measuring on the device itself: time by stages and engines, memory, throughput under load. For Linux."""
