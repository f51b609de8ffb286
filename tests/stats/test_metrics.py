"""Metrics are scikit-learn's, and left out where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as peer

from ablate.stats.metrics import OF_LOGITS, OF_PREDICTIONS, confusion, count, measure
from ablate.study.metrics import METRICS, RECALL

CLASSES = 7


def answers(seed: int, images: int = 300, classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of unequal classes, each of which has images."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.geometric(0.5, images - classes) % classes])
    logits = rng.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += 1
    return logits, labels.astype(np.int64)


PEERS = {
    "accuracy": lambda y, p, s: peer.accuracy_score(y, p),
    "balanced_accuracy": lambda y, p, s: peer.balanced_accuracy_score(y, p),
    "macro_f1": lambda y, p, s: peer.f1_score(y, p, average="macro"),
    "top5_accuracy": lambda y, p, s: peer.top_k_accuracy_score(y, s, k=5),
    "auroc": lambda y, p, s: peer.roc_auc_score(y, s, multi_class="ovr", average="macro"),
    "log_loss": lambda y, p, s: peer.log_loss(y, s),
}


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_metric_is_scikit_learns(name: str, seed: int) -> None:
    logits, labels = answers(seed)
    expected = PEERS[name](labels, logits.argmax(1), softmax(logits.astype(np.float64), axis=1))
    assert measure(logits, labels)[name, None] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", OF_PREDICTIONS)
def test_weights_of_images_are_images_drawn_several_times(name: str) -> None:
    logits, labels = answers(3)
    predicted = logits.argmax(1)
    drawn = np.random.default_rng(0).multinomial(300, np.full(300, 1 / 300))
    weighted = OF_PREDICTIONS[name](count(labels, predicted, np.stack([drawn, drawn]) * 1.0))
    again = OF_PREDICTIONS[name](count(labels.repeat(drawn), predicted.repeat(drawn)))
    assert weighted == pytest.approx([again, again], abs=1e-12)


def test_every_metric_has_a_function_and_says_whether_predictions_are_enough() -> None:
    assert [*OF_PREDICTIONS, *OF_LOGITS] == list(METRICS)
    assert set(OF_PREDICTIONS) == {name for name, each in METRICS.items() if each.of_predictions}


def test_calibration_error_of_a_network_that_is_always_sure_is_its_error() -> None:
    logits, labels = answers(4)
    sure = np.where(np.eye(CLASSES)[logits.argmax(1)] > 0, 100.0, 0.0).astype(np.float32)
    found = measure(sure, labels)
    assert found["calibration_error", None] == pytest.approx(1 - found["accuracy", None])


def test_what_answers_do_not_have_is_left_out() -> None:
    logits, labels = answers(5, classes=5)
    assert ("top5_accuracy", None) not in measure(logits, labels)
    alone = measure(logits[labels == 1], labels[labels == 1])
    assert ("auroc", None) not in alone
    assert [key for key in alone if key[0] == RECALL] == [(RECALL, 1)]


def test_confusion_counts_images_by_class_and_answer() -> None:
    logits, labels = answers(6)
    expected = peer.confusion_matrix(labels, logits.argmax(1))
    assert (confusion(labels, logits.argmax(1), CLASSES) == expected).all()
