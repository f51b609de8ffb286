"""Augmentation against torchvision on PIL images: the same parameters give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import functional as F
from torchvision.transforms import v2

from ablate.datasets import augment as A
from ablate.datasets import colors, moves, policies
from ablate.datasets.boxes import draw_erase, draw_resized_crop
from ablate.datasets.resize import resized_crop
from ablate.errors import OptionError, UnknownNameError
from ablate.study import Recipe

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]
COUNT = 240


def pictures(width: int = 32, height: int = 32) -> list[Image.Image]:
    """Colour images made of three real digits each, one for a channel; one flat grey, one black."""
    grey = (load_digits().images * (255 / 16)).astype(np.uint8)
    stacked = [np.stack(grey[3 * i : 3 * i + 3], axis=-1) for i in range(COUNT - 2)]
    stacked += [np.full((8, 8, 3), 117, np.uint8), np.zeros((8, 8, 3), np.uint8)]
    return [Image.fromarray(s).resize((width, height), Image.Resampling.BICUBIC) for s in stacked]


def tensor(images: Sequence[Image.Image], device: str = "cpu") -> Tensor:
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return stacked.permute(0, 3, 1, 2).contiguous().to(device)


def uniform(low: float, high: float, seed: int = 0) -> Tensor:
    return torch.empty(COUNT).uniform_(low, high, generator=torch.Generator().manual_seed(seed))


def same_bytes(ours: Tensor, theirs: Sequence[Image.Image]) -> bool:
    return ours.dtype == torch.uint8 and torch.equal(ours.cpu(), tensor(theirs))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(32, 32), (20, 33)])
def test_crop_is_pad_and_crop(device: str, size: tuple[int, int]) -> None:
    images = pictures(*size)
    dy, dx = torch.arange(COUNT) % 9, torch.arange(COUNT) // 9 % 9
    expected = [
        F.crop(F.pad(image, [4]), int(y), int(x), size[1], size[0])
        for image, y, x in zip(images, dy, dx, strict=True)
    ]
    assert same_bytes(moves.crop(tensor(images, device), dy.to(device), dx.to(device)), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_flip_mirrors_where_the_mask_is_true(device: str) -> None:
    images = pictures()
    mask = torch.arange(COUNT) % 3 == 0
    expected = [F.hflip(image) if m else image for image, m in zip(images, mask, strict=True)]
    assert same_bytes(moves.flip(tensor(images, device), mask.to(device)), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("size", [(32, 32), (20, 33)])
def test_blends_equal_pillow(device: str, name: str, size: tuple[int, int]) -> None:
    images, factor = pictures(*size), uniform(0.0, 2.0)
    factor[:3] = torch.tensor([0.0, 1.0, 2.0])
    theirs = getattr(F, f"adjust_{name}")
    expected = [theirs(i, f) for i, f in zip(images, factor.tolist(), strict=True)]
    assert same_bytes(getattr(colors, name)(tensor(images, device), factor.to(device)), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_hue_equals_pillow(device: str) -> None:
    images, shift = pictures(), uniform(-0.5, 0.5)
    shift[:3] = torch.tensor([0.0, -0.5, 0.5])
    expected = [F.adjust_hue(i, s) for i, s in zip(images, shift.tolist(), strict=True)]
    assert same_bytes(colors.hue(tensor(images, device), shift.to(device)), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_hue_equals_pillow_on_a_grid_through_all_colours(device: str) -> None:
    levels = np.arange(0, 256, 3, dtype=np.uint8)  # 0, 3, … 255: ends included
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    shifts = [-0.1, -1 / 255, 0.0, 0.05, 0.1]
    image = Image.fromarray(cube)
    batch = tensor([image] * len(shifts), device)
    ours = colors.hue(batch, torch.tensor(shifts, device=device))
    assert same_bytes(ours, [F.adjust_hue(image, shift) for shift in shifts])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(32, 32), (20, 33)])
def test_rotation_equals_pillow(device: str, size: tuple[int, int]) -> None:
    images, degrees = pictures(*size), uniform(-15.0, 15.0)
    degrees[:5] = torch.tensor([0.0, 15.0, -15.0, 45.0, -170.0])
    expected = [F.rotate(i, d) for i, d in zip(images, degrees.tolist(), strict=True)]
    assert same_bytes(moves.rotate(tensor(images, device), degrees.to(device)), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_jitter_equals_pillow_in_all_24_orders(device: str) -> None:
    images = pictures()
    order = torch.tensor(list(permutations(range(4))) * (COUNT // 24))
    amounts = torch.stack([*(uniform(0.8, 1.2, i) for i in range(3)), uniform(-0.1, 0.1, 3)], dim=1)
    steps = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    expected = []
    for image, operations, row in zip(images, order.tolist(), amounts.tolist(), strict=True):
        for operation in operations:
            image = steps[operation](image, row[operation])  # noqa: PLW2901
        expected.append(image)
    assert same_bytes(
        colors.jitter(tensor(images, device), order.to(device), amounts.to(device)), expected
    )


def test_nothing_changes_the_images_it_was_given() -> None:
    images = tensor(pictures())
    before = images.clone()
    A.augment(images, list(A.AUGMENTS), torch.Generator().manual_seed(0))
    assert torch.equal(images, before)


def moments(values: Tensor) -> tuple[float, float, float, float]:
    values = values.double()
    return tuple(float(m) for m in (values.min(), values.max(), values.mean(), values.std()))  # type: ignore[return-value]


def drawn(name: str, count: int = 20_000) -> Any:
    images = torch.zeros(count, 3, 1, 1, dtype=torch.uint8)
    return getattr(A, f"draw_{name}")(images, torch.Generator().manual_seed(7))


def test_draws_have_torchvisions_distributions() -> None:
    torch.manual_seed(7)
    jitter = T.ColorJitter(0.2, 0.2, 0.2, hue=0.1)
    canvas = torch.zeros(1, 40, 40)
    crops = [T.RandomCrop.get_params(canvas, (32, 32))[:2] for _ in range(4000)]
    rotation = T.RandomRotation(15)
    theirs = {
        "offset": torch.tensor(crops).flatten(),
        "degrees": torch.tensor([rotation.get_params(rotation.degrees) for _ in range(4000)]),
    }
    colours = [
        jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        for _ in range(4000)
    ]
    _, amounts = drawn("color")
    ours = {"offset": torch.cat(drawn("crop")), "degrees": drawn("rotate")[0]}
    for index, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        theirs[name] = torch.tensor([colour[1 + index] for colour in colours])
        ours[name] = amounts[:, index]
    for name, expected in theirs.items():
        spread = float(expected.double().max() - expected.double().min())
        for mine, other in zip(moments(ours[name]), moments(expected), strict=True):
            assert mine == pytest.approx(other, abs=0.03 * spread), name


def test_offsets_are_uniform_over_nine_and_independent_in_y_and_x() -> None:
    dy, dx = drawn("crop")
    counts = torch.bincount(dy * 9 + dx, minlength=81).double()
    assert len(counts) == 81
    # 80 degrees of freedom: the 99.99 % point of chi-square is 136.
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 136


def test_orders_are_uniform_over_24() -> None:
    order, _ = drawn("color")
    codes = (order * torch.tensor([64, 16, 4, 1])).sum(1)
    _, counts = codes.unique(return_counts=True)
    assert len(counts) == 24
    # 23 degrees of freedom: the 99.99 % point of chi-square is 57.
    counts = counts.double()
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 57


def test_half_is_flipped() -> None:
    (mask,) = drawn("flip")
    assert float(mask.double().mean()) == pytest.approx(0.5, abs=0.015)


def test_images_of_a_batch_get_draws_of_their_own() -> None:
    image = tensor(pictures()[:1]).expand(64, -1, -1, -1)
    drawing = set(A.AUGMENTS) - {"flip", "erase", "translate"}
    for name in sorted(drawing | {"erase(probability=1)", "translate(pixels=4)"}):
        out = A.augment(image, [name], torch.Generator().manual_seed(0))
        assert len(out.flatten(1).unique(dim=0)) > 24, name
    assert len(A.augment(image, ["flip"], torch.Generator().manual_seed(0)).unique(dim=0)) == 2


@pytest.mark.parametrize("device", DEVICES)
def test_same_seed_same_bytes(device: str) -> None:
    images = tensor(pictures(), device)

    def once(seed: int) -> Tensor:
        return A.augment(images, list(A.AUGMENTS), torch.Generator(device).manual_seed(seed))

    assert torch.equal(once(1), once(1))
    assert not torch.equal(once(1), once(2))


def test_the_chain_applies_the_names_in_their_order() -> None:
    images = tensor(pictures())
    one = torch.Generator().manual_seed(3)
    stepwise = A.augment(A.augment(images, ["crop"], one), ["rotate"], one)
    chained = A.augment(images, ["rotate", "crop"], torch.Generator().manual_seed(3))
    swapped = A.augment(images, ["crop", "rotate"], torch.Generator().manual_seed(3))
    assert torch.equal(stepwise, swapped)
    assert not torch.equal(chained, swapped)


def test_no_names_change_nothing() -> None:
    images = tensor(pictures())
    assert torch.equal(A.augment(images, [], torch.Generator()), images)


def test_an_unknown_name_is_one_clear_line() -> None:
    with pytest.raises(UnknownNameError) as caught:
        A.check_augments(["crop", "colour"])
    assert str(caught.value) == (
        "unknown augmentation 'colour' (did you mean 'color'?); "
        "there are: crop, flip, color, rotate, resized_crop, translate, erase, trivial_augment, "
        "rand_augment"
    )


BOXES = [(0, 0, 32, 32), (3, 5, 11, 27), (31, 0, 1, 32), (7, 30, 17, 2), (12, 12, 1, 1)]


def boxes(height: int = 32, width: int = 32) -> Tensor:
    """Some by hand, the rest drawn."""
    (drawn_boxes,) = draw_resized_crop(
        torch.zeros(COUNT, 3, height, width), torch.Generator().manual_seed(5)
    )
    if (height, width) == (32, 32):
        drawn_boxes[: len(BOXES)] = torch.tensor(BOXES)
    return drawn_boxes


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(32, 32), (20, 33)])
def test_resized_crop_equals_pillow(device: str, size: tuple[int, int]) -> None:
    images, box = pictures(*size), boxes(size[1], size[0])
    expected = [
        F.resized_crop(image, *row, [size[1], size[0]])
        for image, row in zip(images, box.tolist(), strict=True)
    ]
    assert same_bytes(resized_crop(tensor(images, device), box.to(device)), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(32, 32), (20, 33)])
def test_translate_is_a_crop_of_the_mirrored_image(device: str, size: tuple[int, int]) -> None:
    images, pixels = pictures(*size), 3
    dy, dx = torch.arange(COUNT) % 7, torch.arange(COUNT) // 7 % 7
    expected = [
        F.crop(F.pad(image, [pixels], padding_mode="reflect"), int(y), int(x), size[1], size[0])
        for image, y, x in zip(images, dy, dx, strict=True)
    ]
    found = moves.translate(tensor(images, device), dy.to(device), dx.to(device), pixels)
    assert same_bytes(found, expected)


@pytest.mark.parametrize("device", DEVICES)
def test_erasing_is_torchvisions(device: str) -> None:
    images, box = pictures(), boxes()
    box[7, 2] = 0
    black = torch.zeros(3, 1, 1, dtype=torch.uint8)
    expected = [
        F.erase(image, *row, black) if row[2] else image
        for image, row in zip(tensor(images), box.tolist(), strict=True)
    ]
    assert torch.equal(
        moves.erase(tensor(images, device), box.to(device)).cpu(), torch.stack(expected)
    )


def strengths(policy: str, operation: str, height: int, width: int) -> list[float]:
    """Every strength of either sign that a table has, at least as often as there are images."""
    table, signed = policies.policy_table(policy, height, width, torch.device("cpu"))
    row = policies.policy_operations(policy).index(operation)
    values = table[row].tolist()
    return values + [-value for value in values] if signed[row] else values


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(32, 32), (20, 33), (224, 224)])
@pytest.mark.parametrize("operation", policies.OPERATIONS)
@pytest.mark.parametrize("policy", [A.TRIVIAL_AUGMENT, A.RAND_AUGMENT])
def test_operations_of_a_policy_equal_torchvisions_on_pillow(
    device: str, size: tuple[int, int], operation: str, policy: str
) -> None:
    """At all strengths of the table, of either sign."""
    torchvisions = getattr(v2, policy)()
    images = pictures(*size)[-64 if size[0] < 224 else -31 :]
    strength = strengths(policy, operation, size[1], size[0])
    strength = (strength * COUNT)[: len(images)] if size[0] < 224 else strength[-len(images) :]
    expected = [
        torchvisions._apply_image_or_video_transform(
            image, operation, value, v2.InterpolationMode.NEAREST, torchvisions._fill
        )
        for image, value in zip(images, strength, strict=True)
    ]
    number = policies.policy_operations(policy).index(operation)
    which = torch.full((len(images),), number, device=device)
    values = torch.tensor(strength, dtype=torch.float64, device=device)
    assert same_bytes(
        policies.apply_policy(tensor(images, device), policy, which, values), expected
    )


def test_each_image_goes_through_the_operation_that_was_drawn_for_it() -> None:
    images = tensor(pictures())
    which, strength = policies.draw_policy(
        images, A.TRIVIAL_AUGMENT, torch.Generator().manual_seed(1)
    )
    together = policies.apply_policy(images, A.TRIVIAL_AUGMENT, which, strength)
    for row in range(0, COUNT, 7):
        one = slice(row, row + 1)
        alone = policies.apply_policy(images[one], A.TRIVIAL_AUGMENT, which[one], strength[one])
        assert torch.equal(together[one], alone)


def test_policies_draw_evenly_over_operations_strengths_and_signs() -> None:
    images = torch.zeros(20_000, 3, 32, 32, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(7)
    which, strength = policies.draw_policy(images, A.TRIVIAL_AUGMENT, generator)
    counts = torch.bincount(which, minlength=14).double()
    # 13 degrees of freedom: the 99.99 % point of chi-square is 42.
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 42
    degrees = strength[which == policies.policy_operations(A.TRIVIAL_AUGMENT).index("Rotate")]
    assert len(degrees.abs().unique()) == policies.BINS
    assert float(degrees.mean()) == pytest.approx(0, abs=8)
    assert float((degrees < 0).double().mean()) == pytest.approx(0.5 * 30 / 31, abs=0.05)
    which, strength = policies.draw_policy(images, A.RAND_AUGMENT, generator, magnitude=9)
    degrees = strength[which == policies.policy_operations(A.RAND_AUGMENT).index("Rotate")]
    assert degrees.abs().unique().tolist() == pytest.approx([9.0])


def test_rand_augment_applies_so_many_operations() -> None:
    images = tensor(pictures())
    one = torch.Generator().manual_seed(3)
    stepwise = A.augment(images, ["rand_augment(operations=1)"] * 3, one)
    at_once = A.augment(images, ["rand_augment(operations=3)"], torch.Generator().manual_seed(3))
    assert torch.equal(stepwise, at_once)
    weaker = A.augment(
        images, ["rand_augment(operations=3, magnitude=2)"], torch.Generator().manual_seed(3)
    )
    assert not torch.equal(at_once, weaker)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 32), (200, 40)])
def test_boxes_have_torchvisions_distributions(size: tuple[int, int]) -> None:
    """Of an image so wide that most attempts fail, too."""
    torch.manual_seed(7)
    width, height = size
    image = torch.zeros(3, height, width)
    crops = v2.RandomResizedCrop(32)
    theirs = [crops.make_params([image]) for _ in range(3000)]
    (ours,) = draw_resized_crop(
        torch.zeros(3000, 3, height, width), torch.Generator().manual_seed(7)
    )
    keys = ("top", "left", "height", "width")
    same_moments(ours, torch.tensor([[each[key] for key in keys] for each in theirs]), keys)
    erasing = v2.RandomErasing()
    theirs = [erasing.make_params([image]) for _ in range(3000)]
    found = [each for each in theirs if each["v"] is not None]
    (ours,) = draw_erase(torch.zeros(6000, 3, height, width), torch.Generator().manual_seed(7))
    drawn_boxes = ours[ours[:, 2] > 0]
    share = len(drawn_boxes) / len(ours)
    assert share == pytest.approx(0.5 * len(found) / len(theirs), abs=0.03)
    rows = torch.tensor([[each[key] for key in "ijhw"] for each in found])
    same_moments(drawn_boxes, rows, keys)


def same_moments(ours: Tensor, theirs: Tensor, names: Sequence[str]) -> None:
    for column, name in enumerate(names):
        spread = float(theirs[:, column].max() - theirs[:, column].min()) or 1.0
        found, expected = (moments(each[:, column])[2:] for each in (ours, theirs))
        assert found == pytest.approx(expected, abs=0.03 * spread), name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("crop(paddin=2)", "crop takes no 'paddin' (did you mean 'padding'?); it takes padding"),
        ("flip(probability=1)", "flip takes no 'probability'; it takes no options"),
        ("erase(probability=2)", "erase: probability must be from 0 to 1, not 2"),
        ("rand_augment(magnitude=31)", "rand_augment: magnitude must be from 0 to 30, not 31"),
        ("translate(pixels=a)", "translate: pixels must be of type int, not 'a'"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(name: str, said: str) -> None:
    with pytest.raises(OptionError) as caught:
        A.check_augments([name])
    assert str(caught.value) == said


def test_a_recipe_writes_an_augmentation_in_one_way() -> None:
    given = ["crop( padding = 4 )", "erase(probability=1)", "rand_augment(magnitude=5)", "flp"]
    written = ("crop", "erase(probability=1.0)", "rand_augment(magnitude=5)", "flp")
    assert Recipe(augment=given).augment == written
