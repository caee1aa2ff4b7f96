from __future__ import annotations

import pytest

from spikeram.area import AreaModel, area


def test_a_core_measures_what_its_neurons_and_their_share_say():
    assert AreaModel().core * 1e6 == pytest.approx(1270e-6 * 256 / 0.28)
    assert AreaModel().core * 1e6 == pytest.approx(1.16, abs=0.005)


def test_parts_have_the_published_shares_and_add_up_to_the_cores():
    found = area(3)
    shares = found / found.sum()
    assert shares.sel(part=["neurons", "drivers", "cells"]).values == pytest.approx(
        [0.28, 0.21, 0.12]
    )
    assert float(found.sum()) == pytest.approx(3 * AreaModel().core)
    assert found.attrs["units"] == "m2"


def test_48_cores_fit_on_a_chip():
    found = area(48)
    assert found.attrs["chips"] == 1
    # The cores take a third of the die; pads, registers and the rest of the chip the others.
    assert float(found.sum()) < found.attrs["chip_area"] == pytest.approx(159e-6)
    assert area(49).attrs["chips"] == 2


@pytest.mark.parametrize("cores", [-1, 1.5, True])
def test_what_is_no_number_of_cores_is_refused(cores):
    with pytest.raises(ValueError, match="area expects a number of cores"):
        area(cores)


def test_shares_beyond_the_core_are_refused():
    with pytest.raises(ValueError, match="add up to at most 1"):
        AreaModel(drivers=0.7)
