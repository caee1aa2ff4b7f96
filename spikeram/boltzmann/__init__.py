"""Restricted Boltzmann machines on a crossbar: Gibbs sampling in both directions on one array."""

from spikeram.boltzmann.firing import Firing as Firing
from spikeram.boltzmann.machine import BoltzmannMachine as BoltzmannMachine, Fields as Fields
from spikeram.boltzmann.programmed import (
    ProgrammedMachine as ProgrammedMachine,
    ReadMachine as ReadMachine,
    ReadOut as ReadOut,
    program_machine as program_machine,
    read_out as read_out,
)
from spikeram.boltzmann.sampling import Chain as Chain, Gibbs as Gibbs, sample as sample
from spikeram.boltzmann.spiking import SpikingMachine as SpikingMachine, spiking as spiking
