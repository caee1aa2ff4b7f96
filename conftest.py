"""What is collected: modules for PyTorch can be imported only where it is installed."""

from importlib.util import find_spec

collect_ignore_glob = (
    []
    if find_spec("torch")
    else ["spikeram/conversion/training.py", "spikeram/conversion/importers/torch_*.py"]
)
