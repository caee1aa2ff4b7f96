from __future__ import annotations

import h5py
import numpy as np
import pytest

from spikeram.conversion import nir
from spikeram.errors import ConversionError, FileFormatError


def small(**metadata):
    """Return a graph of two inputs and one neuron."""
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(shape=2),
            "weight": nir.Affine(weight=[[0.5, 0.25]], bias=[0.125]),
            "neuron": nir.IF(r=[1.0], v_threshold=[1.0], v_reset=[0.0]),
            "output": nir.Output(shape=1),
        },
        edges=(("input", "weight"), ("weight", "neuron"), ("neuron", "output")),
        metadata=metadata,
    )


def all_nodes():
    """Return one node of each type."""
    one = np.ones(2)
    return {
        "input": nir.Input(shape=(2, 4, 5)),
        "affine": nir.Affine(weight=np.ones((3, 2)), bias=np.ones(3)),
        "linear": nir.Linear(weight=np.ones((3, 2))),
        "scale": nir.Scale(scale=one),
        "conv1d": nir.Conv1d(
            weight=np.ones((4, 1, 3)), bias=np.ones(4), input_shape=7, stride=2, padding=1, groups=2
        ),
        "conv2d": nir.Conv2d(
            weight=np.ones((2, 2, 3, 3)), bias=one, input_shape=(4, 5), padding="same"
        ),
        "sum": nir.SumPool2d(kernel_size=2, stride=2),
        "average": nir.AvgPool2d(kernel_size=(2, 1), stride=(2, 1), padding=(1, 0)),
        "flatten": nir.Flatten(start_dim=0, end_dim=-1, input_type=(2, 4, 5)),
        "delay": nir.Delay(delay=0.002 * one),
        "threshold": nir.Threshold(threshold=one),
        "i": nir.I(r=one),
        "if": nir.IF(r=one, v_threshold=one),
        "li": nir.LI(tau=one, r=one, v_leak=one),
        "lif": nir.LIF(tau=one, r=one, v_leak=one, v_threshold=one, v_reset=-one),
        "cubali": nir.CubaLI(tau_mem=one, tau_syn=one, r=one, v_leak=one),
        "cubalif": nir.CubaLIF(
            tau_mem=one, tau_syn=one, r=one, v_leak=one, v_threshold=one, w_in=3 * one
        ),
        "graph": small(),
    }


def same(a, b):
    """Return whether two nodes hold the same values."""
    if isinstance(a, nir.NIRGraph):
        return a.edges == b.edges and all(same(a.nodes[n], b.nodes[n]) for n in a.nodes)
    names = [name for name in a.__dataclass_fields__ if name != "metadata"]
    return type(a) is type(b) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in names
    )


@pytest.mark.parametrize("name", list(all_nodes()))
def test_a_node_comes_back_as_it_was_written(name, tmp_path):
    node = all_nodes()[name]
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes={name: node}, edges=()))
    assert same(node, nir.read(tmp_path / "a.nir").nodes[name])


def test_metadata_come_back_nested(tmp_path):
    nir.write(tmp_path / "a.nir", small(reset="subtract", inner={"dt": 0.5, "names": ["a", "b"]}))
    metadata = nir.read(tmp_path / "a.nir").metadata
    assert metadata["reset"] == "subtract"
    assert metadata["inner"]["dt"] == 0.5
    assert metadata["inner"]["names"].tolist() == ["a", "b"]


def test_float32_is_written_where_it_is_asked_for(tmp_path):
    nir.write(tmp_path / "a.nir", small(), dtype="float32")
    with h5py.File(tmp_path / "a.nir") as file:
        assert file["node/nodes/weight/weight"].dtype == np.float32


def test_the_nir_package_reads_what_we_write(tmp_path):
    package = pytest.importorskip("nir", reason="the package nir is not installed")
    nir.write(tmp_path / "a.nir", small(reset="subtract"))
    graph = package.read(tmp_path / "a.nir")
    assert graph.nodes["weight"].weight.tolist() == [[0.5, 0.25]]
    assert graph.metadata["reset"] == "subtract"


def without(path, *names):
    with h5py.File(path, "r+") as file:
        for name in names:
            del file[name]


def test_a_file_without_v_reset_is_read(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    without(tmp_path / "a.nir", "node/nodes/neuron/v_reset")
    assert nir.read(tmp_path / "a.nir").nodes["neuron"].v_reset is None


def test_a_file_without_w_in_has_a_weight_of_one(tmp_path):
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes={"n": all_nodes()["cubalif"]}, edges=()))
    without(tmp_path / "a.nir", "node/nodes/n/w_in")
    assert nir.read(tmp_path / "a.nir").nodes["n"].w_in == 1


def test_a_file_without_a_version_is_read(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    without(tmp_path / "a.nir", "version")
    assert nir.read(tmp_path / "a.nir").version == ""


def test_unknown_nodes_are_all_named(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        for name, kind in (("weight", "MaxPool2d"), ("neuron", "Izhikevich")):
            del file[f"node/nodes/{name}/type"]
            file[f"node/nodes/{name}/type"] = kind
    with pytest.raises(ConversionError, match="'neuron' of type 'Izhikevich', 'weight' of type"):
        nir.read(tmp_path / "a.nir")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="There is no file .*missing.nir"):
        nir.read(tmp_path / "missing.nir")


def test_a_missing_parameter_is_named(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    without(tmp_path / "a.nir", "node/nodes/weight/bias")
    with pytest.raises(FileFormatError, match="node 'weight' of type Affine has no bias"):
        nir.read(tmp_path / "a.nir")


def test_parameters_that_do_not_fit_each_other_are_named(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file["node/nodes/weight/bias"]
        file["node/nodes/weight/bias"] = np.ones(2)
    with pytest.raises(FileFormatError, match=r"'weight': Affine expects a bias of shape \(1,\)"):
        nir.read(tmp_path / "a.nir")


def test_an_edge_to_nowhere_is_named(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        edges = file["node/edges"][()]
        edges[0, 1] = b"nowhere"
        del file["node/edges"]
        file["node/edges"] = edges
    with pytest.raises(FileFormatError, match="Edges name 'nowhere'"):
        nir.read(tmp_path / "a.nir")


def test_a_link_out_of_the_file_is_refused(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    nir.write(tmp_path / "b.nir", small())
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file["node/nodes/weight/weight"]
        place = "node/nodes/weight/weight"
        file[place] = h5py.ExternalLink(str(tmp_path / "b.nir"), place)
    with pytest.raises(FileFormatError, match="a link out of its place"):
        nir.read(tmp_path / "a.nir")


def test_values_in_another_file_are_refused(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file["node/nodes/weight/weight"]
        (tmp_path / "raw").write_bytes(bytes(16))
        file["node/nodes/weight"].create_dataset(
            "weight", (1, 2), dtype="f8", external=[(str(tmp_path / "raw"), 0, 16)]
        )
    with pytest.raises(FileFormatError, match="keeps its values in another file"):
        nir.read(tmp_path / "a.nir")


def test_an_array_that_would_fill_the_memory_is_refused(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file["node/nodes/weight/weight"]
        file["node/nodes/weight"].create_dataset("weight", (2**20, 2**20), "f8", chunks=(64, 64))
    with pytest.raises(FileFormatError, match="take more than 4 GiB"):
        nir.read(tmp_path / "a.nir")


def test_a_group_inside_itself_is_refused(tmp_path):
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes={"graph": small()}, edges=()))
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        file["node/nodes/again"] = file["node"]
    with pytest.raises(FileFormatError, match="nested more than 16 deep"):
        nir.read(tmp_path / "a.nir")


def test_a_file_cut_or_changed_anywhere_fails_in_one_line(tmp_path):
    nir.write(tmp_path / "a.nir", small(reset="subtract"))
    whole = (tmp_path / "a.nir").read_bytes()
    rng = np.random.default_rng(0)
    said = []
    for n in range(45):
        damaged = bytearray(whole)
        if n % 3:
            for place in rng.integers(0, len(whole), 20):
                damaged[place] = rng.integers(256)
        else:
            del damaged[rng.integers(len(whole)) :]
        (tmp_path / "b.nir").write_bytes(damaged)
        try:
            nir.read(tmp_path / "b.nir")
        except (FileFormatError, ConversionError) as error:
            said.append(str(error))
    assert len(said) > 15
    assert not any("\n" in line for line in said)


def test_a_name_with_a_slash_is_refused(tmp_path):
    graph = nir.NIRGraph(nodes={"a/b": nir.Input(shape=1)}, edges=())
    with pytest.raises(ValueError, match="expect no '/'"):
        nir.write(tmp_path / "a.nir", graph)


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path):
    nir.write(tmp_path / "a.nir", small())
    with pytest.raises(ValueError, match="expect no '/'"):
        nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes={"a/b": nir.Input(shape=1)}, edges=()))
    assert "neuron" in nir.read(tmp_path / "a.nir").nodes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nir.Affine(weight=[1.0], bias=[1.0]), "weights of at least 2 axes"),
        (lambda: nir.Linear(weight=[[np.nan]]), "finite numbers"),
        (lambda: nir.Conv2d(weight=np.ones((1, 1, 3, 3)), bias=[0], padding="full"), "'same'"),
        (
            lambda: nir.Conv2d(weight=np.ones((1, 1, 3, 3)), bias=[0], padding="same", stride=2),
            "expects stride 1",
        ),
        (lambda: nir.Conv2d(weight=np.ones((3, 1, 3, 3)), bias=np.ones(3), groups=2), "2 groups"),
        (lambda: nir.SumPool2d(kernel_size=0, stride=1), "integers >= 1"),
        (lambda: nir.Delay(delay=[-1.0]), "delays >= 0"),
        (lambda: nir.IF(r=np.ones(2), v_threshold=np.ones(3)), "parameters of one shape"),
        (lambda: nir.LI(tau=0.0, r=1.0, v_leak=0.0), "times > 0"),
        (lambda: nir.Input(shape=(2, 0)), "sizes >= 1"),
    ],
)
def test_impossible_nodes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
