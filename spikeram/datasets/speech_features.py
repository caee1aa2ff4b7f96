"""Features of one-second clips: log-mel energies and cepstral coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from spikeram.errors import MissingExtraError

SAMPLE_RATE = 16_000
"""Samples per second, and of a clip [Hz]."""

N_FRAMES = 49
"""Frames of a clip."""

N_BANDS = 40
"""Mel bands of a frame."""

_WINDOW = 640
_HOP = 320
_N_FFT = 1024
_LOWEST, _HIGHEST = 20.0, 8000.0

# Added to the energies, so that silence has a logarithm.
_FLOOR = np.float32(1e-6)

# Clips whose spectra are held at once.
_BLOCK = 256


def log_mel(audio: NDArray[np.generic]) -> NDArray[np.float32]:
    r"""Return the log-mel energies of clips, of shape (clip, 49, 40).

    .. math:: \ln\Bigl(\sum_f M_{mf} |X_{kf}|^2 + 10^{-6}\Bigr)

    with :math:`X_k` the spectrum of 1024 points of frame :math:`k`, 640 samples every 320, none
    of them padded, under a periodic Hann window; :math:`M` 40 triangles of height 1 on the
    mel scale of HTK from 20 to 8000 Hz.

    Parameters
    ----------
    audio : ndarray of shape (clip, 16000)
        One second at 16 kHz: int16, or floats in [-1, 1].

    Raises
    ------
    ValueError
        If `audio` is of another shape or type.
    MissingExtraError
        If librosa is not installed.
    """
    audio = np.asarray(audio)
    whole = audio.dtype == np.int16
    if audio.ndim != 2 or audio.shape[1] != SAMPLE_RATE or not (whole or audio.dtype.kind == "f"):
        raise ValueError(
            f"log_mel expects int16 or floats of shape (clip, {SAMPLE_RATE}), "
            f"got {audio.dtype} of shape {audio.shape}."
        )
    librosa = _librosa()
    # librosa centres the window in the frame of the transform: with this margin the first window
    # begins with the clip, and the last ends with it.
    margin = (_N_FFT - _WINDOW) // 2
    energies = np.empty((len(audio), N_FRAMES, N_BANDS), np.float32)
    for start in range(0, len(audio), _BLOCK):
        x = audio[start : start + _BLOCK].astype(np.float32)
        if whole:
            x /= np.float32(32768)
        mel = librosa.feature.melspectrogram(
            y=np.pad(x, ((0, 0), (margin, margin))),
            sr=SAMPLE_RATE,
            n_fft=_N_FFT,
            hop_length=_HOP,
            win_length=_WINDOW,
            center=False,
            n_mels=N_BANDS,
            fmin=_LOWEST,
            fmax=_HIGHEST,
            htk=True,
            norm=None,
        )
        energies[start : start + _BLOCK] = np.log(mel + _FLOOR).swapaxes(1, 2)
    return energies


def mfcc(logmel: NDArray[np.floating[Any]], n: int = N_BANDS) -> NDArray[np.floating[Any]]:
    """Return the first `n` mel-frequency cepstral coefficients of each frame.

    They are the orthonormal discrete cosine transform of type II along the last axis.

    Parameters
    ----------
    logmel : ndarray of shape (..., band)
        Log-mel energies.
    n : int
        How many coefficients.

    Raises
    ------
    ValueError
        If there are fewer than `n` bands.
    """
    if not 1 <= n <= logmel.shape[-1]:
        raise ValueError(f"mfcc expects n from 1 to the {logmel.shape[-1]} bands, got {n}.")
    coefficients: NDArray[np.floating[Any]] = dct(logmel, type=2, norm="ortho", axis=-1)
    return coefficients[..., :n]


def _librosa() -> Any:
    try:
        import librosa
    except ImportError:
        raise MissingExtraError("librosa", "speech", "Log-mel energies of audio") from None
    return librosa
