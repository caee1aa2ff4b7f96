"""Published architectures, one for each framework, and recipes that train them."""
