from __future__ import annotations

import numpy as np
import pytest

from spikeram import registry
from spikeram.seeds import Purpose, generator, key


def test_keys_differ_by_seed_purpose_and_path():
    keys = {
        int(key(seed, purpose, *path))
        for seed in (0, 1)
        for purpose in Purpose
        for path in ((), (0,), (1,), (0, 1))
    }
    assert len(keys) == 2 * len(Purpose) * 4


def test_a_seed_sequence_serves_as_a_seed_and_its_children_differ():
    children = np.random.SeedSequence(3).spawn(2)
    first, second = (int(key(child, Purpose.PROGRAMMING)) for child in children)
    assert first != second
    assert int(key(np.random.SeedSequence(3), Purpose.PROGRAMMING)) == int(
        key(3, Purpose.PROGRAMMING)
    )


def test_generators_of_one_address_draw_the_same():
    a, b = (generator(1, Purpose.TRAINING, 2).random(4) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
def test_what_is_not_a_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed expects an integer >= 0"):
        key(seed, Purpose.PROGRAMMING)


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(
        ValueError,
        match="there are gaussian, ideal, neurram, neurram_analog. Did you mean 'neurram'",
    ):
        registry.lookup("chips", "neuram")


@pytest.mark.parametrize("kind", ["chips", "devices", "engines"])
@pytest.mark.filterwarnings("ignore")
def test_every_registered_name_leads_somewhere(kind):
    for name in registry.names(kind):
        assert callable(registry.lookup(kind, name))
