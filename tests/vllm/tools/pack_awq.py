"""Quantise a Hugging Face checkpoint to AWQ int4 (GEMM layout) by rounding to the nearest.

The layout is AWQ's; the scales are not searched for by activations, so that no calibration data is needed.

usage: pack_awq.py SOURCE TARGET GROUP_SIZE     (in-features must divide by GROUP_SIZE, out-features by 32)
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
COPIED = ("tokenizer*", "special_tokens*", "generation*", "chat_template*", "vocab*", "merges*")


def pack(ints: torch.Tensor) -> torch.Tensor:
    """Pack [rows, cols] integers 0..15 into [rows, cols / 8] int32, in AWQ's order of nibbles."""
    nibbles = ints.to(torch.int64).reshape(ints.shape[0], -1, 8)[:, :, AWQ_ORDER]
    word = (nibbles << (torch.arange(8) * 4)).sum(-1)
    return torch.where(word >= 2**31, word - 2**32, word).to(torch.int32)


def quantise(weight: torch.Tensor, group: int) -> dict[str, torch.Tensor]:
    """The three tensors that stand for a weight [out, in]: qweight, qzeros and scales."""
    weight = weight.float()
    rows, cols = weight.shape
    if cols % group or rows % 32:
        sys.exit(f"a weight of {rows} x {cols} cannot be packed in groups of {group}")
    grouped = weight.reshape(rows, cols // group, group)
    high, low = grouped.amax(-1).clamp(min=0), grouped.amin(-1).clamp(max=0)
    scale = ((high - low) / 15).clamp(min=1e-6).half().float()
    zero = (-low / scale).round().clamp(0, 15)
    quant = (grouped / scale[..., None]).round().add(zero[..., None]).clamp(0, 15).reshape(rows, cols)
    return {
        "qweight": pack(quant.t()).contiguous(),
        "qzeros": pack(zero.t()).contiguous(),
        "scales": scale.t().half().contiguous(),
    }


def main(source: Path, target: Path, group: int) -> None:
    target.mkdir(parents=True, exist_ok=True)
    packed: dict[str, torch.Tensor] = {}
    for shard in sorted(source.glob("*.safetensors")):
        for key, weight in load_file(shard).items():
            if key.endswith("proj.weight"):
                name = key.removesuffix(".weight")
                packed |= {f"{name}.{part}": tensor for part, tensor in quantise(weight, group).items()}
            else:
                packed[key] = weight.half() if weight.is_floating_point() else weight
    save_file(packed, target / "model.safetensors", {"format": "pt"})
    config = json.loads((source / "config.json").read_text("utf-8"))
    config |= {
        "torch_dtype": "float16",
        "quantization_config": {
            "quant_method": "awq",
            "bits": 4,
            "group_size": group,
            "zero_point": True,
            "version": "gemm",
        },
    }
    config.pop("dtype", None)
    for pattern in COPIED:
        for path in source.glob(pattern):
            shutil.copy(path, target)
    # Last: a folder with it is complete.
    (target / "config.json").write_text(json.dumps(config, indent=1), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
