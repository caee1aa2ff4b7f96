"""What is collected: modules for a framework, and their examples, only where it is installed."""

from importlib.util import find_spec

_NEED = {
    "torch": [
        "spikeram/conversion/training/*.py",
        "spikeram/models/networks/*.py",
        "spikeram/conversion/importers/torch_*.py",
        "spikeram/conversion/importers/from_torch.py",
    ],
    "keras": ["spikeram/conversion/importers/from_keras.py"],
    "onnx": ["spikeram/conversion/importers/from_onnx.py"],
}

collect_ignore_glob = [
    path for framework, paths in _NEED.items() if not find_spec(framework) for path in paths
]
