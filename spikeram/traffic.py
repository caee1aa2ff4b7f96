r"""What travels between the chips of a stack for one inference.

Two things do. Spikes: each train that a part of a layer reads goes from the chip of the neuron to
the chip of that part, once for all parts there, and only to chips whose rows it drives. A link
sends either the address of every spike or one bit for each train and step, whichever is less:

.. math:: B = \min\left(n r T\,b_{\text{spike}},\ n T / 8\right)

bytes for n trains of r spikes in each of T steps. Partial sums: where the segments of a column lie
on several chips, each of the other chips sends one sum for each position and step to the chip of
the first segment, where the neuron is. Inputs and outputs of the network go to the host and are
not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping as MappingOf
from typing import NamedTuple

import numpy as np
import xarray as xr

from spikeram.errors import CapacityError
from spikeram.placement import Footprint, Mapping, Placement, Span


def traffic(
    mapping: Mapping, *, steps: int, rates: MappingOf[str, float] | float = 1.0
) -> xr.Dataset:
    """Return what travels between chips for one inference.

    Parameters
    ----------
    mapping : Mapping
        Where the parts lie.
    steps : int
        Number of steps T.
    rates : mapping of str to float, or float
        Spikes of a neuron in a step, by layer or for all, 0 to 1.

    Returns
    -------
    xarray.Dataset of dim (link,)
        ``source`` and ``target`` layers, ``from_chip``, ``to_chip``, ``kind`` ("spikes" or
        "partial sums"), ``trains`` and ``bytes``; ``attrs["bytes"]`` is the sum.
    """
    links = [
        *_spikes(mapping, steps, rates),
        *(link for footprint in mapping.footprints for link in _sums(mapping, footprint, steps)),
    ]
    words = {
        "source": "layer that sends",
        "target": "layer that receives",
        "from_chip": "chip that sends",
        "to_chip": "chip that receives",
        "kind": "what travels",
        "trains": "trains, or partial sums of a step",
        "bytes": "bytes of one inference",
    }
    columns = zip(*links) if links else ([] for _ in words)
    dtypes = (np.str_, np.str_, np.int64, np.int64, np.str_, np.float64, np.float64)
    return xr.Dataset(
        {
            name: (("link",), np.array(list(values), dtype=dtype), {"long_name": words[name]})
            for name, values, dtype in zip(words, columns, dtypes)
        },
        attrs={"bytes": math.fsum(link.bytes for link in links), "steps": steps},
    )


def check_traffic(
    mapping: Mapping, *, steps: int, rates: MappingOf[str, float] | float = 1.0
) -> None:
    """Refuse a mapping whose chips would have to exchange more than the stack allows.

    Raises
    ------
    CapacityError
        If an inference of `steps` steps moves more than ``mapping.stack.max_bytes``.
    """
    limit = mapping.stack.max_bytes
    if math.isinf(limit):
        return
    found = traffic(mapping, steps=steps, rates=rates)
    total = float(found.attrs["bytes"])
    if total > limit:
        worst = found.isel(link=int(np.argmax(found["bytes"].values)))
        raise CapacityError(
            f"An inference of {steps} steps moves {total:,.0f} bytes between chips, but at most "
            f"{limit:,.0f} may: most of them {worst['kind'].item()} from "
            f"{worst['source'].item()!r} to {worst['target'].item()!r}. Use fewer steps, fewer "
            "chips (merge='always'), or a larger max_bytes."
        )


class _Link(NamedTuple):
    source: str
    target: str
    from_chip: int
    to_chip: int
    kind: str
    trains: float
    bytes: float


def _spikes(mapping: Mapping, steps: int, rates: MappingOf[str, float] | float) -> Iterator[_Link]:
    homes = {footprint.name: _homes(mapping, footprint) for footprint in mapping.footprints}
    for footprint in mapping.footprints:
        share = _row_shares(mapping, footprint)
        for source, n_trains in footprint.sources:
            rate = rates if isinstance(rates, (int, float)) else rates[source]
            for from_chip, of_columns in homes[source].items():
                for to_chip, of_rows in share.items():
                    if to_chip == from_chip:
                        continue
                    trains = n_trains * of_columns * of_rows
                    size = min(rate * mapping.stack.spike_bytes, 1 / 8) * trains * steps
                    yield _Link(source, footprint.name, from_chip, to_chip, "spikes", trains, size)


def _sums(mapping: Mapping, footprint: Footprint, steps: int) -> Iterator[_Link]:
    homes = _neurons(mapping, footprint)
    # Segments on one chip are added there, so that each chip sends one sum.
    sending = {
        (part.copy, part.columns, _chip(mapping, part)): part
        for part in mapping.parts[footprint.name]
    }
    sums: dict[tuple[int, int], float] = {}
    for (copy, columns, here), part in sending.items():
        home = homes[copy, columns]
        if here != home:
            each = part.width * footprint.n_positions / footprint.copies
            sums[here, home] = sums.get((here, home), 0.0) + each
    for (here, home), number in sums.items():
        size = number * steps * mapping.stack.sum_bytes
        yield _Link(footprint.name, footprint.name, here, home, "partial sums", number, size)


def _neurons(mapping: Mapping, footprint: Footprint) -> dict[tuple[int, Span], int]:
    """Return the chip of the neurons of each copy's columns: that of their first segment."""
    found: dict[tuple[int, Span], int] = {}
    for part in mapping.parts[footprint.name]:
        found.setdefault((part.copy, part.columns), _chip(mapping, part))
    return found


def _homes(mapping: Mapping, footprint: Footprint) -> dict[int, float]:
    """Return the share of a layer's neurons on each chip."""
    shares: dict[int, float] = {}
    for (_, (start, stop)), chip in _neurons(mapping, footprint).items():
        share = (stop - start) / (footprint.n_columns * footprint.copies)
        shares[chip] = shares.get(chip, 0.0) + share
    return shares


def _row_shares(mapping: Mapping, footprint: Footprint) -> dict[int, float]:
    """Return the share of a layer's rows that each chip holds."""
    spans: dict[int, set[Span]] = {}
    for part in mapping.parts[footprint.name]:
        spans.setdefault(_chip(mapping, part), set()).add(part.pairs)
    return {
        chip: sum(stop - start for start, stop in here) / footprint.n_pairs
        for chip, here in spans.items()
    }


def _chip(mapping: Mapping, part: Placement) -> int:
    return part.core // mapping.stack.n_cores
