"""LoRA on a frozen base, plus the trained embedding rows of the task tokens.

The rows are trained through `{"encoder.embed_tokens": ids}`: of the names peft accepts it is the only one that
leaves step-0 logits exactly unchanged, gets a gradient, and merges to the same function. Task tokens occur in encoder
inputs only, so nothing is lost. (Hu et al. 2021; peft's trainable tokens)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mtl.errors import DamageError, ModelError, did_you_mean

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import T5ForConditionalGeneration

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")
ROWS = "encoder.embed_tokens"


def attach_lora(
    model: T5ForConditionalGeneration,
    token_ids: Sequence[int],
    *,
    r: int,
    alpha: int,
    dropout: float,
    target_modules: list[str] | Literal["all-linear"],
    rslora: bool,
    dora: bool = False,
    base_name: str,
    revision: str | None,
) -> PeftModel:
    """Freeze `model` and give it a trainable adapter. Errors: ModelError for an unknown target module."""
    from peft import LoraConfig, get_peft_model

    if target_modules != "all-linear":
        _check_targets(model, target_modules)
    config = LoraConfig(
        task_type="SEQ_2_SEQ_LM",
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=target_modules,
        use_rslora=rslora,
        use_dora=dora,
        trainable_token_indices={ROWS: list(token_ids)} if token_ids else None,
    )
    peft_model = get_peft_model(model, config)
    active = peft_model.peft_config["default"]
    # The adapter names its base as the configuration did: a path of the training machine would mean nothing elsewhere.
    active.base_model_name_or_path = base_name
    active.revision = revision
    # peft keeps a set here, whose order would differ between two equal runs.
    active.target_modules = sorted(active.target_modules)
    return peft_model


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write ADAPTER_FILES into `folder`; equal weights give equal bytes."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    # save_embedding_layers: the rows are in the adapter already, and `auto` asks the Hub about the base.
    state = {
        name: value.detach().cpu().contiguous()
        for name, value in get_peft_model_state_dict(model, save_embedding_layers=False).items()
    }
    save_file(dict(sorted(state.items())), folder / ADAPTER_FILES[0], metadata={"format": "pt"})
    config = model.peft_config["default"]
    training, config.inference_mode = config.inference_mode, True
    config.save_pretrained(str(folder))
    config.inference_mode = training


def copy_weights(model: PeftModel, file: Path) -> None:
    """Give the adapter of `model`, which is attached already, the weights in `file`, bit for bit.

    Errors: DamageError for an unreadable file; ModelError unless it holds exactly the tensors of this adapter.
    """
    import torch
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(file)
    except SafetensorError as error:
        raise DamageError(f"{file} is damaged: {error}") from None
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    unlike = sorted(name for name in own.keys() | weights.keys() if not _alike(own.get(name), weights.get(name)))
    if unlike:
        raise ModelError(
            f"the adapter to start from has other tensors than this one: {unlike[0]} and {len(unlike) - 1} more",
            field="lora",
            hint="set lora as it was when that adapter was trained, or train.from: scratch",
        )
    set_peft_model_state_dict(model, weights)
    now = get_peft_model_state_dict(model, save_embedding_layers=False)
    if not all(
        torch.equal(now[name].cpu(), weights[name]) for name in weights
    ):  # peft passes by names it does not know
        raise ModelError("the adapter to start from was not taken over as it is", field="train.from")


def _alike(own: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return own is not None and other is not None and (own.shape, own.dtype) == (other.shape, other.dtype)


def load_adapter(model: T5ForConditionalGeneration, folder: Path) -> PeftModel:
    """`model` with the saved adapter, in evaluation mode. Errors: DamageError for a missing or unreadable file."""
    from peft import PeftModel
    from safetensors import SafetensorError

    for name in ADAPTER_FILES:
        if not (folder / name).is_file():
            raise DamageError(f"adapter folder {folder} has no {name}")
    try:
        return PeftModel.from_pretrained(model, str(folder)).eval()
    except SafetensorError as error:
        raise DamageError(f"{folder / ADAPTER_FILES[0]} is damaged: {error}") from None


def trainable_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """(trainable, all) parameter counts; the shared embedding counts once."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trainable, sum(p.numel() for p in model.parameters())


def _check_targets(model: torch.nn.Module, target_modules: list[str]) -> None:
    import torch

    names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    for target in target_modules:
        if target not in names:
            raise ModelError(
                f"lora.target_modules: no linear layer is called {target!r}",
                field="lora.target_modules",
                hint=did_you_mean(target, names),
            )
