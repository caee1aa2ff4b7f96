"""Published instances: devices, chips, and networks with trained weights."""
