"""Layouts and containers: what is found, what is said, and that a network can be trained on each."""

from __future__ import annotations

import pickle
import shutil
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import message, run_events, study_document
from support.layout_sources import (
    CLASSES,
    SIDE,
    encoded,
    files,
    flat,
    npz,
    parquet_file,
    table_rows,
    tarred,
    write,
    zipped,
)

from ablate.datasets import open_dataset
from ablate.datasets.containers import CONTAINERS
from ablate.datasets.images import ImageFiles
from ablate.datasets.index import scan
from ablate.datasets.layouts import AS_IT_LIES, LAYOUTS, Asked
from ablate.errors import DataError, OptionError
from ablate.job import Cohort, Run
from ablate.plan import make_plan
from ablate.result import Finished
from ablate.study import DataTable
from ablate.study.file import parse_study

BASE = files(train=4, test=2)
THREE = files(train=4, val=1, test=2)
NAMES = [name.encode() for name in CLASSES]
ANNOTATION = b"v%d.png\t%s\t0\t0\n"
COUNTS = (8, 0, 4)
"""Images of `BASE` in train, val and test."""


def renamed(content: dict[str, bytes], **names: str) -> dict[str, bytes]:
    return {
        f"{names[part]}/{rest}": data
        for part, rest, data in ((*name.split("/", 1), data) for name, data in content.items())
    }


def table(content: dict[str, bytes], *columns: str, separator: str = ",") -> bytes:
    head = separator.join(columns)
    values = {"path": "images/{0}-{1}-{2}", "label": "{1}", "split": "{0}", "id": "{0}-{1}-{2}"}

    def line(part: str, name: str, file: str) -> str:
        return separator.join(values[key].format(part, name, file) for key in columns)

    return f"{head}\n{table_rows(content, line)}".encode()


Maker = Callable[[Path], Path]
SOURCES: dict[str, tuple[Maker, tuple[int, int, int], str]] = {
    "splits": (lambda at: write(at / "s", BASE), COUNTS, ""),
    "val": (lambda at: write(at / "s", THREE), (8, 2, 4), "validation on val/, test on test/"),
    "valid": (
        lambda at: write(at / "s", renamed(THREE, train="TRAIN", val="valid", test="Testing")),
        (8, 2, 4),
        "training on TRAIN/, validation on valid/, test on Testing/",
    ),
    "val-alone": (
        lambda at: write(at / "s", renamed(BASE, train="train", test="validation")),
        COUNTS,
        'test on validation/ (data.test = "validation")',
    ),
    "deep": (
        lambda at: zipped(at / "s.zip", {f"a/b/c/{name}": data for name, data in BASE.items()}),
        COUNTS,
        "parts in a/b/c/",
    ),
    "classes": (
        lambda at: write(at / "s", {n.removeprefix("train/"): d for n, d in files(train=5).items()}),
        (8, 0, 2),
        "0.2 of each class, drawn by a fixed seed, is to test on",
    ),
    "classes-in-a-folder": (
        lambda at: zipped(at / "s.zip", {n.replace("train", "pets"): d for n, d in files(train=5).items()}),
        (8, 0, 2),
        "0.2 of each class",
    ),
    "table": (
        lambda at: write(at / "s", flat(BASE) | {"labels.csv": table(BASE, "path", "label", "split")}),
        COUNTS,
        "labels of 12 images from labels.csv; training, validation and test as it says",
    ),
    "table-held-out": (
        lambda at: write(at / "s", flat(BASE) | {"x.tsv": table(BASE, "id", "label", separator="\t")}),
        (10, 0, 2),
        "labels of 12 images from x.tsv; 0.2 of each class",
    ),
    "subfolders": (
        lambda at: write(at / "s", {n.replace("/0", "/images/0"): d for n, d in BASE.items()}),
        COUNTS,
        "",
    ),
    "tiny_imagenet": (
        lambda at: write(
            at / "s",
            {n.replace("/0", "/images/0"): d for n, d in files(train=4).items()}
            | {f"val/images/v{i}.png": encoded(90 + i, i % 2) for i in range(4)}
            | {"val/val_annotations.txt": b"".join(ANNOTATION % (i, NAMES[i % 2]) for i in range(4))}
            | {"test/images/t.png": encoded(99, 0)},
        ),
        COUNTS,
        "not used: test/",
    ),
    "two-archives": (
        lambda at: (
            zipped(at / "s/train.zip", {n: d for n, d in BASE.items() if "train" in n}),
            tarred(at / "s/test.tar.gz", {n[5:]: d for n, d in BASE.items() if "test" in n}),
        )[0].parent,
        COUNTS,
        "",
    ),
    "npz": (lambda at: npz(at / "s.npz", train=4, val=1, test=2), (8, 2, 4), "validation on val/"),
    "npz-grey": (lambda at: npz(at / "s.npz", grey=True, train=4, test=2), COUNTS, ""),
    "parquet": (
        lambda at: (
            parquet_file(at / "s/data/train-00000-of-00001.parquet", 4),
            parquet_file(at / "s/data/test-00000-of-00001.parquet", 2),
        )[0].parents[1],
        COUNTS,
        "",
    ),
    "parquet-alone": (
        lambda at: parquet_file(at / "s.parquet", 5, named=False), (8, 0, 2), "0.2 of each class",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_every_layout_is_found_read_and_trained_on(name: str, tmp_path: Path) -> None:
    make, counts, said = SOURCES[name]
    path = make(tmp_path)
    document = study_document(
        dataset="images", image_size=SIDE, seeds=1, backbone="cbam_cnn(width=0.25)",
        recipe={"epochs": 1, "batch_size": 4}, grid=[{"attention": "none"}],
    )  # fmt: skip
    plan = make_plan(parse_study(document, "test"), path)
    assert bool(said) == bool(plan.notes)
    assert said in " ".join(plan.notes)
    images = plan.dataset.load()
    val = 0 if images.val_labels is None else len(images.val_labels)
    assert (len(images.train_labels), val, len(images.test_labels)) == counts
    if name != "npz-grey":
        for part in ("train", "test"):
            found, labels = getattr(images, f"{part}_images"), getattr(images, f"{part}_labels")
            assert (found[labels == 1][..., 2] >= 150).all(), "each image has its class's colour"
            assert (found[labels == 0][..., 0] >= 150).all()
    (cell,) = plan.cells
    run = Run(str(cell.run_key), cell.variant, fingerprint=cell.architecture.fingerprint)
    sent = pickle.loads(pickle.dumps(plan.dataset))
    events = run_events(Cohort((run,), 1, plan.study.recipe, sent, "cpu"))
    (result,) = [event for _, event in events if isinstance(event, Finished)]
    assert 0 <= result.test_accuracy <= 1


def test_every_layout_has_an_example() -> None:
    assert set(LAYOUTS) <= set(SOURCES)


@pytest.mark.parametrize("suffix", [s for s in CONTAINERS if s.startswith((".t", ".z"))])
def test_every_archive_is_the_same_set_whatever_it_is_called(suffix: str, tmp_path: Path) -> None:
    expected = scan(write(tmp_path / "folder", BASE), AS_IT_LIES)
    pack = zipped if suffix == ".zip" else tarred
    path = pack(tmp_path / f"a{suffix}", BASE)
    assert scan(path, AS_IT_LIES) == expected
    assert len(ImageFiles(path, SIDE).load().train_images) == 8
    assert scan(path.rename(tmp_path / "download"), AS_IT_LIES) == expected


def asked(path: Path, **keys: object) -> ImageFiles:
    found = open_dataset("images", path, SIDE, DataTable.model_validate(keys))
    assert isinstance(found, ImageFiles)
    return found


def test_what_lies_in_train_and_test_keeps_its_hash(tmp_path: Path) -> None:
    """Golden: stored results are known by it."""
    content = {f"{p}/{c}/{i}.jpg": b"\xff\xd8\xff" + f"{p}{c}{i}".encode()
               for p in ("train", "test") for c in ("a", "b") for i in range(2)}  # fmt: skip
    path = write(tmp_path / "s", content)
    golden = "bad2530cc71276e5"
    assert ImageFiles(path, SIDE).content_hash().startswith(golden)
    write(path, {"unlabelled/x.jpg": b"\xff\xd8\xff", "train/a/notes.txt": b"x"})
    dataset = ImageFiles(path, SIDE)
    assert dataset.content_hash().startswith(golden)
    assert dataset.notes() == ("not used: unlabelled",)
    assert dataset.scanned().passed_over == {".txt": 1}


def test_val_is_tested_on_where_it_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "s", THREE)
    whole, val = asked(path), asked(path, test="val")
    assert (whole.test_count(), val.test_count()) == (4, 2)
    assert not val.has_validation()
    assert val.content_hash() == asked(write(tmp_path / "o", renamed(
        {n: d for n, d in THREE.items() if not n.startswith("test")}, train="train", val="test"
    ))).content_hash()  # fmt: skip
    assert len({whole.content_hash(), val.content_hash()}) == 2
    write(path, {"new/cat/1.png": encoded(1, 0), "new/dog/1.png": encoded(2, 1)})
    assert asked(path, test="new").test_count() == 2
    line = message(DataError, asked(path, test="valll").content_hash)
    assert "has no valll/ to test on (data.test) (did you mean 'val'?); there is test, val" in line


def test_the_unlabelled_test_images_of_imagenet_can_be_left_out(tmp_path: Path) -> None:
    content = renamed(BASE, train="train", test="val") | {"test/1.png": encoded(1, 0)}
    path = write(tmp_path / "s", content)
    assert "'test/1.png' is an image in no class" in message(DataError, asked(path).content_hash)
    assert asked(path, test="val").test_count() == 4


def test_what_is_held_out_depends_on_the_fraction_alone(tmp_path: Path) -> None:
    content = {n.removeprefix("train/"): d for n, d in files(train=10).items()}
    path = write(tmp_path / "s", content)
    usual, half = asked(path), asked(path, test_fraction=0.5)
    assert (usual.test_count(), half.test_count()) == (4, 10)
    assert usual.content_hash() != half.content_hash()
    assert asked(zipped(tmp_path / "z.zip", content)).content_hash() == usual.content_hash()
    split = {place: content[place.partition("/")[2]] for place in scan(path, AS_IT_LIES).names}
    assert asked(write(tmp_path / "split", split)).content_hash() == usual.content_hash()
    said = message(DataError, asked(tmp_path / "split", test_fraction=0.5).content_hash)
    assert "data.test_fraction has nothing to hold out" in said


def test_keys_of_a_layout_are_refused_where_there_is_none() -> None:
    table = DataTable(test="val")
    line = message(OptionError, lambda: open_dataset("digits", None, 16, table))
    assert line.startswith("data.test = 'val' is for images that --data names, and digits has")


# ── groups ────────────────────────────────────────────────────────────────────────────────────────


def patients(at: Path) -> Path:
    """Three frames of each of six patients, a cat's or a dog's."""
    content = {
        f"{CLASSES[p % 2]}/p{p}_{i}.png": encoded(10 * p + i, p % 2)
        for p in range(6)
        for i in range(3)
    }
    return write(at / "s", content)


def test_a_group_is_never_parted(tmp_path: Path) -> None:
    path = patients(tmp_path)
    alone, grouped = asked(path), asked(path, group=r"^(p\d+)_")
    index = scan(path, Asked(group=r"^(p\d+)_"))
    parts: dict[str, set[str]] = {}
    for name, group in zip(index.names, index.groups, strict=True):
        parts.setdefault(group, set()).add(name.partition("/")[0])
    assert len(parts) == 6
    assert all(len(part) == 1 for part in parts.values())
    assert {next(iter(p)) for p in parts.values()} == {"train", "test"}
    assert alone.content_hash() != grouped.content_hash()
    images = grouped.load()
    assert images.train_groups is not None
    assert len(np.unique(images.train_groups)) == 4
    assert np.array_equal(images.train_groups, grouped.train_groups())


def test_a_group_in_two_parts_is_refused(tmp_path: Path) -> None:
    content = {
        f"{part}/{name}/p1_{part}.png": encoded(1, 0)
        for part in ("train", "test")
        for name in CLASSES
    }
    path = write(tmp_path / "s", content)
    line = message(DataError, asked(path, group="p\\d").content_hash)
    assert "1 group in more than one part, such as 'p1'" in line
    assert "is not in the file name of" in message(DataError, asked(path, group="q").content_hash)
    assert "is no column of a table and no regular" in message(
        DataError, asked(path, group="(").content_hash
    )


def test_a_table_can_have_groups(tmp_path: Path) -> None:
    content = {f"images/{i}.png": encoded(i, i % 2) for i in range(8)}
    rows = "".join(f"{i}.png,{CLASSES[i % 2]},s{i // 2 % 2 + 2 * (i % 2)}\n" for i in range(8))
    path = write(tmp_path / "s", content | {"t.csv": f"file,class,slide\n{rows}".encode()})
    assert scan(path, AS_IT_LIES).groups == ()
    assert set(scan(path, Asked(group="slide")).groups) == {"s0", "s1", "s2", "s3"}


# ── tables ────────────────────────────────────────────────────────────────────────────────────────


def test_columns_can_be_named(tmp_path: Path) -> None:
    rows = "".join(f"x,{i},{CLASSES[i % 2]}\n" for i in range(6))
    content = {f"part{i % 2}/{i}.png": encoded(i, i % 2) for i in range(6)}
    path = write(tmp_path / "s", content | {"meta.csv": f"a,b,dx\n{rows}".encode(), "o.csv": b"x"})
    line = message(DataError, asked(path, labels="meta.csv").content_hash)
    assert "meta.csv has no column path" in line
    assert 'name it: data.labels = "meta.csv(path=…)"' in line
    assert asked(path, labels="meta.csv(path=b, label=dx)").classes() == CLASSES
    line = message(DataError, asked(path, labels="meta.csv(path=b, label=dxx)").content_hash)
    assert "has no column 'dxx' (did you mean 'dx'?)" in line
    line = message(DataError, asked(path, labels="meto.csv").content_hash)
    assert "has no meto.csv (data.labels) (did you mean 'meta.csv'?)" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\n1.png,cat\n9.png,dog\n", "names 1 image that are not there or not clear: '9.png'"),
        ("path,label\n1.png,\n2.png,dog\n", "the label of '1.png' is ''"),
        ("path,label,split\n1.png,cat,dev\n", "the split 'dev' of '1.png' is none of train"),
        ("path,label,split\n1.png,cat,train\n2.png,dog,\n", "has images without a split"),
        ("path,label,split\n1.png,cat,train\n2.png,dog,train\n", "has the splits train; it needs"),
        ("path,label\n1.png,cat\n1.png,dog\n", "has '1.png' twice, with different labels"),
        ("path,label\n1.png\n", "has 1 of 2 fields in line 2"),
        ("", "is empty"),
        ("path,label\n1.png,caf\u00e9\n".encode("latin-1"), "cannot be read as text in UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_one_line(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    content = {f"{i}.png": encoded(i, i % 2) for i in range(4)}
    data = text if isinstance(text, bytes) else text.encode()
    path = write(tmp_path / "s", content | {"t.csv": data})
    assert said in message(DataError, asked(path, labels="t.csv").content_hash)


# ── what is refused, and what is meant ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (renamed(BASE, train="train", test="tset"), "has no test/ (did you mean 'tset'?); train/ is there"),
        (renamed(BASE, train="seg_train", test="seg_test"), "seg_test, seg_train look like parts"),
        (renamed(BASE, train="train_images", test="other"), "train_images look like parts"),
        (BASE | {f"copy/{n}": d for n, d in BASE.items()}, "once, and do in the top folder, copy"),
        (BASE | renamed(BASE, train="Train", test="test"), "Train, train are one part under two names"),
        ({"one/1.png": encoded(1, 0)}, "no image where one is expected"),
        (renamed(BASE, train="train", test="test") | {"test/Cat/1.png": encoded(1, 0)},
         "class 'Cat' is in test/ only"),
        ({"cat/1.png": encoded(1, 0), "dog/1.png": encoded(2, 1), "dog/2.png": encoded(3, 1)},
         "class 'cat' has 1 image, and needs one to test on"),
    ],
)  # fmt: skip
def test_what_is_no_layout_is_told_with_what_is_near(
    tmp_path: Path, content: dict[str, bytes], said: str
) -> None:
    path = zipped(tmp_path / "s.zip", dict(sorted(content.items(), reverse=True)))
    assert said in message(DataError, ImageFiles(path, SIDE).content_hash)


def test_a_train_may_be_a_class(tmp_path: Path) -> None:
    content = {f"{name}/{i}.png": encoded(i, 0) for name in ("bus", "train") for i in range(3)}
    assert asked(write(tmp_path / "s", content)).classes() == ("bus", "train")


def test_accents_in_two_forms_are_one_class(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "caf\u00e9")
    content = {f"{part}/{name}/{i}.png": encoded(i, 0)
               for part, names in (("train", ("caf\u00e9", "x")), ("test", (apart, "x")))
               for name in names for i in range(2)}  # fmt: skip
    assert asked(write(tmp_path / "s", content)).classes() == ("caf\u00e9", "x")


def test_names_in_an_encoding_that_nobody_knows(tmp_path: Path) -> None:
    class Named(zipfile.ZipInfo):
        def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
            return self.filename.encode(encoding), self.flag_bits & ~0x800

    for encoding, fits in (("utf-8", True), ("gbk", False)):
        path = tmp_path / f"{encoding}.zip"
        with zipfile.ZipFile(path, "w") as out:
            for name, data in BASE.items():
                out.writestr(Named(name.replace("cat", "\u732b\u79d1")), data)
        if fits:
            assert asked(path).classes() == ("dog", "\u732b\u79d1")
        else:
            assert "is not a name in UTF-8" in message(DataError, asked(path).content_hash)


def test_links_that_go_round_are_not_followed(tmp_path: Path) -> None:
    path = write(tmp_path / "s", BASE)
    expected = asked(path).content_hash()
    (path / "train/cat/round").symlink_to(path / "train")
    assert asked(path).content_hash() == expected


@pytest.mark.parametrize("name", ["train", "train/cat", "train/cat/more", "train/cat/gone.png"])
def test_a_link_to_nothing_is_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "s", BASE)
    if (path / name).exists():
        (path / name).rename(tmp_path / "elsewhere")
    (path / name).symlink_to("moved/away")
    expected = f"{path / name}: is a link to 'moved/away', which is not there; mend or remove it"
    assert message(DataError, asked(path).content_hash) == expected


def test_links_to_nothing_that_editors_leave_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "s", BASE)
    expected = asked(path).content_hash()
    (path / "train/cat/.#notes").symlink_to("me@host.4711")
    (path / "notes.txt").symlink_to("moved/away")
    assert asked(path).content_hash() == expected


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        ((6, 8), 1, "is encrypted"),
        ((8, 10), 9, "is compressed in a way that is not read here (method 9)"),
    ],
)
def test_a_zip_that_cannot_be_unpacked_here(
    tmp_path: Path, at: tuple[int, int], value: int, said: str
) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name, data in BASE.items():
            out.writestr(name, data)
    packed = bytearray(path.read_bytes())
    for header, offset in zip((b"PK\3\4", b"PK\1\2"), at, strict=True):
        packed[packed.index(header) + offset] = value  # of the first member, in both its headers
    path.write_bytes(packed)
    told = message(DataError, asked(path).content_hash)
    assert said in told
    assert told.endswith("; unpack it and give --data the folder")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.zeros(3)}, "has the arrays x; needs train_images"),
        ({"train_images": np.zeros((2, 4, 4, 3)), "train_labels": np.zeros(2, int)}, "is float64 of shape"),
        ({"train_images": np.zeros((2, 4, 4, 3), np.uint8), "train_labels": np.zeros((2, 14), int)},
         "each image needs one label"),
        ({"train_images": np.array([{}] * 2, object), "train_labels": np.zeros(2, int)},
         "is object of shape"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.array([{}] * 2, object)},
         "allow_pickle=False"),
    ],
)  # fmt: skip
def test_arrays_of_another_kind(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays, allow_pickle=True)
    line = message(DataError, ImageFiles(tmp_path / "a.npz", SIDE).content_hash)
    assert said in line.replace("allow_pickle, ", "")


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet_file(tmp_path / "a.parquet", 2)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    line = message(DataError, ImageFiles(path, SIDE).content_hash)
    assert line.endswith(
        "Parquet files are read by pyarrow, which is not here; pip install pyarrow"
    )


def test_archives_in_a_folder_are_read_again_when_they_change(tmp_path: Path) -> None:
    path = SOURCES["two-archives"][0](tmp_path)
    before = ImageFiles(path, SIDE)
    assert ImageFiles(path, SIDE).content_hash() == before.content_hash()
    zipped(path / "train.zip", files(train=5))
    assert ImageFiles(path, SIDE).content_hash() != before.content_hash()
    write(path / "train", {})
    shutil.unpack_archive(path / "train.zip", path)
    assert len(ImageFiles(path, SIDE).train_labels()) == 10, "unpacked beside it: read once"
