"""Loaders give the network that was saved, or say why not; nothing of a bundle but its weights is touched."""

from __future__ import annotations

import ast
import csv
import dataclasses
import gzip
import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import auditor_plugins
import numpy as np
import pytest
import torch
from auditor_plugins.models.factory import Factory
from auditor_plugins.models.monai_ import Monai
from auditor_plugins.models.scores import Scores
from auditor_plugins.models.t_densenet import TDenseNet, TruncatedDenseNet
from auditor_plugins.models.torchvision_ import Torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn

import auditor
from auditor import Layers, ModelLoader, ModelRefused, Network, Preprocessing
from auditor.checkpoint import load_into, save
from auditor.registry import Registry
from auditor.testing import check_model

CLASSES = ("Mass", "Nodule", "Effusion")
SMALL = Preprocessing(size=64)
FACTORY = """
from torch import nn
from auditor import hookimpl

def build(width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))

def broken():
    raise RuntimeError("no idea")

def nothing():
    return 3
"""
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "my_model.py").write_text(FACTORY)
    Registry(["my_model.py"], tmp_path)
    return tmp_path / "my_model.py"


def loaders(plugin: Path) -> list[ModelLoader]:
    common: dict[str, Any] = {"strategy": "bce", "classes": CLASSES, "preprocessing": SMALL, "checkpoint": None}
    return [
        Torchvision(architecture="shufflenet_v2_x0_5", **common),
        TruncatedDenseNet(**common),
        Monai(network="DenseNet", options={"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}, **common),
        Factory(file=plugin, options={"width": 5}, **common),
    ]


def untrained(architecture: str, **options: Any) -> Torchvision:
    given: dict[str, Any] = {"strategy": "bce", "classes": CLASSES, "preprocessing": SMALL, "checkpoint": None}
    return Torchvision(architecture=architecture, **{**given, **options})


# What holds for every loader of a checkpoint.


@pytest.mark.parametrize("which", range(4), ids=["torchvision", "t_densenet", "monai", "factory"])
def test_every_loader_gives_back_the_network_that_was_saved(plugin: Path, tmp_path: Path, which: int) -> None:
    fresh = loaders(plugin)[which]
    trained = dataclasses.replace(fresh, seed=5).load()
    card = {"classes": list(CLASSES), "architecture": fresh.family(), "strategy": "bce", "preprocessing": {"size": 64}}
    for name in ("a.safetensors", "a.pt"):
        if name.endswith(".pt"):
            torch.save(trained.state_dict(), tmp_path / name)
        else:
            save(tmp_path / name, trained.state_dict(), card)
        loader = dataclasses.replace(fresh, checkpoint=tmp_path / name)
        images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        found = loader.load()
        assert not found.training
        with torch.no_grad():
            assert torch.equal(found(images), trained(images))
            assert not torch.equal(fresh.load()(images), trained(images))
    bare = dataclasses.replace(fresh, checkpoint=tmp_path / "a.safetensors", classes=())
    assert bare.declared_classes() == CLASSES


@pytest.mark.parametrize("which", range(4), ids=["torchvision", "t_densenet", "monai", "factory"])
def test_every_loader_keeps_the_contract(plugin: Path, which: int) -> None:
    check_model(loaders(plugin)[which])


@pytest.mark.parametrize("which", range(4), ids=["torchvision", "t_densenet", "monai", "factory"])
def test_the_default_layers_can_be_looked_at(plugin: Path, which: int) -> None:
    loader = loaders(plugin)[which]
    layers = loader.default_layers()
    network = Network(loader.load(), range(3), dataclasses.asdict(layers))
    images = torch.rand(2, 3, 64, 64)
    network.probe(images, CLASSES)
    assert network.features(images, "attribution").ndim == network.features(images, "dissection").ndim == 4


def test_an_untrained_network_is_drawn_with_its_seed_and_disturbs_no_other_draw() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (untrained("resnet18", seed=seed).load().state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_leaving_the_checkpoint_out_is_a_mistake_and_not_an_untrained_network(tmp_path: Path) -> None:
    options = Registry().options("models", "torchvision")
    given = {"strategy": "bce", "architecture": "resnet18"}
    with pytest.raises(Exception, match="checkpoint"):
        options.make(given, tmp_path)
    assert options.make({**given, "checkpoint": None}, tmp_path).checkpoint is None
    assert options.make({**given, "checkpoint": "runs/a.safetensors"}, tmp_path).checkpoint == tmp_path / "runs/a.safetensors"


def test_the_digest_follows_file_architecture_options_and_classes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save(one, {"w": torch.zeros(1)}, {})
    save(two, {"w": torch.ones(1)}, {})
    base = untrained("resnet18", checkpoint=one)
    variants = [
        base,
        dataclasses.replace(base, checkpoint=two),
        dataclasses.replace(base, architecture="resnet34"),
        dataclasses.replace(base, classes=CLASSES[::-1]),
        Monai(network="DenseNet121", strategy="bce", classes=CLASSES, checkpoint=one),
        Monai(network="DenseNet121", strategy="bce", classes=CLASSES, checkpoint=one, options={"growth_rate": 16}),
        TruncatedDenseNet(strategy="bce", classes=CLASSES, checkpoint=one),
        dataclasses.replace(base, checkpoint=None),
        dataclasses.replace(base, checkpoint=None, seed=1),
    ]
    digests = [loader.digest() for loader in variants]
    assert len(set(digests)) == len(digests)
    assert digests[0] == dataclasses.replace(base, strategy="other", seed=3).digest()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"architecture": "resnet34"}, "architecture resnet34, not mnasnet0_5"),
        ({"strategy": "focal"}, "strategy focal, not bce"),
        ({"head": "softmax"}, "head softmax, not sigmoid"),
        ({"preprocessing": {"size": 224, "fit": "stretch"}}, "preprocessing.size 224, not 64"),
        ({"classes": list(CLASSES[::-1])}, "the classes in another order: Effusion, Nodule, Mass"),
    ],
)
def test_a_checkpoint_that_contradicts_the_audit_is_refused(tmp_path: Path, card: dict[str, Any], said: str) -> None:
    loader = untrained("mnasnet0_5", checkpoint=tmp_path / "a.safetensors")
    save(tmp_path / "a.safetensors", untrained("mnasnet0_5").load().state_dict(), card)
    with pytest.raises(ModelRefused, match=f"says otherwise than audit.yaml: {said}"):
        loader.load()
    save(tmp_path / "a.safetensors", untrained("mnasnet0_5").load().state_dict(), {"classes": ["mass", "nodule", "effusion"]})
    loader.load()  # other names are the user's to give


def test_a_checkpoint_without_class_names_asks_for_them() -> None:
    with pytest.raises(ModelRefused, match="name the outputs in order, `classes:"):
        untrained("resnet18", classes=()).load()


def test_another_architecture_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", untrained("resnet18").load().state_dict(), {})
    with pytest.raises(ModelRefused, match=r"a\.safetensors does not fit ResNet: 80 of 182 weights are missing"):
        untrained("resnet34", checkpoint=tmp_path / "a.safetensors").load()
    with pytest.raises(ModelRefused, match=r"fc\.weight is \[3, 512\] in the file and \[2, 512\] here"):
        untrained("resnet18", checkpoint=tmp_path / "a.safetensors", classes=("a", "b")).load()


def test_the_plugins_import_no_torch() -> None:
    names = ["models.torchvision_", "models.monai_", "models.t_densenet", "models.factory", "models.scores",
             "strategies.bce", "strategies.wbce", "strategies.focal", "strategies.cb_focal"]  # fmt: skip
    code = f"import sys\nfor n in {names}: __import__('auditor_plugins.' + n)\n"
    code += "assert not {'torch', 'torchvision', 'monai', 'numpy', 'safetensors'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_five_are_registered() -> None:
    assert {"torchvision", "t_densenet", "monai", "factory", "scores"} <= set(Registry().all("models"))


# torchvision


@pytest.mark.parametrize(
    ("architecture", "attribution", "dissection"),
    [
        ("resnet50", "layer4", "layer3"),
        ("densenet121", "features", "features"),
        ("efficientnet_b0", "features", "features"),
        ("squeezenet1_1", "features", "features"),
        ("shufflenet_v2_x0_5", "conv5", "conv5"),
        ("mnasnet0_5", "layers", "layers"),
        ("regnet_y_400mf", "trunk_output", "trunk_output"),
        ("googlenet", "inception5b", "inception5b"),
    ],
)
def test_the_default_layers_are_the_last_maps_before_pooling(architecture: str, attribution: str, dissection: str) -> None:
    loader = untrained(architecture, preprocessing=Preprocessing())
    assert loader.default_layers() == Layers(attribution, dissection)


@pytest.mark.slow
def test_every_classifier_of_torchvision_has_default_layers_or_a_reason() -> None:
    from torchvision import models

    for architecture in models.list_models(module=models):
        if architecture in ("regnet_y_128gf", "vit_h_14"):  # gigabytes
            continue
        loader = untrained(architecture, preprocessing=Preprocessing())
        if architecture.startswith("vit_"):
            with pytest.raises(ModelRefused, match="a transformer"):
                loader.default_layers()
        else:
            network = Network(loader.load(), range(3), dataclasses.asdict(loader.default_layers()))
            network.probe(torch.rand(2, 3, 224, 224), CLASSES)
            load_into(network.module, loader.load().state_dict(), Path("itself"))


def test_a_transformer_asks_for_layers_and_takes_those_named() -> None:
    chosen = Layers("encoder.layers.encoder_layer_11.ln_1", "conv_proj")
    with pytest.raises(ModelRefused, match=r"gives tokens \[1, 50, 768\].*name them: `layers:"):
        untrained("vit_b_32", preprocessing=Preprocessing()).default_layers()
    assert untrained("vit_b_32", preprocessing=Preprocessing(), layers=chosen).default_layers() == chosen
    assert untrained("resnet18", layers=Layers(dissection="layer1")).default_layers() == Layers("layer4", "layer1")


def test_maps_with_channels_last_are_not_taken_for_maps(tmp_path: Path) -> None:
    code = """
from torch import nn
class Last(nn.Module):
    def forward(self, x): return x.permute(0, 2, 3, 1)
class Mean(nn.Module):
    def forward(self, x): return x.mean((1, 2))
def build(): return nn.Sequential(nn.Conv2d(3, 24, 4, 4), Last(), nn.LayerNorm(24), Mean(), nn.Linear(24, 3))
"""
    (tmp_path / "swinlike.py").write_text(code)
    Registry(["swinlike.py"], tmp_path)
    loader = Factory(file=tmp_path / "swinlike.py", strategy="a", classes=CLASSES, checkpoint=None, preprocessing=SMALL)
    with pytest.raises(ModelRefused, match="no feature maps"):
        loader.default_layers()


def test_an_unknown_architecture_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ModelRefused, match=r"no classifier 'resnet5O'; allowed: resnet50, .* and \d+ more; did you mean resnet50\?"
    ):
        untrained("resnet5O").load()
    with pytest.raises(ModelRefused, match="no classifier 'fasterrcnn_resnet50_fpn'"):
        untrained("fasterrcnn_resnet50_fpn").load()
    with pytest.raises(ModelRefused, match=r"preprocessing\.channels: found 1; resnet18 takes 3"):
        untrained("resnet18", preprocessing=Preprocessing(channels=1)).load()


@pytest.mark.parametrize("side_heads", [False, True])
def test_side_heads_are_built_when_the_checkpoint_has_them(tmp_path: Path, side_heads: bool) -> None:
    from torchvision.models import googlenet

    trained = googlenet(weights=None, num_classes=3, aux_logits=side_heads, init_weights=False).eval()
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    found = untrained("googlenet", checkpoint=tmp_path / "a.pt").load()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found(images), trained(images))


# T-DenseNet


def test_t_densenet_is_the_first_half_of_densenet_with_two_relus_written_out() -> None:
    from torchvision.models import densenet121

    torch.manual_seed(0)
    network, whole = TDenseNet(15).eval(), densenet121(weights=None).eval().features
    shared = {name: tensor for name, tensor in network.features.state_dict().items() if not name.startswith("norm5")}
    missing, unexpected = whole.load_state_dict(shared, strict=False)
    assert not unexpected
    assert all(name.startswith(("transition2", "denseblock3", "transition3", "denseblock4", "norm5")) for name in missing)
    nn.init.uniform_(network.features.norm5.running_mean, -0.1, 0.1)
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        x = whole.pool0(torch.relu(whole.norm0(whole.conv0(images))))
        x = whole.denseblock2(whole.transition1(whole.denseblock1(x)))
        maps = torch.relu(network.features.norm5(x))
        assert torch.equal(network.features(images), maps)
        assert maps.shape == (2, 512, 28, 28)
        wanted = maps.mean((2, 3)) @ network.classifier.weight.T + network.classifier.bias
        assert torch.allclose(network(images), wanted, atol=1e-5)
    norm5 = network.features.norm5
    assert norm5.weight.unique().tolist() == [1]
    assert norm5.bias.unique().tolist() == [0]


def test_the_cam_of_t_densenet_is_read_off_its_weights(plugin: Path) -> None:
    loader = loaders(plugin)[1]
    network = Network(loader.load(), range(3), dataclasses.asdict(loader.default_layers()))
    network.probe(torch.rand(2, 3, 64, 64), CLASSES)
    assert network.layers == {"attribution": "features.relu5", "dissection": "features.relu5"}
    assert network.pooled_head is not None


# factory


def test_a_file_that_the_audit_does_not_list_never_runs(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    loader = Factory(file=tmp_path / "other.py", strategy="bce", classes=CLASSES, checkpoint=None)
    with pytest.raises(ModelRefused, match=r"add to audit\.yaml `plugins: \[other\.py\]`"):
        loader.load()
    assert not (tmp_path / "canary").exists()
    with pytest.raises(ModelRefused, match="there is no"):
        dataclasses.replace(loader, file=tmp_path / "none.py").load()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"function": "bild"}, r"no function 'bild'; did you mean build\?"),
        ({"function": "broken"}, r"broken\(\*\*{}\) failed \(RuntimeError: no idea\)"),
        ({"function": "nothing"}, r"nothing\(\) gave int, not a torch\.nn\.Module"),
        ({"options": {"depth": 3}}, r"failed \(TypeError: .*depth"),
    ],
)
def test_a_function_that_gives_no_network_is_refused(plugin: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelRefused, match=said):
        Factory(file=plugin, strategy="bce", classes=CLASSES, checkpoint=None, **options).load()


def test_the_digest_of_a_factory_follows_its_code(plugin: Path, tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", loaders(plugin)[3].load().state_dict(), {})
    loader = dataclasses.replace(loaders(plugin)[3], checkpoint=tmp_path / "a.safetensors")
    before = loader.digest()
    plugin.write_text(FACTORY + "# changed\n")
    assert loader.digest() != before


# MONAI


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        ("DenseNet12l", {}, r"no network 'DenseNet12l'; did you mean DenseNet121\?"),
        ("nn", {}, "no network 'nn'"),
        ("DenseNet121", {"spatial_dim": 2}, r"options\.spatial_dim: .* did you mean spatial_dims\?"),
        ("DenseNet121", {"spatial_dims": 3}, r"options\.spatial_dims: found 3; .* need 2"),
        ("DenseNet121", {"out_channels": 14}, r"options\.out_channels: found 14; .* need 3"),
        ("DenseNet121", {"in_channels": 1}, r"options\.in_channels: found 1; .* need 3"),
        ("DenseNet121", {"pretrained": True}, "weights come from `checkpoint` alone"),
        ("TorchVisionFCModel", {"weights": "DEFAULT"}, "weights come from `checkpoint` alone"),
        ("Transchex", {}, "fetches weights"),
        ("DenseNet121", {"act": "noact"}, r"cannot be built with .*ValueError"),
    ],
)
def test_what_monai_cannot_build_here_is_refused(network: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelRefused, match=said):
        Monai(network=network, options=options, strategy="bce", classes=CLASSES, checkpoint=None).load()


def test_monai_never_fetches_weights_unless_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """EfficientNetBN, like others, has pretrained=True by default."""
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *_, **__: pytest.fail("went to the network"))
    options: dict[str, Any] = {"model_name": "efficientnet-b0"}
    loader = Monai(
        network="EfficientNetBN", options=options, strategy="a", classes=CLASSES, checkpoint=None, preprocessing=SMALL
    )
    with torch.no_grad():
        assert loader.load()(torch.rand(1, 3, 64, 64)).shape == (1, 3)


def bundle(folder: Path, weights: dict[str, torch.Tensor], canary: Path) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    run = f"__import__('os').system('touch {canary}')"
    config = {"a": f"${run}", "b": {"_target_": "os.system", "command": f"touch {canary}"}, "imports": [f"$import os; {run}"]}
    for name in ("train.json", "inference.json", "metadata.json"):
        (folder / "configs" / name).write_text(json.dumps(config))
    (folder / "configs" / "logging.conf").write_text(f"[handlers]\nkeys={run}\n[formatters]\nclass={run}")
    np.save(folder / "configs" / "object.npy", np.array([run], dtype=object), allow_pickle=True)
    torch.save(weights, folder / "models" / "model.pt")
    return folder


@pytest.mark.parametrize("top", ["", "chest/"])
def test_of_a_hostile_bundle_only_the_weights_are_read(tmp_path: Path, plugin: Path, top: str) -> None:
    fresh = loaders(plugin)[2]
    trained = dataclasses.replace(fresh, seed=5).load()
    canary, folder = tmp_path / "canary", tmp_path / "bundle"
    bundle(folder, trained.state_dict(), canary)
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped.txt", "zip-slip")
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, top + str(file.relative_to(folder)))
    images = torch.rand(1, 3, 64, 64)
    for path in (folder, tmp_path / "bundle.zip"):
        loader = dataclasses.replace(fresh, checkpoint=path)
        with torch.no_grad():
            assert torch.equal(loader.load()(images), trained(images))
        assert loader.digest() == loader.digest() != fresh.digest()
    assert not canary.exists()
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not (tmp_path.parent / "escaped.txt").exists()


def test_a_broken_bundle_is_refused_by_its_own_name(tmp_path: Path) -> None:
    loader = Monai(network="DenseNet121", strategy="bce", classes=CLASSES, checkpoint=tmp_path / "b")
    bundle(tmp_path / "b", {"w": torch.full((2,), math.nan)}, tmp_path / "canary")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "b/models/model.pt", "models/model.pt")
    for path in (tmp_path / "b", tmp_path / "b.zip"):
        with pytest.raises(ModelRefused, match=r"b(\.zip)?: models/model\.pt holds w with 2 of 2"):
            dataclasses.replace(loader, checkpoint=path).load()
    data = bytearray((tmp_path / "b.zip").read_bytes())
    data[60:90] = b"\xff" * 30
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(ModelRefused, match="is a damaged bundle"):
        dataclasses.replace(loader, checkpoint=tmp_path / "b.zip").load()
    (tmp_path / "b/models/model.pt").unlink()
    with pytest.raises(ModelRefused, match=r"is a folder without models/model\.pt"):
        loader.load()


def test_a_bundle_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("models/model.pt", bytes(5_000_000))
    with pytest.raises(ModelRefused, match="far more than the file can hold"):
        Monai(network="DenseNet121", strategy="bce", classes=CLASSES, checkpoint=tmp_path / "b.zip").load()


def test_no_code_of_ours_names_what_resolves_a_bundles_config() -> None:
    banned = {"ConfigParser", "ConfigWorkflow", "create_workflow", "fileConfig", "load_bundle_config"}
    for root in (auditor, auditor_plugins):
        for file in Path(str(root.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = {alias.name for alias in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
                names |= {str(node.module)} if isinstance(node, ast.ImportFrom) else set()
                names |= {node.attr} if isinstance(node, ast.Attribute) else set()
                assert not names & banned, file
                assert not any(name.startswith("monai.bundle") for name in names), file


# scores


def table(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def scores(path: Path, values: Any = "probabilities", **options: Any) -> Scores:
    return Scores(table=path, values=values, strategy="bce", **options)


@pytest.mark.parametrize("network", ["jrzech_densenet121_bce", "derrick_mobilenetv2_bce", "derrick_resnet50_bce"])
def test_published_aurocs_are_reproduced_from_the_published_predictions(shared_data: Path, network: str) -> None:
    folder = shared_data / "predictions-nih"
    with gzip.open(folder / "labels.csv.gz", "rt") as file:
        labels = list(csv.DictReader(file))
    with (folder / network / "published_aucs.csv").open() as file:
        published = {row["label"]: float(row["auc"]) for row in csv.DictReader(file)}
    loader = scores(folder / network / "preds.csv.gz", prefix="prob_")
    assert loader.declared_classes() == FINDINGS
    found = loader.scores([row["Image Index"] for row in labels])
    assert np.isfinite(found).all()
    assert len(published) == 14
    for name, auc in published.items():
        truth = [int(row[name]) for row in labels]
        assert roc_auc_score(truth, found[:, FINDINGS.index(name)]) == pytest.approx(auc, abs=1e-12)


def test_columns_are_matched_by_name_and_absent_images_are_nan(tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", "note,image,p_b,p_a\nx,1.png,0.5,0.25\ny,2.png,0.75,0.5\n")
    loader = scores(path, classes=("a", "b"), prefix="p_", image_column="image")
    found = loader.scores(["2.png", "none", "1.png"])
    assert found.tolist()[0] == pytest.approx([0, math.log(3)])
    assert np.isnan(found[1]).all()
    assert found.tolist()[2] == pytest.approx([-math.log(3), 0])
    assert scores(path, prefix="p_", image_column="image").declared_classes() == ("b", "a")
    check_model(loader)


def test_logits_of_a_sigmoid_head_are_taken_as_they_are(tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv.gz", "\ufeffid,a,b\n1,-3.25,1e-3\n\n2,700,-1e5\n")
    loader = scores(path, "logits")
    assert loader.declared_classes() == ("a", "b")
    assert loader.scores(["1", "2"]).tolist() == [[-3.25, 1e-3], [700, -1e5]]


def test_a_softmax_head_gives_the_same_log_odds_from_logits_and_from_probabilities(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (20, 4))
    stated = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = []
    for values, numbers in (("logits", logits), ("probabilities", stated)):
        rows = "".join(f"{i},{','.join(map(repr, map(float, row)))}\n" for i, row in enumerate(numbers))
        path = table(tmp_path / f"{values}.csv", "id,a,b,c,d\n" + rows)
        found.append(scores(path, values, head="softmax").scores([str(i) for i in range(20)]))
    assert np.allclose(found[0], found[1], rtol=1e-9)
    assert np.allclose(found[0][:, 1], np.log(stated[:, 1] / (1 - stated[:, 1])))
    with pytest.raises(ModelRefused, match="needs all its classes"):
        scores(tmp_path / "logits.csv", "logits", head="softmax", classes=("a",)).scores(["1"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([0.0, 1.0, 0.5, 5e-324, 1e-320, math.nextafter(1, 0), 1 - 2**-52]),
            st.floats(0, 1),
            st.integers(-3, 3).map(lambda k: 1e-5 * (1 + k * 2**-52)),
            st.integers(-3, 3).map(lambda k: 0.3 * (1 + k * 2**-52)),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_log_odds_are_finite_and_ranked_exactly_as_the_probabilities(values: list[float]) -> None:
    from auditor_plugins.models._log_odds import from_probabilities

    given = np.array(values)[:, None]
    found = from_probabilities(given)[:, 0]
    assert np.isfinite(found).all()
    for p, z in zip(values, found, strict=True):
        for q, w in zip(values, found, strict=True):
            assert (p < q) == (z < w)
            assert (p == q) == (z == w)
        back = 1 / (1 + math.exp(-z)) if z > -700 else math.exp(z)
        assert back == pytest.approx(p, rel=1e-12, abs=1e-300)


def test_certain_probabilities_come_back_exactly() -> None:
    from auditor_plugins.models._log_odds import from_probabilities

    found = torch.from_numpy(from_probabilities(np.array([[0.0], [1.0], [5e-324]])))
    assert torch.sigmoid(found[:2, 0]).tolist() == [0, 1]
    assert found[0] < found[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,a\n1,0.5\n2,\n", r"s\.csv:3: found ''; allowed: a finite number"),
        ("id,a\n1,nan\n", r"s\.csv:2: found 'nan'"),
        ("id,a\n1,inf\n", r"s\.csv:2: found 'inf'"),
        ("id,a\n1,0_1\n", r"s\.csv:2: found '0_1'"),
        ('id,a\n"1\n1",0.5\n2,high\n', r"s\.csv:4: found 'high'"),
        ("id,a\n1,1.5\n", r"s\.csv:2: found 1\.5; allowed: probabilities within 0\.\.1, or say `values: logits`"),
        ("id,a\n1,0.5\n1,0.6\n", r"s\.csv:3: '1' has a row already"),
        ("id,a\n1,0.5,0.6\n", r"s\.csv:2: 3 cells under 2 columns"),
        ("id,a,a\n1,0.5,0.6\n", r"s\.csv:1: the columns 'a' are there twice"),
        ("id,a\n", "no rows of scores"),
        ("", r"s\.csv:1: found \[\]"),
        ("id,a\n1," + "9" * 2_000_000, "cannot be read as CSV|is no row of scores"),
    ],
)
def test_a_cell_that_is_no_score_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    loader = scores(table(tmp_path / "s.csv", text))
    with pytest.raises(ModelRefused, match=said):
        loader.scores(["1"])


def test_a_missing_column_or_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = table(tmp_path / "scores.csv", "Image,prob_Mass,prob_Nodule\n1,0.5,0.5\n")
    with pytest.raises(ModelRefused, match=r"scores\.csv:1: no column 'prob_Nodul'; .* did you mean prob_Nodule\?"):
        scores(path, classes=("Mass", "Nodul"), prefix="prob_").scores(["1"])
    with pytest.raises(ModelRefused, match=r"no column 'Imag'; .* did you mean Image\?"):
        scores(path, image_column="Imag").declared_classes()
    with pytest.raises(ModelRefused, match=r"table: there is no file .*score\.csv; did you mean scores\.csv\?"):
        scores(tmp_path / "score.csv").declared_classes()


@pytest.mark.parametrize("damage", [slice(0, -9), slice(3, None), slice(0, 15)])
def test_a_damaged_archive_of_scores_is_refused(tmp_path: Path, damage: slice) -> None:
    path = table(tmp_path / "s.csv.gz", "id,a\n" + "".join(f"{i},0.5\n" for i in range(2000)))
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(ModelRefused, match=r"s\.csv\.gz cannot be read as CSV"):
        scores(path).scores(["1"])


def test_a_changed_table_is_read_again_and_has_another_digest(tmp_path: Path) -> None:
    loader = scores(table(tmp_path / "s.csv", "id,a\n1,0.5\n"))
    first = loader.digest()
    assert loader.scores(["1"]).tolist() == [[0]]
    table(tmp_path / "s.csv", "id,a\n1,0.125\n")
    assert loader.scores(["1"]).tolist() == [[pytest.approx(math.log(1 / 7))]]
    assert loader.digest() != first
    assert dataclasses.replace(loader, values="logits").digest() != loader.digest()


def test_the_kind_of_values_has_no_default(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="values"):
        Registry().options("models", "scores").make({"strategy": "bce", "table": "s.csv"}, tmp_path)


def test_scores_state_their_family() -> None:
    assert scores(Path("s.csv"), architecture="densenet121").family() == "densenet121"
