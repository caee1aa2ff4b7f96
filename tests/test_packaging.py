from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import spikeram

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = ("brian2", "numba", "xarray", "matplotlib", "scipy", "sklearn", "rich", "torch", "pydantic")


def loaded_after(code):
    """Return which heavy packages a fresh interpreter has loaded after `code`."""
    listed = f"{code}\nimport sys\nprint([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return ast.literal_eval(done.stdout.strip().splitlines()[-1])


def test_importing_spikeram_loads_nothing_heavy():
    assert loaded_after("import spikeram") == []


def test_help_loads_nothing_heavy():
    code = "from spikeram.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert loaded_after(code) == []


def test_running_on_the_clocked_engine_does_not_load_brian2():
    code = (
        "import numpy as np, spikeram as sr\n"
        "ann = sr.TrainedNetwork.chain(weights=(np.eye(2),), biases=(np.zeros(2),))\n"
        "chip = sr.program(sr.convert(ann, np.eye(2), steps=4), seed=0)\n"
        "sr.simulate(chip, np.eye(2))"
    )
    loaded = loaded_after(code)
    assert "numba" in loaded
    assert "brian2" not in loaded


def test_every_public_name_leads_somewhere_and_stands_in_the_stub():
    tree = ast.parse((ROOT / "spikeram" / "__init__.pyi").read_text())
    listed = {
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert listed == set(spikeram.__all__)
    for name in spikeram.__all__:
        assert getattr(spikeram, name) is not None


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = spikeram.nonsense


def test_every_package_is_listed_for_the_wheel():
    folders = ("spikeram", "conversion", "models")
    inside = [path for name in folders for path in (ROOT / name).glob("*/__init__.py")]
    places = [path.parent.relative_to(ROOT).parts for path in inside]
    found = {"spikeram", *(".".join(("spikeram", *p[p[0] == "spikeram" :])) for p in places)}
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("name", ["models", "conversion"])
def test_the_links_lead_to_the_top_level_folders(name):
    link = ROOT / "spikeram" / name
    assert link.is_symlink()
    assert link.resolve() == ROOT / name


def test_every_module_has_its_place_in_the_layers():
    modules = {path.stem for path in (ROOT / "spikeram").glob("*.py")} - {"__init__"}
    modules |= {path.parent.name for path in (ROOT / "spikeram").glob("*/__init__.py")}
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {part.strip().removeprefix("spikeram.") for line in layers for part in line.split("|")}
    assert named == modules


def test_only_two_places_may_import_numba_and_brian2():
    contracts = PROJECT["tool"]["importlinter"]["contracts"][1:]
    allowed = {"numba": ["spikeram._kernels.** -> numba"], "brian2": ["spikeram.brian -> brian2"]}
    found = {c["forbidden_modules"][0]: c["ignore_imports"] for c in contracts}
    assert found == allowed
    assert all(contract["source_modules"] == ["spikeram"] for contract in contracts)


def test_the_metadata_carries_the_known_bad_pair():
    assert "numpy<2.4; python_version<'3.12'" in PROJECT["project"]["dependencies"]
