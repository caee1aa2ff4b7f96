"""A PyTorch module by its shapes: it runs once on the meta device, where tensors hold no values."""

from __future__ import annotations

from typing import Any

from spikeram.conversion.shapes.matrix import Shapes
from spikeram.errors import ConversionError, MissingExtraError


def from_torch(module: Any, input_shape: tuple[int, ...] | None) -> Shapes:
    """Return the matrices of a PyTorch module.

    Whatever its ``forward`` is made of, in the end PyTorch multiplies matrices or convolves: each
    such operation with a parameter is noted. A matrix that several operations use is one matrix
    with the positions of all.

    Parameters
    ----------
    module : torch.nn.Module
        The module, on any device; one on the meta device has no weights at all.
    input_shape : tuple of int or None
        Shape of one sample: numbers, or tokens for a module that begins with an embedding.

    Raises
    ------
    ConversionError
        If it has no shape to run with, or does not run on the meta device.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "torch", "Reading a PyTorch model") from None
    from spikeram.conversion.importers.torch_meta import copy_to_meta
    from spikeram.conversion.shapes.torch_products import Products

    where = type(module).__name__
    if input_shape is None:
        raise ConversionError(
            f"{where} needs input_shape, the shape of one sample, such as (3, 224, 224)."
        )
    copy = copy_to_meta(module).eval()
    problems: list[str] = []
    # Numbers first; a module that begins with an embedding wants tokens.
    for kind in (torch.float32, torch.int64):
        products = Products(copy)
        sample = torch.empty((1, *input_shape), dtype=kind, device="meta")
        fast = torch.backends.mha.get_fastpath_enabled()
        # The fast path of attention is one operation that does not say what it multiplies.
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.no_grad(), torch.device("meta"), products:
                copy(sample)
        except Exception as error:  # whatever a forward of anybody raises
            problems.append((str(error).strip() or type(error).__name__).splitlines()[0])
        else:
            return products.shapes(where)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
    raise ConversionError(
        f"{where} does not run on the meta device with a sample of shape {input_shape}: "
        f"{problems[0]} Export it to ONNX, or list its layers."
    )
