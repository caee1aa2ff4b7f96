"""Spikes to and from other tools: pandas, Neo, NWB, SONATA, event cameras, Brian2.

Each format has a file of its own, thin over `spikeram.exchange.events`. A dense raster is
`spikeram.recording.raster`.
"""

from spikeram.exchange.address_events import (
    from_address_events as from_address_events,
    to_address_events as to_address_events,
)
from spikeram.exchange.aedat import read_aedat as read_aedat
from spikeram.exchange.brian_monitors import (
    from_monitors as from_monitors,
    to_generator as to_generator,
)
from spikeram.exchange.events import (
    Events as Events,
    events_of as events_of,
    from_events as from_events,
)
from spikeram.exchange.frames import from_pandas as from_pandas, to_pandas as to_pandas
from spikeram.exchange.n_mnist import read_n_mnist as read_n_mnist
from spikeram.exchange.neo_blocks import from_neo as from_neo, to_neo as to_neo
from spikeram.exchange.nwb import from_nwb as from_nwb, to_nwb as to_nwb
from spikeram.exchange.sonata import from_sonata as from_sonata, to_sonata as to_sonata
