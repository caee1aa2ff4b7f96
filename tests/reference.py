"""Slow and obvious versions of the compiled kernels: the oracles of the tests."""

from __future__ import annotations

import math

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


def run_by_hand(layers, drive, spikes, steps):
    """Return each layer's spikes and the last membranes, in Python integers, step by step.

    Step k of layer n runs at time k + n, as in a clock-driven simulator: all layers in turn.
    """
    n_samples = len(drive if spikes is None else spikes)
    fired = [np.zeros((n_samples, steps, layer.n_outputs), int) for layer in layers]
    trace = np.zeros((n_samples, steps, layers[-1].n_outputs), int)
    for s in range(n_samples):
        membranes = [[int(u) for u in layer.initial] for layer in layers]
        for time in range(steps + len(layers) - 1):
            for n, layer in enumerate(layers):
                k = time - n
                if not 0 <= k < steps:
                    continue
                for j in range(layer.n_outputs):
                    u = membranes[n][j] + int(layer.bias[j])
                    if n == 0 and spikes is None:
                        u += int(drive[s, j])
                    else:
                        incoming = spikes[s, k] if n == 0 else fired[n - 1][s, k]
                        u += sum(int(w) * int(x) for w, x in zip(layer.weight[:, j], incoming))
                    u = max(-layer.rail, min(layer.rail, u))
                    threshold = int(layer.threshold[j])
                    spike = 1 if u >= threshold else 0
                    if layer.spikes == "ternary" and u <= -threshold:
                        spike = -1
                    if spike:
                        u = u - spike * threshold if layer.reset == "subtract" else 0
                    fired[n][s, k, j] = spike
                    membranes[n][j] = u
                if n == len(layers) - 1:
                    trace[s, k] = membranes[n]
    return fired, trace
