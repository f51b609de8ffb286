"""A network's weights as safetensors: tensors and names, nothing that could run."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from ablate.errors import WeightsError
from ablate.network.kept import restore_beside, tensors_beside

BESIDE = "beside/"
"""How the names begin of what a state dict leaves out."""


def weights_to_bytes(net: nn.Module) -> bytes:
    """Every parameter and buffer of a network, also those that its state dict leaves out."""
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    beside = {f"{BESIDE}{name}": tensor for name, tensor in tensors_beside(net).items()}
    state = {name: tensor.detach().cpu() for name, tensor in {**net.state_dict(), **beside}.items()}
    return save({name: tensor.clone().contiguous() for name, tensor in state.items()})


def load_weights(net: nn.Module, content: bytes, name: str) -> None:
    """Put weights into the network that they belong to; `name` says whose they are in errors.

    Raises:
        WeightsError: no safetensors, or of another network.
    """
    try:
        state = load(content)
        beside = {name: state.pop(name) for name in list(state) if name.startswith(BESIDE)}
        net.load_state_dict(state)
        restore_beside(net, {n.removeprefix(BESIDE): value for n, value in beside.items()})
    except SafetensorError as error:
        raise WeightsError(f"{name}: its weights are no safetensors ({error})") from None
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{name}: its weights do not fit the network: {reason[:300]}; "
            "the backbone has changed since they were trained"
        ) from None
