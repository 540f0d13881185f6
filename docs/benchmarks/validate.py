"""How long `confrag validate` takes, against importing Hydra and pydantic.

    python docs/benchmarks/validate.py [PRESET] [RUNS]

The two commands are run in turn as whole processes, so that both meet the same machine; the median of the ratios of
neighbours is what counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(*arguments: str) -> float:
    """Wall time of a Python process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    """Print Markdown."""
    preset = sys.argv[1] if len(sys.argv) > 1 else "multi_route"
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 21
    pairs = []
    for _ in range(runs + 1):
        ours = seconds("-m", "confrag", "validate", f"conf={preset}")
        pairs.append((ours, seconds("-c", "import hydra, pydantic")))
    validated, imported = zip(*pairs[1:], strict=True)  # the first pair fills the caches
    ratio = statistics.median(a / b for a, b in pairs[1:])
    print("| | median, s | ratio |\n|---|---|---|")
    print(f"| confrag validate conf={preset} | {statistics.median(validated):.3f} | {ratio:.2f} |")
    print(f"| python -c 'import hydra, pydantic' | {statistics.median(imported):.3f} | 1 |")


if __name__ == "__main__":
    main()
