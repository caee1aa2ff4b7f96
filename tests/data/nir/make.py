"""Write the NIR files of this folder by the frameworks they are named after.

Each file is a network that its framework built, ran and exported itself. ``spikes.npz`` holds,
for each, the input and the spike trains that the framework produced, both of shape
(step, neuron ...). Made with Python 3.11, torch 2.13.0, nir 1.0.8, nirtorch 2.6, norse 1.1.0,
sinabs 3.1.3, snntorch 1.0.0 and spikingjelly 2.0.0, which pin different versions of nir: install
them with ``pip install --no-deps``. Weights are multiples of 1/64, so that sums are exact in
float32. Run it with ``python make.py``; edges come in another order each time.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import nir
import norse.torch as norse
import numpy as np
import sinabs.layers
import snntorch
import torch
from norse.torch.utils.export_nir import to_nir as norse_to_nir
from sinabs.nir import to_nir as sinabs_to_nir
from snntorch.export_nir import export_to_nir as snntorch_to_nir
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir as spikingjelly_to_nir

HERE = Path(__file__).parent
STEPS = 40
rng = np.random.default_rng(20)


def grid(*shape: int) -> torch.Tensor:
    """Return random multiples of 1/64."""
    return torch.tensor(rng.integers(-20, 44, size=shape) / 64, dtype=torch.float32)


def dense(n_inputs: int, n_outputs: int) -> torch.nn.Linear:
    """Return a linear layer on the grid."""
    layer = torch.nn.Linear(n_inputs, n_outputs)
    layer.weight.data, layer.bias.data = grid(n_outputs, n_inputs), grid(n_outputs) / 4
    return layer


def convolution(**options: int) -> torch.nn.Conv2d:
    """Return a convolution of one channel into two on the grid."""
    layer = torch.nn.Conv2d(1, 2, 3, **options)
    layer.weight.data, layer.bias.data = grid(2, 1, 3, 3), grid(2) / 4
    return layer


def events(*shape: int) -> torch.Tensor:
    """Return random input spikes."""
    return torch.tensor(rng.random((STEPS, *shape)) < 0.4, dtype=torch.float32)


def filled(size: int, value: float) -> torch.Tensor:
    """Return a parameter with one value for each neuron, as the exporters need it."""
    return torch.full((size,), value)


def with_shapes(graph: nir.NIRGraph) -> nir.NIRGraph:
    """Return the graph with the shapes of its convolutions; nir 1.0.8 cannot write None."""
    graph.infer_types()
    for node in graph.nodes.values():
        if isinstance(node, nir.Conv2d) and node.input_shape is None:
            node.input_shape = tuple(int(size) for size in node.input_type["input"][1:])
    return graph


def norse_if() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Integrate-and-fire with a threshold for each neuron, reset to zero."""
    first = norse.IAFCell(norse.IAFParameters(v_th=1 + torch.arange(8) / 8))
    last = norse.IAFCell(norse.IAFParameters(v_th=filled(3, 1.0)))
    return _norse(norse.SequentialState(dense(4, 8), first, dense(8, 3), last))


def norse_lif() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Leaky integrate-and-fire, tau = 10 ms at dt = 1 ms; norse writes tau * dt."""
    first, last = (
        norse.LIFBoxCell(
            norse.LIFBoxParameters(
                tau_mem_inv=filled(n, 100.0), v_leak=filled(n, 0.0), v_th=filled(n, 0.15)
            )
        )
        for n in (8, 3)
    )
    return _norse(norse.SequentialState(dense(4, 8), first, dense(8, 3), last))


def _norse(model: torch.nn.Module) -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    x, state, spikes = events(4), None, []
    for step in range(STEPS):
        fired, state = model(x[step], state)
        spikes.append(fired)
    return norse_to_nir(model, x[0]), x, torch.stack(spikes)


def sinabs_if() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Integrate-and-fire, one spike a step, reset by subtraction, no lower bound."""
    fire = sinabs.activation.SingleSpike
    model = torch.nn.Sequential(
        dense(4, 8),
        sinabs.layers.IAFSqueeze(batch_size=1, spike_fn=fire),
        dense(8, 3),
        sinabs.layers.IAFSqueeze(batch_size=1, spike_fn=fire),
    )
    x = events(4)
    spikes = model(x)
    return sinabs_to_nir(model, x), x, spikes


def sinabs_conv() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Convolution and sum pool; several spikes a step, membrane bounded at minus the threshold."""
    model = torch.nn.Sequential(
        convolution(padding=1),
        sinabs.layers.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
        sinabs.layers.SumPool2d(2),
        torch.nn.Flatten(),
        dense(2 * 3 * 2, 3),
        sinabs.layers.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
    )
    x = 2 * events(1, 6, 4)
    spikes = model(x)
    return with_shapes(sinabs_to_nir(model, x)), x, spikes


def snntorch_lif() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Leaky, beta = 0.95: tau = 2 ms at dt = 0.1 ms, r = tau / dt, reset to zero."""
    return _snntorch(dense(4, 8), leaky(snntorch.Leaky, 8), dense(8, 3), leaky(snntorch.Leaky, 3))


def snntorch_synaptic() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Leaky with a decaying synaptic current."""
    last = snntorch.Synaptic(alpha=filled(3, 0.75), beta=filled(3, 0.875), **options(3))
    return _snntorch(dense(4, 8), leaky(snntorch.Leaky, 8), dense(8, 3), last)


def snntorch_recurrent() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Leaky with weights among the neurons of the layer: a loop."""
    first = leaky(snntorch.RLeaky, 8, linear_features=8)
    first.recurrent.weight.data, first.recurrent.bias.data = grid(8, 8), grid(8) / 4
    return _snntorch(dense(4, 8), first, dense(8, 3), leaky(snntorch.Leaky, 3))


def options(size: int) -> dict[str, object]:
    """Return what all snntorch neurons here have in common."""
    return {
        "threshold": filled(size, 1.0),
        "init_hidden": True,
        "reset_mechanism": "zero",
        "reset_delay": False,
    }


def leaky(kind: Callable[..., torch.nn.Module], size: int, **more: int) -> torch.nn.Module:
    """Return a layer of leaky neurons."""
    return kind(beta=filled(size, 0.95), **options(size), **more)


def _snntorch(*layers: torch.nn.Module) -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    model, x = torch.nn.Sequential(*layers), events(4)
    spikes = torch.stack([model(x[step]) for step in range(STEPS)])
    return snntorch_to_nir(model, x[0]), x, spikes


def spikingjelly_conv() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Convolution, integrate-and-fire, average pool and leaky neurons of tau = 2 ms."""
    model = torch.nn.Sequential(
        convolution(stride=2, padding=1),
        neuron.IFNode(v_threshold=1.0, v_reset=0.0),
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        dense(2 * 2 * 2, 3),
        neuron.LIFNode(tau=20.0, decay_input=False, v_threshold=1.0, v_reset=0.0),
    )
    return _spikingjelly(model, events(1, 8, 7))


def spikingjelly_lif() -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    """Leaky neurons whose input decays too, with a rest of -0.25, and a synaptic current."""
    model = torch.nn.Sequential(
        dense(4, 8),
        neuron.LIFNode(tau=2.0, decay_input=True, v_threshold=0.25, v_reset=-0.25),
        dense(8, 3),
        neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=1.0, v_reset=0.0),
    )
    return _spikingjelly(model, events(4))


def _spikingjelly(
    model: torch.nn.Module, x: torch.Tensor
) -> tuple[nir.NIRGraph, torch.Tensor, torch.Tensor]:
    graph = spikingjelly_to_nir(model, x[:1])
    functional.reset_net(model)
    spikes = torch.cat([model(x[step : step + 1]) for step in range(STEPS)])
    return graph, x, spikes


def main() -> None:
    """Write every file, and ``spikes.npz``."""
    arrays = {}
    for make in (
        norse_if, norse_lif, sinabs_if, sinabs_conv, snntorch_lif, snntorch_synaptic,
        snntorch_recurrent, spikingjelly_conv, spikingjelly_lif,
    ):  # fmt: skip
        name = make.__name__
        with torch.no_grad():
            graph, x, spikes = make()
        # Small arrays take more room compressed.
        nir.write(HERE / f"{name}.nir", graph, compression=None)
        arrays[f"{name}_input"] = x.numpy().astype(np.int8)
        arrays[f"{name}_spikes"] = spikes.detach().numpy().astype(np.int8)
        sys.stdout.write(f"{name}: {arrays[f'{name}_spikes'].sum(axis=0).ravel().tolist()}\n")
    np.savez_compressed(HERE / "spikes.npz", **arrays)


if __name__ == "__main__":
    main()
