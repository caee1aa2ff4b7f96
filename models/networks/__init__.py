"""The networks that ran on the NeuRRAM chip, and spiking-friendly twins, with trained weights.

Each module is one network, the recipe that trained it, and a command:
``python -m spikeram.models.networks.mnist_cnn train``. They need the extra ``torch``.
"""
