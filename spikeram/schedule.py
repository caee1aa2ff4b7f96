"""When crossbars work: positions one after the other, copies at once, sharers of a core in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def finish_times(
    durations: Mapping[str, int],
    sources: Mapping[str, Sequence[str]],
    merged: Sequence[Sequence[str]] = (),
) -> dict[str, int]:
    r"""Return when each crossbar has finished a sample, all in one unit of time.

    A crossbar begins when what drives it has finished and the core that it shares is free,

    .. math:: f_n = d_n + \max\bigl(\max_{s \to n} f_s,\ f_{\text{before } n \text{ on its core}}
              \bigr),

    in the order of `durations`, in which every crossbar comes after those that drive it. Branches
    that share nothing run at the same time: the largest is the longest path.

    Parameters
    ----------
    durations : mapping of str to int
        How long each crossbar works on one sample.
    sources : mapping of str to sequence of str
        What drives each crossbar; names that are not in `durations`, such as the input, are ready.
    merged : sequence of sequence of str
        Crossbars that share a core and take turns.

    Examples
    --------
    >>> wires = {"a": ["input"], "b": ["input"], "sum": ["a", "b"]}
    >>> finish_times({"a": 3, "b": 5, "sum": 1}, wires)["sum"]
    6
    >>> finish_times({"a": 3, "b": 5, "sum": 1}, wires, [("a", "b")])["sum"]
    9
    """
    core = _cores(durations, merged)
    free: dict[int, int] = {}
    finished: dict[str, int] = {}
    for name, duration in durations.items():
        ready = max((finished.get(source, 0) for source in sources.get(name, ())), default=0)
        finished[name] = max(ready, free.get(core[name], 0)) + duration
        free[core[name]] = finished[name]
    return finished


def interval(durations: Mapping[str, int], merged: Sequence[Sequence[str]] = ()) -> int:
    """Return the time between two samples where every core works on one: that of the busiest.

    Parameters
    ----------
    durations, merged
        As for `finish_times`.
    """
    busy: dict[int, int] = {}
    for name, core in _cores(durations, merged).items():
        busy[core] = busy.get(core, 0) + durations[name]
    return max(busy.values())


def _cores(names: Mapping[str, int], merged: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return a number for the cores of each crossbar, the same for those that share them."""
    core = {name: number for number, name in enumerate(names)}
    for number, group in enumerate(merged, start=len(core)):
        for name in group:
            if name not in names:
                raise ValueError(f"merged names {name!r}; crossbars are {', '.join(core)}.")
            if core[name] >= len(names):
                raise ValueError(f"merged names {name!r} twice; a crossbar lies in one group.")
            core[name] = number
    return core
