"""The deployment kit: one folder with all that a device needs to run edgesim, installed without a network."""
