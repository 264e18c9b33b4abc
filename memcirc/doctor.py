"""What is installed, which devices there are, what is missing and how to get it."""

import importlib.metadata
import platform

NEEDED = {
    "torch": "pip install torch==2.13.0",
    "transformers": "pip install transformers",
    "transformer-lens": "pip install 'transformer-lens>=3.9,<4'",
    "datasets": "pip install datasets",
    "auto-circuit": "pip install auto-circuit==1.0.1 attrs (only for --engine auto-circuit)",
    "zstandard": "pip install zstandard (only for .zst files)",
    "plotly": "pip install plotly",
}


def diagnosis() -> str:
    """A line for each package and device."""
    lines = [f"python {platform.python_version()} on {platform.platform()}"]
    for package, remedy in NEEDED.items():
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package} MISSING: {remedy}")
    lines.append(_devices())
    return "\n".join(lines)


def _devices() -> str:
    try:
        import torch
    except ImportError:
        return "devices: unknown without torch"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"devices: cpu ({torch.get_num_threads()} threads){''.join(f', cuda:{i} {n}' for i, n in enumerate(names))}"
