"""Slow and obvious versions of the compiled kernels: the oracles of the tests."""

from __future__ import annotations

import heapq
import itertools
import math
from fractions import Fraction

import numpy as np

from spikeram.seeds import Purpose


def write_verify_by_hand(target, start, response, cells, *, device, verify, episode=0):
    """Return conductances, pulses, reversals and time-outs of cells programmed one by one."""
    trains = verify.max_reversals + 1
    rise = math.ceil((verify.v_end - min(verify.v_start_set, verify.v_start_reset)) / verify.v_step)
    longest = trains * (rise + verify.max_end_pulses) + 1
    normals = cells.normals(Purpose.PROGRAMMING, 2 * longest, episode)
    results = [
        _program_by_hand(
            target[i],
            start[i],
            {
                "SET": (response.threshold[0, i], response.rate[0, i], response.exponent[0]),
                "RESET": (response.threshold[1, i], response.rate[1, i], response.exponent[1]),
            },
            (response.g_low[i], response.g_high[i]),
            np.exp(response.sigma_cycle * normals[1::2, i]),
            normals[0::2, i] * device.sigma_read / math.sqrt(verify.n_reads),
            g_min=device.g_min,
            verify=verify,
        )
        for i in range(len(target))
    ]
    return tuple(np.array(column) for column in zip(*results))


def _program_by_hand(target, g, constants, limits, cycle, noise, *, g_min, verify):
    starts = {"SET": verify.v_start_set, "RESET": verify.v_start_reset}
    voltages = []  # of the present train
    polarity = None
    n_pulses = n_reversals = 0
    while True:
        reading = g + noise[n_pulses]
        if target <= g_min:
            error = max(0.0, reading - g_min - verify.window)
        elif abs(reading - target) <= verify.window:
            error = 0.0
        else:
            error = reading - target
        if error == 0.0:
            return g, n_pulses, n_reversals, False
        if polarity is not None and polarity != ("RESET" if error > 0 else "SET"):
            n_reversals += 1
            voltages = []
        polarity = "RESET" if error > 0 else "SET"
        at_end = sum(v >= verify.v_end for v in voltages)
        if n_reversals > verify.max_reversals or at_end >= verify.max_end_pulses:
            return g, n_pulses, n_reversals, True
        voltages.append(min(starts[polarity] + len(voltages) * verify.v_step, verify.v_end))
        g = _pulse_by_hand(g, voltages[-1], polarity, constants, limits, cycle[n_pulses], verify)
        n_pulses += 1


def _pulse_by_hand(g, v, polarity, constants, limits, factor, verify):
    threshold, rate, exponent = constants[polarity]
    g_low, g_high = limits
    if v <= threshold:
        return g
    rho = rate * factor * verify.width * (v / threshold - 1.0) ** exponent
    if polarity == "SET":
        return g_high - (g_high - g) * math.exp(-rho)
    return g_low + (g - g_low) * math.exp(-rho)


def run_by_hand(nodes, drive, spikes, steps):
    """Return each layer's spikes and the last membranes, in Python integers, step by step.

    All nodes in turn in every step of one clock. A layer's window opens one step after the last
    window of its sources; spikes of a source whose window opened earlier are held back.
    """
    sources = sources_by_hand(nodes)
    n_samples = len(next(iter(drive.values())) if spikes is None else spikes)
    opens = {"input": -1 if spikes is None else 0}
    for node in nodes:
        latest = max(opens[name] for name in sources[node.name])
        opens[node.name] = latest if is_pool(node) else latest + 1
    layers = [node for node in nodes if not is_pool(node)]
    fired = {node.name: np.zeros((n_samples, steps, node.n_outputs), int) for node in nodes}
    trace = np.zeros((n_samples, steps, nodes[-1].n_outputs), int)
    for s in range(n_samples):
        state = {node.name: _at_rest(node) for node in nodes}
        sent = {}  # (source, step of its window): spikes
        for time in range(max(opens.values()) + steps):
            if spikes is not None and time < steps:
                sent["input", time] = [int(x) for x in spikes[s, time]]
            for node in nodes:
                k = time - opens[node.name]
                if not 0 <= k < steps:
                    continue
                silent = spikes is None and "input" in sources[node.name]
                total = sum(len(sent[name, k]) for name in sources[node.name] if (name, k) in sent)
                incoming = []
                for name in sources[node.name]:
                    n_silent = silent and name == "input"
                    incoming += [0] * (node.n_inputs - total) if n_silent else sent[name, k]
                if is_pool(node):
                    sent[node.name, k] = _pool_by_hand(node, state[node.name], incoming)
                else:
                    own = None if spikes is not None or not silent else drive[node.name][s]
                    sent[node.name, k] = _fire_by_hand(node, state[node.name], incoming, own)
                    if node is nodes[-1]:
                        trace[s, k] = state[node.name]["membrane"]
                fired[node.name][s, k] = sent[node.name, k]
    return [fired[layer.name] for layer in layers], trace


def sources_by_hand(nodes):
    before = ["input"] + [node.name for node in nodes]
    return {node.name: list(node.sources) or [name] for node, name in zip(nodes, before)}


def is_pool(node):
    return not hasattr(node, "weight")


def _at_rest(node):
    if is_pool(node):
        return {"counts": {}, "largest": [0] * node.n_outputs}
    return {"membrane": [int(u) for u in node.initial], "count": [0] * node.n_outputs}


def _pool_by_hand(pool, state, incoming):
    for i, spike in enumerate(incoming):
        state["counts"][i] = state["counts"].get(i, 0) + spike
    out = []
    for j, taps in enumerate(pool.index.tolist()):
        largest = max((state["counts"][i] for i in taps if i != -1), default=0)
        out.append(largest - state["largest"][j])
        state["largest"][j] = largest
    return out


def _fire_by_hand(layer, state, incoming, drive):
    out = []
    for j in range(layer.n_outputs):
        u = state["membrane"][j] + int(layer.bias[j])
        if drive is not None:
            u += int(drive[j])
        u += sum(int(w) * x for w, x in zip(layer.weight[:, j], incoming))
        u = max(-layer.rail, min(layer.rail, u))
        out.append(0)
        for _ in range(layer.burst):
            spike, charge = _compare_by_hand(layer, j, u, state["count"][j])
            if spike:
                u = u - spike * charge if layer.reset == "subtract" else 0
            out[-1] += spike
            state["count"][j] += spike
        state["membrane"][j] = u
    return out


def _compare_by_hand(layer, j, u, count):
    threshold = int(layer.threshold[j])
    if layer.spikes == "signed":
        return signed_by_hand(u, count, threshold, int(layer.negative[j]))
    if layer.spikes == "ternary" and u <= -threshold:
        return -1, threshold
    return (1, threshold) if u >= threshold else (0, threshold)


def signed_by_hand(u, count, theta, theta_n):
    """Return the spike of a signed neuron, and the charge it takes or gives."""
    if count > 0:
        if u >= theta:
            return 1, theta
        return (-1, theta) if u < 0 else (0, 0)
    low = (theta - theta_n) // 2
    if count == 0 and u >= theta:
        return 1, theta
    if count < 0 and u >= low + theta_n:
        return 1, theta_n
    if theta_n > 0 and u < low:
        return -1, theta_n
    return 0, 0


def count_by_hand(charge, initial, theta, theta_n):
    """Return where the count of a signed neuron comes to rest."""
    level = initial + charge
    if level >= 0 or theta_n == 0:
        return max(0, level // theta)
    return min(0, (level - (theta - theta_n) // 2) // theta_n)


def latency_by_hand(level, full, steps):
    """Return the steps in which an input of one event drives its row."""
    n_driven = math.floor(Fraction(steps * abs(level), full) + Fraction(1, 2))
    sign = 1 if level > 0 else -1
    return [sign if k >= steps - n_driven else 0 for k in range(steps)]


def delta_by_hand(signal, threshold):
    """Return send-on-delta spikes of one signal, whose numbers are exact in binary."""
    known, spikes = signal[0], []
    for value in signal:
        spike = 0
        if abs(value - known) >= threshold:
            spike = 1 if value > known else -1
        known += spike * threshold
        spikes.append(spike)
    return spikes


def first_class_by_hand(spikes, charge):
    """Return the class after each step: of the first to fire, till then of the largest charge.

    Of one sample: spikes and charge of shape (step, output).
    """
    classes, winner = [], None
    for fired, now in zip(spikes, charge):
        order = sorted(range(len(now)), key=lambda j: (-now[j], j))
        if winner is None:
            winner = next((j for j in order if fired[j] > 0), None)
        classes.append(order[0] if winner is None else winner)
    return classes


def fluctuations_by_hand(conductance, sigma, volts, rng, n):
    """Return settled voltages of n reads in which every cell fluctuates, of shape (n, column).

    Conductances (polarity, row, column) and their deviations [S], row voltages (row,) [V].
    """
    settled = np.empty((n, conductance.shape[2]))
    for k in range(n):
        g = conductance + sigma * rng.standard_normal(conductance.shape)
        settled[k] = volts @ (g[0] - g[1]) / g.sum(axis=(0, 1))
    return settled


def read_units_by_hand(noise, spikes, levels, full):
    """Return the units of variance that drive each (column, position), row by row."""
    columns, positions = noise.worth.size, noise.n_positions
    index = np.arange(spikes.size)[np.newaxis, :, np.newaxis]
    if noise.gather is not None:
        index = noise.gather.index
    units = np.zeros((columns, positions))
    for p in range(positions):
        for row in range(index.shape[1]):
            taps = [int(i) for i in index[p, row]]
            numbers = [int(spikes[i]) for i in taps if i >= 0]
            pulses = [sum((n > m) - (n < -m) for n in numbers) for m in range(9)]
            spiking = sum(Fraction(pulse, len(taps)) ** 2 for pulse in pulses)
            steady = Fraction(0)
            if levels is not None:
                total = sum(int(levels[i]) for i in taps if i >= 0)
                steady = Fraction(total, len(taps) * full)
            for c in range(columns):
                weight = 1 if noise.weight is None else int(noise.weight[row, c])
                units[c, p] += float(weight * (spiking + steady**2))
    return units + np.broadcast_to(noise.always_on, columns)[:, np.newaxis]


def column_by_hand(charges, threshold, membrane, *, comparator, injected, ternary):
    """Return the spikes of a neuron that compares late and whose decrements fall short."""
    spikes = []
    for charge in charges:
        membrane += charge + injected
        spike = 0
        if membrane >= threshold + comparator:
            # What ternary neurons inject into decrements is left out of the model.
            spike, membrane = 1, membrane - threshold + (0 if ternary else injected)
        elif ternary and membrane <= -threshold + comparator:
            spike, membrane = -1, membrane + threshold
        spikes.append(spike)
    return spikes


def coupled_by_hand(driven, word, bit, own, *, v_word):
    """Return by how much a column moves that floats while its lines fall [V].

    Both word lines of each pair fall by `v_word`, and a pair's bit lines, of the net capacitance
    `bit`, from what they were driven with; the charge on all capacitors stays.
    """
    lines = [(2 * word, -v_word) for _ in driven] + [(bit, -v) for v in driven]
    total = own + sum(capacitance for capacitance, _ in lines)
    return sum(capacitance * step for capacitance, step in lines) / total


def cut_layer_by_hand(layer, spikes, *, kind, step, bits=0):
    """Return the partial spikes or counts of each segment, and the soma's spikes, of one sample.

    Of a layer on cores, for `spikes` of shape (step, input): ``layer`` is a dictionary of the
    measured and nominal conductances ``g`` and ``target`` (polarity, row, column), the rows
    ``height`` of a core, ``n_bias``, ``volts`` (read voltage times capacitor ratio), ``worth``, the
    volts of one threshold on a whole column, the initial membrane as a share of it, and whether
    the soma is ``ternary``. `step` is the least amount that is sent, in thresholds.
    """
    g, target = layer["g"], layer["target"]
    n_rows, n_columns = g.shape[1:]
    n_inputs = n_rows - layer["n_bias"]
    sent = []
    for start in range(0, n_rows, layer["height"]):
        rows = slice(start, min(start + layer["height"], n_rows))
        volts = layer["volts"] * (g[0, rows] - g[1, rows]) / g[:, rows].sum(axis=(0, 1))
        inputs = max(0, min(rows.stop, n_inputs) - start)
        # A converter is known by its full scale, a partial neuron by its quantum.
        whole = 2 ** (bits - 1) if bits else 1
        theta = target.sum(axis=(0, 1)) / target[:, rows].sum(axis=(0, 1))
        theta *= step * whole * layer["worth"]
        largest = np.abs(volts[:inputs]).max() if inputs else theta.max()
        quantum = 2.0 ** -math.floor(math.log2(2047 / largest))
        weight = [[round(w) for w in row] for row in volts[:inputs] / quantum]
        bias = [round(b) for b in volts[inputs:].sum(axis=0) / quantum]
        theta, u = [round(x) for x in theta / quantum], [round(x) for x in theta / 2 / quantum]
        sent.append([])
        for fired in spikes:
            out = []
            for j in range(n_columns):
                incoming = sum(
                    weight[i][j] * int(fired[start + i]) for i in range(inputs) if fired[start + i]
                )
                if kind == "spiking":
                    u[j] += incoming + bias[j]
                    out.append(1 if u[j] >= theta[j] else -1 if u[j] < 0 else 0)
                    u[j] -= out[j] * theta[j]
                else:
                    charge = incoming + bias[j]
                    size = math.floor(Fraction(abs(charge) * whole, theta[j]) + Fraction(1, 2))
                    size = min(size, whole - 1)
                    out.append(size if charge > 0 else -size)
            sent[-1].append(out)
    # The soma counts in units of the least amount.
    whole = 1 / step
    assert whole * 1024 == int(whole * 1024)
    u = [layer["initial"] * whole] * n_columns
    soma = []
    for k in range(len(spikes)):
        out = []
        for j in range(n_columns):
            u[j] += sum(part[k][j] for part in sent)
            down = layer["ternary"] and u[j] <= -whole
            out.append(1 if u[j] >= whole else -1 if down else 0)
            u[j] -= out[j] * whole
        soma.append(out)
    return np.array(sent), np.array(soma)


def events_by_hand(nodes, events, *, stop, steps, delay, refractory):
    """Return the spikes (time, neuron, number) of each node before `stop`, one queue for all.

    Of a network without leaks: ``events`` are (time, input, sign), `delay` one number for each
    layer by name. Neurons whose membranes drift, or who wait, put their next firing on the queue;
    what changes before it is due makes it void.
    """
    sources = sources_by_hand(nodes)
    order = {node.name: n for n, node in enumerate(nodes)}
    widths = {node.name: node.n_outputs for node in nodes}
    for node in nodes:
        if "input" in sources[node.name]:
            others = sum(widths[name] for name in sources[node.name] if name != "input")
            widths["input"] = (node.weight.shape[0] if not is_pool(node) else 10**9) - others
    queue, ticket = [], itertools.count()
    state = {node.name: _at_rest(node) for node in nodes}
    for node in nodes:
        own = state[node.name]
        own["fired"] = []
        if not is_pool(node):
            n = node.n_outputs
            own |= {"at": [0.0] * n, "free": [0.0] * n, "due": [None] * n}
            own |= {"edge": [None] * n}

    def send(source, t, i, number):
        for node in nodes:
            first = 0
            for name in sources[node.name]:
                if name == source:
                    later = t + delay.get(node.name, 0.0)
                    if later < stop:
                        item = (later, order[node.name], next(ticket), "in", first + i, number)
                        heapq.heappush(queue, item)
                first += widths[name]

    def drift(node, j):
        return int(node.bias[j]) * steps / stop

    def foresee(node, j, t):
        """Put the next firing of a neuron without more input on the queue."""
        own, b = state[node.name], drift(node, j)
        own["due"][j] = own["edge"][j] = None
        start = max(t, own["free"][j])
        u = own["membrane"][j] + b * (start - t)
        spike, _ = _compare_by_hand(node, j, u, own["count"][j])
        if not spike and b:
            edge = _edge_by_hand(node, j, own["count"][j], up=b > 0)
            if edge is None:
                return
            start += (edge - u) / b
            # What fires downwards from a count fires below the edge, not at it.
            beyond = node.spikes == "signed" and b < 0
            own["edge"][j] = edge - 2.0**-20 if beyond else edge
            start += 2.0**-20 / -b if beyond else 0.0
        elif not spike:
            return
        if start < stop:
            own["due"][j] = next(ticket)
            item = (start, order[node.name], own["due"][j], "due", j, 0)
            heapq.heappush(queue, item)

    for t, i, sign in events:
        send("input", float(t), int(i), int(sign))
    for node in nodes:
        for j in range(0 if is_pool(node) else node.n_outputs):
            foresee(node, j, 0.0)
    while queue:
        t, place = queue[0][:2]
        node, arrived, due = nodes[place], {}, set()
        own = state[node.name]
        while queue and queue[0][:2] == (t, place):
            _, _, number_of, what, i, number = heapq.heappop(queue)
            if what == "in":
                arrived[i] = arrived.get(i, 0) + number
            elif own["due"][i] == number_of:
                due.add(i)
        if is_pool(node):
            last = max(max(map(max, node.index.tolist())), max(arrived))
            fired = _pool_by_hand(node, own, [arrived.get(i, 0) for i in range(last + 1)])
        else:
            fired = []
            for j in range(node.n_outputs):
                charge = sum(int(node.weight[i, j]) * n for i, n in arrived.items())
                fired.append(0)
                if not arrived and j not in due:
                    continue
                u = own["membrane"][j] + drift(node, j) * (t - own["at"][j]) + charge
                if j in due and not charge and own["edge"][j] is not None:
                    u = own["edge"][j]
                most = node.burst if refractory else 10**9
                while own["free"][j] <= t and abs(fired[j]) < most:
                    spike, taken = _compare_by_hand(node, j, u, own["count"][j])
                    if not spike:
                        break
                    u = u - spike * taken if node.reset == "subtract" else 0.0
                    own["count"][j] += spike
                    fired[j] += spike
                if fired[j]:
                    own["free"][j] = t + refractory
                own["membrane"][j], own["at"][j] = u, t
                foresee(node, j, t)
        for j, number in enumerate(fired):
            if number:
                own["fired"].append((t, j, number))
                send(node.name, t, j, number)
    return {node.name: state[node.name]["fired"] for node in nodes}


def _edge_by_hand(layer, j, count, *, up):
    """Return where a drifting membrane fires, or None where it never does."""
    theta, theta_n = int(layer.threshold[j]), int(layer.negative[j])
    low = (theta - theta_n) // 2
    if layer.spikes != "signed":
        return theta if up else -theta if layer.spikes == "ternary" else None
    if up:
        return low + theta_n if count < 0 else theta
    if count > 0:
        return 0
    return low if theta_n else None
