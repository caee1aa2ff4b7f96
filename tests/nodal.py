"""Circuits solved by nodal analysis with scipy's sparse LU: the oracle of everything with wires."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import root
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu


@dataclass
class Circuit:
    """Resistors between named nodes; nodes that an ideal wire connects are one."""

    resistors: list = field(default_factory=list)
    parent: dict = field(default_factory=dict)

    def same(self, node):
        self.parent.setdefault(node, node)
        while self.parent[node] != node:
            node = self.parent[node]
        return node

    def resistor(self, a, b, ohms):
        a, b = self.same(a), self.same(b)
        if ohms == 0:
            self.parent[a] = b
        else:
            self.resistors.append((a, b, 1.0 / ohms))

    def conductor(self, a, b, siemens):
        self.same(a)
        self.same(b)
        if siemens > 0:
            self.resistors.append((a, b, siemens))

    def _reached(self, known):
        """Return all nodes with a path to a source: what floats alone has no voltage."""
        neighbours = {}
        for a, b, _ in self.resistors:
            a, b = self.same(a), self.same(b)
            neighbours.setdefault(a, []).append(b)
            neighbours.setdefault(b, []).append(a)
        reached, waiting = dict.fromkeys(known), list(known)
        while waiting:
            for node in neighbours.get(waiting.pop(), []):
                if node not in reached:
                    reached[node] = None
                    waiting.append(node)
        return list(reached)

    def solve(self, volts):
        """Return the voltage of every node, for sources {node: volts}, and the source currents."""
        known = {self.same(node): v for node, v in volts.items()}
        inner = [node for node in self._reached(known) if node not in known]
        free = {node: n for n, node in enumerate(inner)}
        entries, right = [], np.zeros(len(free))
        for a, b, g in self.resistors:
            for here, there in ((self.same(a), self.same(b)), (self.same(b), self.same(a))):
                if here not in free:
                    continue
                entries.append((free[here], free[here], g))
                if there in free:
                    entries.append((free[here], free[there], -g))
                else:
                    right[free[here]] += g * known[there]
        found = np.zeros(0)
        if free:
            row, column, value = zip(*entries)
            found = splu(coo_array((value, (row, column))).tocsc()).solve(right)
        voltage = {node: found[n] for node, n in free.items()} | known
        everything = {node: voltage.get(self.same(node), 0.0) for node in self.parent}
        current = dict.fromkeys(known, 0.0)
        for a, b, g in self.resistors:
            a, b = self.same(a), self.same(b)
            through = g * (voltage.get(a, 0.0) - voltage.get(b, 0.0))
            if a in current:
                current[a] += through
            if b in current:
                current[b] -= through
        return everything, {node: current[self.same(node)] for node in volts}


def array_circuit(conductance, wires, direction, *, active=None, circuit=None, tag=None):
    """Return the circuit of an array; driven lines that are not `active` have lost their cells.

    Nodes: ("row", i, j, tag) and ("column", i, j, tag) at each cell; ("driver", n, tag) behind the
    driver of line n; ("terminal", n, tag) behind the sense resistance of line n.
    """
    n_rows, n_columns = conductance.shape
    circuit = Circuit() if circuit is None else circuit
    rows_end, columns_end = (
        (("driver", wires.r_driver), ("terminal", wires.r_sense))
        if direction == "forward"
        else (("terminal", wires.r_sense), ("driver", wires.r_driver))
    )
    for i in range(n_rows):
        if direction == "forward" and active is not None and not active[i]:
            continue
        for j in range(n_columns - 1):
            circuit.resistor(("row", i, j, tag), ("row", i, j + 1, tag), wires.r_row)
        circuit.resistor((rows_end[0], i, tag), ("row", i, 0, tag), rows_end[1])
    for j in range(n_columns):
        for i in range(n_rows - 1):
            circuit.resistor(("column", i, j, tag), ("column", i + 1, j, tag), wires.r_column)
        circuit.resistor((columns_end[0], j, tag), ("column", n_rows - 1, j, tag), columns_end[1])
    for i in range(n_rows):
        for j in range(n_columns):
            driven = i if direction == "forward" else j
            if conductance[i, j] > 0 and (active is None or active[driven]):
                series = wires.r_on + 1.0 / conductance[i, j]
                circuit.resistor(("row", i, j, tag), ("column", i, j, tag), series)
    return circuit


def sensed(conductance, wires, volts, *, direction="forward", termination="floating", active=None):
    """Return the voltages of floating lines, or the currents into virtual grounds."""
    return solved(conductance, wires, volts, direction, termination, active)[0]


def solved(conductance, wires, volts, direction, termination="floating", active=None):
    """Return outputs and the currents of the drivers."""
    circuit = array_circuit(conductance, wires, direction, active=active)
    outputs = conductance.shape[1] if direction == "forward" else conductance.shape[0]
    drivers = {("driver", n, None): v for n, v in enumerate(volts)}
    grounds = {("terminal", n, None): 0.0 for n in range(outputs)}
    floating = termination == "floating"
    voltage, current = circuit.solve(drivers if floating else drivers | grounds)
    out = [voltage[node] if floating else -current[node] for node in grounds]
    return np.array(out), np.array([current[node] for node in drivers])


def nonohmic(conductance, v_scale, wires, volts, *, termination="floating", active=None):
    """Return the forward outputs of cells with I = G V0 sinh(V / V0), by scipy's root finder.

    Every cell has a node of its own between itself and its transistor.
    """
    bare = array_circuit(np.zeros_like(conductance), wires, "forward")
    n_rows, n_columns = conductance.shape
    cells = [
        (i, j)
        for i in range(n_rows)
        for j in range(n_columns)
        if conductance[i, j] > 0 and (active is None or active[i])
    ]
    for i, j in cells:
        bare.resistor(("row", i, j, None), ("cell", i, j), wires.r_on)
        bare.same(("column", i, j, None))
    known = {bare.same(("driver", i, None)): v for i, v in enumerate(volts)}
    if termination == "virtual_ground":
        known |= {bare.same(("terminal", j, None)): 0.0 for j in range(n_columns)}
    ends = [(bare.same(("cell", i, j)), bare.same(("column", i, j, None))) for i, j in cells]
    wired = [(bare.same(a), bare.same(b), g) for a, b, g in bare.resistors]
    nodes = {node for pair in ends for node in pair} | {n for a, b, _ in wired for n in (a, b)}
    free = {node: n for n, node in enumerate(sorted(nodes - set(known), key=repr))}
    g = np.array([conductance[i, j] for i, j in cells])

    def leaving(x):
        voltage = known | {node: x[n] for node, n in free.items()}
        drop = np.array([voltage[a] - voltage[b] for a, b in ends])
        flows = [(a, b, each * (voltage[a] - voltage[b])) for a, b, each in wired]
        through = g * v_scale * np.sinh(drop / v_scale)
        flows += [(a, b, current) for (a, b), current in zip(ends, through)]
        total = dict.fromkeys([*free, *known], 0.0)
        for a, b, current in flows:
            total[a] += current
            total[b] -= current
        return total

    def residual(x):
        total = leaving(x)
        return np.array([total[node] for node in free]) / g.max()

    found = root(residual, np.zeros(len(free)), method="hybr", options={"xtol": 1e-13})
    terminals = [bare.same(("terminal", j, None)) for j in range(n_columns)]
    if termination == "floating":
        return np.array([found.x[free[node]] for node in terminals])
    total = leaving(found.x)
    return np.array([-total[node] for node in terminals])
