"""Data sets that networks are trained and measured on.

Files are looked for in ``$SPIKERAM_DATA``, then in a cache, and then fetched from where the set is
published; the checksums of published files are verified wherever they lie.
"""

from spikeram.datasets.cifar import cifar10
from spikeram.datasets.labelled import EventSet, LabelledSet
from spikeram.datasets.mnist import fashion_mnist, mnist
from spikeram.datasets.mnist_events import n_mnist
from spikeram.datasets.speech import speech_commands
from spikeram.datasets.speech_features import log_mel, mfcc

__all__ = [
    "EventSet",
    "LabelledSet",
    "cifar10",
    "fashion_mnist",
    "log_mel",
    "mfcc",
    "mnist",
    "n_mnist",
    "speech_commands",
]
