"""OME-Zarr images: read as they say where they are, written as others read them, or refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.volumes import files, ome_zarr, writing
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

zarr = pytest.importorskip("zarr")
VERSIONS = ome_zarr.VERSIONS if zarr.__version__ >= "3" else ome_zarr.VERSIONS[:1]
TURNED = (0.0, -1.0, 0.0, 0.8, 0.0, 0.6, -0.6, 0.0, 0.8)


def scan(shape, dtype=np.int16, direction=ome_zarr.IDENTITY, seed=0):
    values = np.random.default_rng(seed).normal(1000, 300, shape).clip(0, 30000)
    grid = Grid(shape[::-1], (0.5, 0.75, 2.0), (10.0, -20.0, 30.0), direction)
    return Volume(values.astype(dtype), grid)


def foreign(path, array, scales, axes="zyx", unit="micrometer", version="0.4", more=None, **whole):
    """An image as another program writes it."""
    three = version == "0.5"
    options = {"zarr_format": 3 if three else 2} if zarr.__version__ >= "3" else {}
    group = zarr.open_group(str(path), mode="w", **options)
    make = group.create_array if hasattr(group, "create_array") else group.create_dataset
    datasets = []
    for number, steps in enumerate(scales):
        level = make(f"s{number}", shape=array.shape, chunks=(*(1,) * (array.ndim - 3), 4, 5, 6), dtype=array.dtype)
        level[...] = array // (number + 1) if number else array
        named = [{"type": kind, kind: values} for kind, values in steps.items()]
        datasets.append({"path": f"s{number}", "coordinateTransformations": named})
    named = [
        {"name": a, "type": "space", **({"unit": unit} if unit else {})} if a in "zyx" else {"name": a} for a in axes
    ]
    image = {"axes": named, "datasets": datasets, **whole}
    told = {"ome": {"version": version, "multiscales": [image]}} if three else {"multiscales": [image]}
    if not three:
        image["version"] = version
    group.attrs.update(told if more is None else more)
    return path


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "float32", "float64", "int64"])
def test_what_is_written_is_read_again(tmp_path, version, dtype):
    volume = scan((7, 9, 11), dtype, TURNED)
    files.write(Volume(volume.array, volume.grid), tmp_path / "scan.ome.zarr", {ome_zarr.KEY: version})
    loaded = files.read(tmp_path / "scan.ome.zarr")
    assert loaded.metadata == {ome_zarr.KEY: version} and not loaded.notes and loaded.label_map is False
    assert loaded.volume.array.dtype == volume.array.dtype.newbyteorder("=")
    assert np.array_equal(loaded.volume.array, volume.array)
    for point in ((0, 0, 0), (3, 2, 1)):
        assert np.allclose(loaded.volume.grid.to_physical(point), volume.grid.to_physical(point))
    assert files.look(tmp_path / "scan.ome.zarr") == (loaded.volume.grid, loaded.volume.array.dtype)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.ome.zarr"]


@given(shape=st.tuples(*(st.integers(1, 30),) * 3), version=st.sampled_from(VERSIONS))
@settings(max_examples=4)
def test_each_level_lies_where_the_first_does_and_is_the_mean_of_it(tmp_path_factory, shape, version):
    path = tmp_path_factory.mktemp("levels") / "scan.zarr"
    volume = scan(shape, np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ome_zarr, "CHUNK", (3, 8, 8))
        patch.setattr(ome_zarr, "COARSEST", 8)
        ome_zarr.write(volume, path, version)
    levels = [files.read(path / str(level)).volume for level in range(len(ome_zarr._pyramid(shape)))]
    assert files.read(path).volume.grid == levels[0].grid
    for finer, coarser in zip(levels, levels[1:]):
        pads = [(0, -n % f) for n, f in zip(finer.array.shape, _factors(finer, coarser))]
        factors = _factors(finer, coarser)
        padded = np.pad(finer.array, pads, "edge")
        blocks = padded.reshape([n for m, f in zip(coarser.array.shape, factors) for n in (m, f)])
        assert np.allclose(coarser.array, blocks.mean((1, 3, 5)))
        # The first voxel of the coarser grid has its center in the middle of those that it covers.
        middle = [(f - 1) / 2 for f in factors[::-1]]
        assert np.allclose(coarser.grid.to_physical((0, 0, 0)), finer.grid.to_physical(middle))
        assert np.allclose(coarser.grid.spacing, np.multiply(finer.grid.spacing, factors[::-1]))
    assert max(levels[-1].array.shape) <= ome_zarr.COARSEST


def _factors(finer, coarser):
    return [1 if n == m else 2 for n, m in zip(finer.array.shape, coarser.array.shape)]


def test_labels_stay_what_they_are_on_every_level(tmp_path, monkeypatch):
    monkeypatch.setattr(ome_zarr, "COARSEST", 8)
    labels = np.kron(np.random.default_rng(0).integers(0, 3, (4, 5, 6)) * 7, np.ones((6, 6, 6), int)).astype(np.uint8)
    files.write(Volume(labels, Grid(labels.shape[::-1])), tmp_path / "labels.zarr")
    for level in range(3):
        assert set(np.unique(files.read(tmp_path / "labels.zarr" / str(level)).volume.array)) == {0, 7, 14}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_image_of_another_program_is_read_in_its_place(tmp_path, version):
    array = scan((6, 7, 8)).array[None, None]
    scales = [{"scale": [1, 1, 4, 2, 3]}, {"scale": [1, 1, 8, 4, 6], "translation": [0, 0, 2, 1, 1.5]}]
    shared = [{"type": "scale", "scale": [1, 1, 10, 10, 10]}]
    path = foreign(tmp_path / "a.zarr", array, scales, "tczyx", version=version, coordinateTransformations=shared)
    loaded = files.read(path)
    assert np.array_equal(loaded.volume.array, array[0, 0])
    assert np.allclose(loaded.volume.grid.spacing, (0.03, 0.02, 0.04)) and loaded.volume.grid.origin == (0, 0, 0)
    assert any("as x, y and z" in note for note in loaded.notes)
    second = files.read(path / "s1").volume
    assert np.array_equal(second.array, array[0, 0] // 2)
    assert np.allclose(second.grid.spacing, (0.06, 0.04, 0.08))
    assert np.allclose(second.grid.origin, (0.015, 0.01, 0.02))


def test_lengths_without_a_unit_are_taken_as_millimeters_which_is_told(tmp_path):
    path = foreign(tmp_path / "a.zarr", scan((6, 7, 8)).array, [{"scale": [4, 2, 3]}], unit=None)
    loaded = files.read(path)
    assert loaded.volume.grid.spacing == (3, 2, 4) and any("unit" in note for note in loaded.notes)


def test_chunks_may_be_missing_but_that_all_are_is_told(tmp_path):
    array = scan((8, 10, 12)).array
    array[:4] = 0
    path = foreign(tmp_path / "a.zarr", array, [{"scale": [1, 1, 1]}])
    for chunk in (path / "s0").glob("0*"):
        chunk.unlink() if chunk.is_file() else shutil.rmtree(chunk)
    loaded = files.read(path)
    assert np.array_equal(loaded.volume.array, array) and not any("chunk" in note for note in loaded.notes)
    for chunk in (path / "s0").glob("[0-9]*"):
        chunk.unlink() if chunk.is_file() else shutil.rmtree(chunk)
    loaded = files.read(path)
    assert not loaded.volume.array.any() and any("Not one chunk" in note for note in loaded.notes)


GOOD = {"axes": [{"name": a, "type": "space"} for a in "zyx"], "version": "0.4"}
ONE = {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}


def _said(**changed):
    return {"multiscales": [{**GOOD, "datasets": [ONE], **changed}]}


def _placed(*steps):
    return _said(datasets=[{"path": "s0", "coordinateTransformations": list(steps)}])


NONSENSE = {
    "nothing": ({}, "does not say completely"),
    "no list": ({"multiscales": 3}, "does not say completely"),
    "an empty list": ({"multiscales": []}, "does not say completely"),
    "an older version": (_said(version="0.3", axes=["z", "y", "x"]), "of version 0.3; versions 0.4 and 0.5 are read"),
    "axes as words": (_said(axes=["z", "y", "x"]), "does not say completely"),
    "no level": (_said(datasets=[]), "does not say completely"),
    "a level that is not there": (_said(datasets=[{**ONE, "path": "s7"}]), "does not say completely"),
    "a level outside": (_said(datasets=[{**ONE, "path": "../s0"}]), "does not say completely"),
    "two axes": (_said(axes=GOOD["axes"][1:]), "does not say completely"),
    "other axes": (_said(axes=GOOD["axes"][::-1]), "has the axes x, y, z; images whose last axes are z, y and x"),
    "scales for others": (_placed({"type": "scale", "scale": [1, 1]}), "does not say completely"),
    "no numbers": (_placed({"type": "scale", "scale": ["a", 1, 1]}), "does not say completely"),
    "a scale of zero": (_placed({"type": "scale", "scale": [0, 1, 1]}), "which cannot be"),
    "a scale below zero": (_placed({"type": "scale", "scale": [1, -1, 1]}), "which cannot be"),
    "an endless one": (_placed({"type": "scale", "scale": [1, 1, "inf"]}), "which cannot be"),
    "nowhere": (_placed({"type": "translation", "translation": ["nan", 1, 1]}), "not a valid number"),
    "a rotation": (_placed({"type": "affine", "affine": [1, 1, 1]}), "does not say completely"),
    "a unit of time": (
        _said(axes=[{"name": a, "type": "space", "unit": "second"} for a in "zyx"]),
        "in second, which is no unit of length",
    ),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_refused_in_a_sentence(tmp_path, what):
    more, words = NONSENSE[what]
    path = foreign(tmp_path / "a.zarr", scan((6, 7, 8)).array, [{"scale": [1, 1, 1]}], more=more)
    for read in (files.look, files.read):
        with pytest.raises(RefusalError, match=words.replace("(", r"\(")) as refused:
            read(path)
        assert str(refused.value).count("\n") == 0


def test_what_holds_several_volumes_or_no_numbers_is_refused(tmp_path):
    array = np.zeros((2, 6, 7, 8), np.int16)
    with pytest.raises(RefusalError, match=r"holds 2 volumes along c .*extract"):
        files.read(foreign(tmp_path / "a.zarr", array, [{"scale": [1, 1, 1, 1]}], "czyx"))
    with pytest.raises(RefusalError, match="no real numbers"):
        files.read(foreign(tmp_path / "b.zarr", array[0].astype(complex), [{"scale": [1, 1, 1]}]))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"zarr_format": 7}', "\x00\x01"])
def test_damaged_metadata_is_refused(tmp_path, text):
    files.write(scan((6, 7, 8)), tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / ".zgroup").write_text(text)
    with pytest.raises(RefusalError, match=r"a\.zarr"):
        files.read(tmp_path / "a.zarr")
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(RefusalError, match=r"b\.zarr"):
        files.read(tmp_path / "b.zarr")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("part", [0, 0.05, 0.5, 0.999])
def test_damaged_voxels_are_refused(tmp_path, version, part):
    files.write(scan((6, 7, 8)), tmp_path / "a.zarr", {ome_zarr.KEY: version})
    (chunk,) = [path for path in (tmp_path / "a.zarr" / "0").rglob("0") if path.is_file()]
    chunk.write_bytes(chunk.read_bytes()[: int(part * chunk.stat().st_size)])
    with pytest.raises(RefusalError, match="is damaged"):
        files.read(tmp_path / "a.zarr")


def test_without_the_package_it_says_which_one_is_needed(tmp_path, monkeypatch):
    files.write(scan((6, 7, 8)), tmp_path / "a.zarr")

    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(ome_zarr.importlib, "import_module", missing)
    for attempt in (lambda: files.read(tmp_path / "a.zarr"), lambda: writing.check_writable(tmp_path / "b.zarr")):
        with pytest.raises(RefusalError, match=r"need the Python package zarr; install it \(`pip install zarr`\)"):
            attempt()


def test_an_older_package_says_what_it_cannot(tmp_path, monkeypatch):
    files.write(scan((6, 7, 8)), tmp_path / "a.zarr", {ome_zarr.KEY: VERSIONS[-1]})
    monkeypatch.setattr(zarr, "__version__", "2.18.3")
    with pytest.raises(RefusalError, match="needs version 3 of the Python package zarr"):
        ome_zarr.check_possible("0.5")
    if VERSIONS[-1] == "0.5":
        with pytest.raises(RefusalError, match="needs version 3 of the Python package zarr"):
            files.read(tmp_path / "a.zarr")


def test_it_is_written_whole_or_not_at_all_and_only_over_its_own(tmp_path, monkeypatch):
    path, first, second = tmp_path / "a.zarr", scan((6, 7, 8)), scan((6, 7, 8), seed=1)
    files.write(first, path)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ome_zarr, "_coarser", full)
        with pytest.raises(RefusalError, match="check the space"):
            files.write(second, path)
    assert np.array_equal(files.read(path).volume.array, first.array)
    files.write(second, path)
    assert np.array_equal(files.read(path).volume.array, second.array)
    assert [each.name for each in tmp_path.iterdir()] == ["a.zarr"]
    other = foreign(tmp_path / "b.zarr", first.array, [{"scale": [1, 1, 1]}])
    with pytest.raises(RefusalError, match="not an image that this program made"):
        files.write(second, other)
    assert np.array_equal(files.read(other).volume.array, first.array)
    with pytest.raises(RefusalError, match="overwrite what is read"):
        files.check_apart(writing.written_by(path), files.read_by(path))


def test_what_is_written_is_what_the_specification_says(tmp_path):
    volume = scan((6, 7, 8))
    files.write(volume, tmp_path / "a.ome.zarr")
    (image,) = json.loads((tmp_path / "a.ome.zarr" / ".zattrs").read_text())["multiscales"]
    assert image["version"] == "0.4" and image["name"] == "a"
    assert image["axes"] == [{"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"]
    assert image["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [2.0, 0.75, 0.5]},
        {"type": "translation", "translation": [30.0, -20.0, 10.0]},
    ]
    array = json.loads((tmp_path / "a.ome.zarr" / "0" / ".zarray").read_text())
    assert array["dimension_separator"] == "/" and array["zarr_format"] == 2
    if "0.5" in VERSIONS:
        files.write(volume, tmp_path / "b.ome.zarr", {ome_zarr.KEY: "0.5"})
        told = json.loads((tmp_path / "b.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
        assert told["version"] == "0.5" and "version" not in told["multiscales"][0]
        array = json.loads((tmp_path / "b.ome.zarr" / "0" / "zarr.json").read_text())
        assert array["dimension_names"] == ["z", "y", "x"] and array["zarr_format"] == 3
