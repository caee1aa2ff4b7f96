"""From a trained network to spikes on a chip, one step after the other.

python examples/digits.py
"""

import spikeram as sr
from spikeram import demo
from spikeram.conversion import report

# Real handwritten digits, and a small network trained on them.
data = demo.digits()
trained = demo.train(data, seed=0)
correct = (trained.predict(data.x_test) == data.y_test).mean()
print(f"trained network: {correct:.2%}")

# Thresholds and biases for 16 time steps; what that costs each layer is known before it runs.
network = sr.convert(trained, data.x_train, steps=16)
for row in report(network, data.x_test):
    print(f"{row.name}: {row.clipped:.2%} clipped, expected error {row.error:.1%}")
ideal = sr.simulate(network, data.x_test)
print(f"ideal spikes: {ideal.spk.accuracy(data.y_test).values[-1]:.2%}")

# The same network on three programmed chips, a day later.
for index in range(3):
    chip = sr.program(network, chip="neurram", delay="1 day", seed=0, index=index)
    programmed = sr.simulate(chip, data.x_test)
    recalibrated = sr.simulate(sr.recalibrate(chip, data.x_train[:300]), data.x_test)
    print(
        f"chip {index}: {programmed.spk.accuracy(data.y_test).values[-1]:.2%} as programmed, "
        f"{recalibrated.spk.accuracy(data.y_test).values[-1]:.2%} recalibrated"
    )

# Spikes, rates and energy of the last one.
print(recalibrated.spk.summary().to_dataframe().round(3))
energy = recalibrated.spk.energy().sum(("crossbar", "component")).mean()
print(
    f"{1e9 * float(energy):.1f} nJ and {1e6 * float(recalibrated.spk.latency()[0]):.1f} us an image"
)
