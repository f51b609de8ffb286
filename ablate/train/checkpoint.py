"""The state of a run between two epochs as bytes, and back: what comes after is the same to the byte.

Safetensors, so that nothing in it can run. There is no state of a random generator: every stream
is made anew from the seed and the epoch or step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors.torch import load, save

from ablate.network.kept import restore_beside, tensors_beside
from ablate.result.path import differences
from ablate.train.beside import Beside, Watched
from ablate.train.cohort import Began, Member
from ablate.train.step import Trainer

ABOUT = "about"
"""The tensor that holds, as JSON text, everything that is no tensor."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """A checkpoint that is not continued here, and why."""

    reason: str


def pack(member: Member, made_by: Mapping[str, Any]) -> bytes:
    """Everything that the next epoch depends on. `made_by` says under what it was trained: only
    there will it be continued.

    Raises:
        StudyError: a user's own trainer has something that cannot be kept, or keeps nothing.
    """
    trainer, kept = member.trainer, dict[str, torch.Tensor]()
    about = {
        "made_by": dict(made_by),
        "watched": member.watched,
        "seconds": member.seconds,
        "train_seconds": member.train_seconds,
        "scaler": trainer.scaler.state_dict(),
        **({} if member.began is None else {"began": asdict(member.began)}),
        **({} if member.beside is None else _beside(member.beside, kept)),
    }
    tensors = {f"net/{name}": value for name, value in trainer.net.state_dict().items()}
    tensors |= {f"beside/{name}": value for name, value in tensors_beside(trainer.net).items()}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        values = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
        tensors |= {f"optimizer/{index}/{name}": value for name, value in values.items()}
    if trainer.average is not None:
        average = enumerate(trainer.average.values)
        tensors |= {f"average/{index}": value for index, value in average}
    tensors |= kept
    tensors[ABOUT] = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    return save({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()})


def unpack(content: bytes, trainer: Trainer, made_by: Mapping[str, Any]) -> Member | Unfit:
    """The member as it was, in a trainer that was made anew, which is left as it is if the checkpoint
    was made by something else, such as another device, whose result this one would not repeat.
    """
    tensors = load(content)
    about = json.loads(tensors.pop(ABOUT).numpy().tobytes())
    if about["made_by"] != made_by:
        return Unfit(f"its checkpoint was made by {differences(about['made_by'], made_by)}")
    trainer.net.load_state_dict(_below("net/", tensors))
    restore_beside(trainer.net, _below("beside/", tensors))
    _restore_optimizer(trainer, _below("optimizer/", tensors))
    if trainer.average is not None:
        for index, value in _below("average/", tensors).items():
            trainer.average.values[int(index)].copy_(value)
    trainer.scaler.load_state_dict(about["scaler"])
    began = Began(**about["began"]) if "began" in about else None
    member = Member(
        trainer, about["watched"], about["seconds"], about["train_seconds"], began=began
    )
    if "beside" in about:
        member.beside = Beside(seen=Watched(**about["seen"]) if "seen" in about else None)
        member.beside.unpack(about["beside"], tensors)
    return member


def _beside(beside: Beside, kept: dict[str, torch.Tensor]) -> dict[str, Any]:
    seen = {} if beside.seen is None else {"seen": asdict(beside.seen)}
    return {"beside": beside.pack(kept), **seen}


def _restore_optimizer(trainer: Trainer, tensors: dict[str, torch.Tensor]) -> None:
    optimizer = trainer.optimizer
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        index, key = name.split("/", 1)
        state.setdefault(int(index), {})[key] = _like(parameters[int(index)], value)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """The same values in the parameter's memory format: fused optimizers walk both in one order."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
