"""Statistics of recorded spikes: each a labelled array with units.

Silence is data: its rate is 0, and what rests on intervals or on a mean that is zero is NaN,
without a warning. The length of the window is always that of the recording, never the time of the
last spike. Two spikes are no regular train: with fewer than two intervals their regularity is NaN.
Where a value rests on a number of intervals, trials or neurons, that number is its coordinate
``n``, and every average says over what. Spikes of either sign count alike.
"""

from spikeram.statistics.binned import (
    binned as binned,
    instantaneous_rate as instantaneous_rate,
    population_rate as population_rate,
    psth as psth,
    synchrony as synchrony,
)
from spikeram.statistics.bursts import (
    burst_summary as burst_summary,
    bursts as bursts,
    bursts_by_log_interval as bursts_by_log_interval,
    log_interval_threshold as log_interval_threshold,
)
from spikeram.statistics.counts import (
    fano_factor as fano_factor,
    fano_over_windows as fano_over_windows,
    rate as rate,
    spike_counts as spike_counts,
    spikes_per_layer as spikes_per_layer,
    synaptic_operations as synaptic_operations,
)
from spikeram.statistics.decisions import (
    accuracy as accuracy,
    check_labels as check_labels,
    early_decision as early_decision,
    first_spike_latency as first_spike_latency,
    is_regression as is_regression,
    prediction as prediction,
    root_mean_square_error as root_mean_square_error,
    spikes_to_decision as spikes_to_decision,
)
from spikeram.statistics.information import mutual_information as mutual_information
from spikeram.statistics.intervals import (
    cv as cv,
    cv2 as cv2,
    interval_measures as interval_measures,
    isi as isi,
    isi_histogram as isi_histogram,
    lv as lv,
    lvr as lvr,
)
from spikeram.statistics.labels import finite_mean as finite_mean
from spikeram.statistics.pairs import (
    autocorrelogram as autocorrelogram,
    correlation as correlation,
    cross_correlogram as cross_correlogram,
    sttc as sttc,
    van_rossum as van_rossum,
    victor_purpura as victor_purpura,
)
from spikeram.statistics.sparseness import (
    dead as dead,
    hoyer as hoyer,
    saturated as saturated,
    sparsity as sparsity,
    treves_rolls as treves_rolls,
)
from spikeram.statistics.streaming import StreamingMeasures as StreamingMeasures
from spikeram.statistics.summary import summary as summary
