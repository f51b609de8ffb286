"""Networks that begin with trained weights: the file, what fits, epoch 0, and attention as the identity."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_events, small_plan
from safetensors.torch import load, load_file, save_file
from support import public_attention
from torch import nn

from ablate.attention import complete
from ablate.errors import AblateError, WeightsError
from ablate.job import Cohort, Run, load_images
from ablate.model import build
from ablate.network.pretrained import find_fit, load_pretrained, read_state
from ablate.network.state_file import read_file
from ablate.network.weights_file import find_weights, hub_folder
from ablate.plan import Plan
from ablate.result import Epoch, Failed, Finished
from ablate.study import Recipe, Variant
from ablate.study.metrics import BEGAN_ACCURACY
from ablate.system.hardware.machine import find_machine
from ablate.system.software.imports import ALLOWED
from ablate.train.checkpoint import pack, unpack
from ablate.train.cohort import Began, Member
from ablate.train.loop import evaluate
from ablate.train.step import make_trainer

NET = "cbam_cnn(width=0.25)"
CLASSES, SIZE = 10, 16
FP32 = find_machine("cpu", "fp32").precision
SE = {"attention": "se", "position": "pool*", "reduction": 4}


@pytest.fixture
def net() -> nn.Module:
    return build(Variant(NET), CLASSES, SIZE, 77)


@pytest.fixture
def file(tmp_path: Path, net: nn.Module) -> Path:
    path = tmp_path / "net.safetensors"
    save_file(net.state_dict(), path)
    return path


def fit_of(
    path: Path, backbone: str = NET, *, classes: int = CLASSES, partial: bool = False
) -> Any:
    weights = find_weights(str(path), backbone, partial=partial)
    return find_fit(weights, backbone, classes, SIZE)


def loaded(path: Path, variant: Variant, *, classes: int = CLASSES, partial: bool = False) -> Any:
    made = build(variant, classes, SIZE, 1)
    weights = find_weights(str(path), NET, partial=partial)
    load_pretrained(made, weights, NET, classes, SIZE)
    return made.state_dict()


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_every_form_of_a_file_gives_the_same_weights(
    tmp_path: Path, file: Path, net: nn.Module
) -> None:
    state = net.state_dict()
    forms = {
        "plain": state,
        "wrapped": {"epoch": 3, "state_dict": state},
        "parallel": {f"module.{name}": t for name, t in state.items()},
        "lightning": {"state_dict": {f"model.{name}": t for name, t in state.items()}},
        "both": {"model": {f"module.model.{name}": t for name, t in state.items()}},
        "old": {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")},
    }
    files = [saved(tmp_path / f"{name}.pth", content) for name, content in forms.items()]
    for path in (file, *files):
        taken = loaded(path, Variant(NET))
        assert all(torch.equal(taken[name], state[name]) for name in state)
        assert not fit_of(path).drawn


def test_attention_keeps_what_it_was_drawn_with_and_the_backbone_gets_the_weights(
    file: Path, net: nn.Module
) -> None:
    variant = complete(Variant(NET, "se", "pool1+before:conv2", (("reduction", 1),)))
    drawn, state = build(variant, CLASSES, SIZE, 1).state_dict(), net.state_dict()
    for name, value in loaded(file, variant).items():
        assert torch.equal(value, drawn[name] if "attention" in name else state[name]), name


def test_a_head_for_other_classes_is_drawn_anew(file: Path, net: nn.Module) -> None:
    fit = fit_of(file, classes=7)
    assert fit.drawn == ("fc2.weight", "fc2.bias")
    drawn = build(Variant(NET), 7, SIZE, 1).state_dict()
    taken = loaded(file, Variant(NET), classes=7)
    assert torch.equal(taken["fc2.weight"], drawn["fc2.weight"])
    assert torch.equal(taken["fc1.weight"], net.state_dict()["fc1.weight"])


def test_what_is_replaced_needs_no_weights(file: Path, net: nn.Module) -> None:
    taken = loaded(file, complete(Variant(NET, "identity", "replace:bn2")))
    assert not [name for name in taken if name.startswith("bn2.")]
    assert torch.equal(taken["fc1.weight"], net.state_dict()["fc1.weight"])


def test_weights_of_another_network_are_refused_with_what_differs(
    tmp_path: Path, net: nn.Module
) -> None:
    other = tmp_path / "other.safetensors"
    state = dict(net.state_dict())
    state["extra.weight"] = torch.zeros(2)
    del state["bn1.weight"]
    state["conv2.bias"] = torch.zeros(3)
    save_file(state, other)
    with pytest.raises(WeightsError) as caught:
        fit_of(other)
    said = str(caught.value)
    assert (
        "1 missing (bn1.weight); 1 unexpected (extra.weight); 1 of another shape (conv2.bias [3] for [16])"
        in said
    )
    assert "weights_partial = true" in said
    fit = fit_of(other, partial=True)
    assert (fit.missing, fit.unexpected, fit.unlike) == (
        ("bn1.weight",),
        ("extra.weight",),
        ("conv2.bias [3] for [16]",),
    )
    assert torch.equal(
        loaded(other, Variant(NET), partial=True)["conv1.weight"], state["conv1.weight"]
    )
    many = saved(tmp_path / "many.pth", {f"layer{i}.weight": torch.zeros(1) for i in range(9)})
    with pytest.raises(WeightsError, match=r"missing \(\S+, \S+, \S+, …\); 9 unexpected"):
        fit_of(many, partial=True)


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


WRAPPED = {
    "lightning with a prefix of its own": (
        lambda s: {"state_dict": prefixed(s, "net."), "hyper_parameters": {"lr": 0.1}},
        "state_dict",
    ),
    "parallel, compiled, parallel": (lambda s: prefixed(s, "module._orig_mod.module."), ""),
    "parallel within": (
        lambda s: {n.replace("conv2.", "conv2.module."): t for n, t in s.items()},
        "",
    ),
    "two encoders": (
        lambda s: {
            "model": prefixed(s, "module.q.") | {f"module.k.{n}": 0 * t for n, t in s.items()}
        },
        "model",
    ),
    "an average alone": (lambda s: {"model_ema": prefixed(s, "module.")}, "model_ema"),
    "an average beside": (
        lambda s: {"ema": {n: 0 * t for n, t in s.items()}, "model": s},
        "model",
    ),
    "the best": (lambda s: {"epoch": 3, "best_model": s}, "best_model"),
    "tables in tables": (lambda s: {"model": {"state_dict": s, "step": 3}}, "model.state_dict"),
    "an optimizer beside": (
        lambda s: {"optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "net": s},
        "net",
    ),
    "a counter with a dimension": (
        lambda s: {n: t.reshape(1) if t.dim() == 0 else t for n, t in s.items()},
        "",
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_state_dict_is_found_where_checkpoints_hold_it(
    name: str, tmp_path: Path, net: nn.Module
) -> None:
    state = {n: t.clone() for n, t in net.state_dict().items()}
    make, under = WRAPPED[name]
    path = saved(tmp_path / "it.pth", make(state))
    partial = name == "two encoders"
    assert fit_of(path, partial=partial).under == under
    taken = loaded(path, Variant(NET), partial=partial)
    assert all(torch.equal(taken[n], t) for n, t in state.items() if not n.endswith("tracked"))


def test_a_block_of_another_network_is_no_wrapper(tmp_path: Path, net: nn.Module) -> None:
    """Its layers are called as the network's, and more of them than those at the top."""
    state = net.state_dict()
    top = {"conv1.weight": state["conv1.weight"], "fc9.weight": torch.ones(2)}
    block = ("conv1.weight", "conv2.weight", "bn1.weight", "bn2.weight")
    other = top | {f"layer1.0.{name}": 0 * state[name] for name in block}
    path = saved(tmp_path / "other.pth", other)
    assert fit_of(path, partial=True).taken == 1
    taken = loaded(path, Variant(NET), partial=True)
    assert torch.equal(taken["conv1.weight"], state["conv1.weight"])
    with pytest.raises(WeightsError, match=r"5 unexpected \(fc9\.weight, layer1\.0\.conv1\.weight"):
        fit_of(path)


def test_weights_of_half_precision_are_taken_as_they_are(tmp_path: Path, net: nn.Module) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        state = {n: t.to(dtype) if t.dim() else t for n, t in net.state_dict().items()}
        taken = loaded(saved(tmp_path / "other.pth", state), Variant(NET))
        assert all(torch.equal(taken[n], t.float()) for n, t in state.items() if t.dim())


@pytest.mark.parametrize("first", ["plain", "wrapped"])
@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod."])
def test_of_a_name_that_is_there_twice_the_plain_one_counts_and_the_other_is_left_over(
    tmp_path: Path, net: nn.Module, first: str, wrapper: str
) -> None:
    plain = net.state_dict()
    wrapped = {wrapper + name: tensor + 1 for name, tensor in plain.items()}
    both = plain | wrapped if first == "plain" else wrapped | plain
    path = saved(tmp_path / "both.pth", both)
    with pytest.raises(WeightsError, match=f"{len(plain)} unexpected.*{wrapper}"):
        fit_of(path)
    taken = loaded(path, Variant(NET), partial=True)
    assert all(torch.equal(taken[name], tensor) for name, tensor in plain.items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: (100 * t).to(torch.int8), "'fc2.weight' is no dense tensor of real numbers"),
        (lambda t: t.to(torch.complex64), "is no dense tensor of real numbers"),
        (lambda t: t.to_sparse(), "is no dense tensor of real numbers"),
        (lambda t: t.to("meta"), "is no dense tensor of real numbers"),
        (lambda t: t / 0 * 0, r"'fc2.weight' has values that are no numbers \(NaN\)"),
        (
            lambda t: t.abs() / 0,
            r"'fc2.weight' has values that are no numbers \(infinite in float32\)",
        ),
        (lambda t: t.double() * 1e40, r"no numbers \(infinite in float32\)"),
    ],
)
def test_values_that_would_mean_something_else_are_refused(
    change: Any, said: str, tmp_path: Path, net: nn.Module
) -> None:
    state = dict(net.state_dict())
    state["fc2.weight"] = change(state["fc2.weight"])
    with pytest.raises(WeightsError, match=said):
        fit_of(saved(tmp_path / "bad.pth", state))


def test_a_file_that_is_damaged_is_one_line_wherever_it_is(tmp_path: Path, net: nn.Module) -> None:
    """Also where only values have changed, which PyTorch does not see, and where its unpickler raises what
    nobody expects."""
    path, random = tmp_path / "damaged.pth", np.random.default_rng(5)
    forms = []
    for as_archive in (True, False):
        buffer = io.BytesIO()
        torch.save(net.state_dict(), buffer, _use_new_zipfile_serialization=as_archive)
        forms.append(buffer.getvalue())
    archive, legacy = forms
    told = set()
    for content in (archive, legacy[:2000]):
        for _ in range(60):
            changed = bytearray(content)
            for place in random.integers(0, len(changed), 3):
                changed[place] ^= 255
            try:
                read_file(str(path), bytes(changed))
            except WeightsError as error:
                told.add(str(error).partition(":")[2][:20])
    assert any(said.startswith(" is damaged, ") for said in told)
    middle = archive.index(net.state_dict()["fc1.weight"].numpy().tobytes()[:64])
    flipped = bytes([*archive[:middle], archive[middle] ^ 1, *archive[middle + 1 :]])
    with pytest.raises(WeightsError, match="another checksum: get it anew"):
        read_file(str(path), flipped)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>404</html>", "it begins with b'<!DOCTYPE html>"),
        (b"version https://git-lfs.github.com/spec/v1", "it begins with b'version https"),
        (b"\x10\0\0\0\0\0\0\0{", "is damaged safetensors"),
        (b"", "it is empty"),
    ],
)
def test_what_a_file_is_instead_is_told(content: bytes, said: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_file("net.safetensors", content)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_that_unpacks_to_more_than_it_has_is_not_unpacked() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(10_000_000))
    with pytest.raises(WeightsError, match="unpacks to 10,000,000 bytes, more than it has"):
        read_file("net.pth", packed.getvalue())


def test_what_stands_beside_tensors_is_named(tmp_path: Path, net: nn.Module) -> None:
    path = saved(tmp_path / "it.pth", {"model": net.state_dict(), "args": Namespace(lr=1)})
    with pytest.raises(WeightsError, match=r"holds argparse\.Namespace beside tensors"):
        fit_of(path)


def test_a_pipe_is_no_file_of_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(WeightsError, match=r"is no file; give a \.safetensors file"):
            find_weights(str(path), NET)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('it ran')",))


@pytest.mark.parametrize("content", [b"", b"words", pickle.dumps(Bomb()), pickle.dumps([1, 2])])
def test_what_is_no_weights_is_refused_and_nothing_of_it_is_run(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.pth: (is neither|holds no)"):
        fit_of(path)
    inside = io.BytesIO()
    torch.save({"state_dict": {"a": Bomb()}}, inside)
    path.write_bytes(inside.getvalue())
    with pytest.raises(
        WeightsError, match="holds exec beside tensors, and what could run is never unpickled"
    ):
        fit_of(path)


def test_a_file_that_has_changed_is_not_taken(file: Path, net: nn.Module) -> None:
    weights = find_weights(str(file), NET)
    save_file(build(Variant(NET), CLASSES, SIZE, 5).state_dict(), file)
    read_state.cache_clear()
    with pytest.raises(AblateError, match="has other weights than when the run was planned"):
        load_pretrained(net, weights, NET, CLASSES, SIZE)


def test_nothing_is_fetched_and_the_line_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    resnet = "torchvision:resnet18"
    with pytest.raises(
        WeightsError, match=r"nothing is fetched; put https://\S+resnet18-\w+\.pth at"
    ):
        find_weights("torchvision:IMAGENET1K_V1", resnet)
    with pytest.raises(WeightsError, match=r"no weights 'IMAGENET1K_V9'.*there are: IMAGENET1K_V1"):
        find_weights("torchvision:IMAGENET1K_V9", resnet)
    with pytest.raises(WeightsError, match="the backbone is cbam_cnn: give a file"):
        find_weights("torchvision:IMAGENET1K_V1", NET)
    with pytest.raises(
        WeightsError, match=r"put its model\.safetensors into .*models--timm--resnet18"
    ):
        find_weights("timm:resnet18.a1_in1k", resnet)
    with pytest.raises(WeightsError, match=r"nix\.pth cannot be read"):
        find_weights(str(tmp_path / "nix.pth"), resnet)


@pytest.mark.slow
def test_files_of_the_caches_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert str(hub_folder()) == torch.hub.get_dir()
    resnet = "torchvision:resnet18"
    state = build(Variant(resnet), 1000, 64, 1).state_dict()
    with pytest.raises(WeightsError) as caught:
        find_weights("torchvision:IMAGENET1K_V1", resnet)
    told = Path(str(caught.value).rpartition(" at ")[2])
    told.parent.mkdir(parents=True)
    torch.save(state, told)
    folder = tmp_path / "hub" / "models--timm--resnet18.a1_in1k" / "snapshots" / "local"
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors")
    for named in ("torchvision:IMAGENET1K_V1", "timm:resnet18.a1_in1k"):
        fit = find_fit(find_weights(named, resnet), resnet, 10, 64)
        assert fit.drawn == ("fc.weight", "fc.bias")
        assert fit.taken == len(state) - 2


def plan_with(file: Path, **changes: Any) -> Plan:
    recipe = {"epochs": 1, "batch_size": 256, "augment": [], "precision": "fp32"}
    return small_plan(backbone=NET, weights=str(file), recipe=recipe, **changes)


def test_the_key_has_the_weights_by_their_content(tmp_path: Path, file: Path) -> None:
    drawn = small_plan(backbone=NET, recipe={"epochs": 1})
    keys = [cell.run_key for cell in drawn.cells]
    begun = plan_with(file)
    copied = tmp_path / "copy.pth"
    torch.save(load_file(file), copied)
    same = tmp_path / "same.safetensors"
    same.write_bytes(file.read_bytes())
    assert not {cell.run_key for cell in begun.cells} & set(keys)
    assert [c.run_key for c in plan_with(same).cells] == [c.run_key for c in begun.cells]
    assert [c.run_key for c in plan_with(copied).cells] != [c.run_key for c in begun.cells]
    assert begun.study.conditions["weights"] == str(file)
    assert begun.study.setting != drawn.study.setting
    assert any("25 of 25 tensors" in note for note in begun.notes)


def cohort_of(plan: Plan, **changes: Any) -> Cohort:
    cells = [cell for cell in plan.cells if cell.seed == 1]
    return Cohort(
        runs=tuple(Run(str(cell.run_key), cell.variant) for cell in cells),
        seed=1,
        recipe=plan.study.recipe,
        dataset=plan.dataset,
        device="cpu",
        pretrained=plan.pretrained,
        **changes,
    )


@pytest.mark.slow
def test_epoch_0_with_the_identity_is_the_saved_networks_to_the_image(tmp_path: Path) -> None:
    """Trained here, saved, loaded as pretrained, with attention that starts as the identity."""
    grid = [{"attention": "none"}]
    recipe = {
        "epochs": 2,
        "batch_size": 64,
        "augment": [],
        "learning_rate": 0.01,
        "optimizer": "sgd",
    }
    first = small_plan(backbone=NET, grid=grid, recipe={**recipe, "precision": "fp32"})
    cohort = cohort_of(first)
    [(key, result)] = [
        (key, event)
        for key, event in run_events(
            Cohort(
                **{
                    **vars(cohort),
                    "runs": tuple(Run(r.run_key, r.variant, keep=True) for r in cohort.runs),
                }
            )
        )
        if isinstance(event, Finished)
    ]
    assert result.kept is not None
    file = tmp_path / "kept.safetensors"
    file.write_bytes(result.kept.weights)
    grid += [{**SE, "start": "identity"}, {**SE, "start": "paper"}]
    plan = plan_with(file, grid=grid)
    events = run_events(cohort_of(plan))
    began = {
        key: next(s.value for s in event.scores if s.metric == BEGAN_ACCURACY)
        for key, event in events
        if isinstance(event, Finished)
    }
    none, identity, paper = (began[str(cell.run_key)] for cell in plan.cells if cell.seed == 1)
    assert none == identity == result.val_accuracy
    assert paper < none
    data = load_images(cohort_of(plan), find_machine("cpu", "fp32"))
    correct = []
    for cell in plan.cells[:2]:
        net = build(cell.variant, CLASSES, SIZE, 1)
        assert plan.pretrained is not None
        load_pretrained(net, plan.pretrained, NET, CLASSES, SIZE)
        trainer = make_trainer(net, plan.study.recipe, torch.device("cpu"), FP32)
        [seen] = evaluate([trainer], data, data.test, 0)
        correct.append(seen.correct)
    assert correct[0] == correct[1] == result.test_correct, "image by image"
    assert key


@pytest.mark.slow
def test_own_attention_is_trained_in_a_network_whose_weights_are_taken_and_frozen(
    file: Path, net: nn.Module, own_module: Callable[[str, str], None]
) -> None:
    own_module("theirs", Path(str(public_attention.__file__)).read_text())
    own = {"attention": "theirs:CoordAtt", "position": ["pool1", "before:pool2+pool1"]}
    recipe = {
        "epochs": 1,
        "batch_size": 256,
        "augment": [],
        "precision": "fp32",
        "freeze": "backbone",
    }
    grid = [{"attention": "none"}, own]
    plan = small_plan(backbone=NET, weights=str(file), grid=grid, recipe=recipe)
    cells = {str(cell.run_key): cell for cell in plan.cells if cell.seed == 1}
    runs = tuple(Run(key, cell.variant, keep=True) for key, cell in cells.items())
    ended = dict(run_events(replace(cohort_of(plan), runs=runs)))
    for key, cell in cells.items():
        result = ended[key]
        assert isinstance(result, Finished), result
        assert result.kept is not None
        assert BEGAN_ACCURACY in [score.metric for score in result.scores]
        drawn = build(cell.variant, CLASSES, plan.study.image_size, 1).state_dict()
        for name, value in load(result.kept.weights).items():
            if "attention" in name or name.startswith("fc2"):
                assert not torch.equal(value, drawn[name]), f"{name} was trained"
            else:
                assert torch.equal(value, net.state_dict()[name]), f"{name} was taken"


def test_a_run_that_goes_on_has_its_epoch_0_and_looks_no_more(file: Path) -> None:
    plan = plan_with(file, grid=[{"attention": "none"}])
    trainer = make_trainer(
        build(Variant(NET), CLASSES, SIZE, 1), Recipe(), torch.device("cpu"), FP32
    )
    member = Member(trainer, [0.5], 1.0, 1.0, began=Began(0.25, 2.0))
    again = unpack(pack(member, {}), trainer, {})
    assert isinstance(again, Member)
    assert again.began == member.began
    assert plan.pretrained is not None


@pytest.mark.slow
def test_a_worker_that_finds_other_weights_trains_nothing(file: Path) -> None:
    plan = plan_with(file, grid=[{"attention": "none"}])
    save_file(build(Variant(NET), CLASSES, SIZE, 5).state_dict(), file)
    read_state.cache_clear()
    events = [event for key, event in run_events(cohort_of(plan)) if key]
    assert not any(isinstance(event, Epoch) for event in events)
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert failed.kind == "network_changed"


TIED = """
from torch import nn

class Tied(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.one, self.two = nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)
        self.two.weight = self.one.weight
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.two(self.one(self.stem(x))).mean((2, 3)))
"""


def test_tied_weights_need_not_be_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors writes a tensor that two names share under one of them."""
    (tmp_path / "tying").mkdir()
    (tmp_path / "tying" / "__init__.py").write_text(TIED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(ALLOWED, "tying")
    backbone = "tying:Tied"
    state = dict(build(Variant(backbone), CLASSES, SIZE, 3).state_dict())
    del state["two.weight"]
    path = tmp_path / "tied.safetensors"
    save_file(state, path)
    assert not fit_of(path, backbone).differences
    made = build(Variant(backbone), CLASSES, SIZE, 1)
    load_pretrained(made, find_weights(str(path), backbone), backbone, CLASSES, SIZE)
    assert torch.equal(made.state_dict()["two.weight"], state["one.weight"])


@pytest.mark.parametrize("named", ["a\0b", "a" * 300, "~nobody-of-that-name/net.pth"])
def test_what_is_no_path_is_one_line(named: str) -> None:
    with pytest.raises(WeightsError, match=r"cannot be read: .*; give a \.safetensors file"):
        find_weights(named, NET)


def test_an_address_is_not_fetched() -> None:
    with pytest.raises(WeightsError, match="nothing is fetched from an address"):
        find_weights("https://example.org/net.pth", NET)
