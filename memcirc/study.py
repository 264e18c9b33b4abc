"""The words of the memorization study and of AutoCircuit, mapped to the library's; here and nowhere else."""

from memcirc.interventions import ABLATIONS

ABLATION_WORDS = {
    **{word: word for word in ABLATIONS},
    "RESAMPLE": "resample",
    "ZERO": "zero",
    "TOKENWISE_MEAN_CLEAN": "mean-clean",
    "TOKENWISE_MEAN_CORRUPT": "mean-corrupt",
    "TOKENWISE_MEAN_CLEAN_AND_CORRUPT": "mean-both",
}
PATCH_TYPES = {"TREE_PATCH": "tree", "EDGE_PATCH": "edge", "tree": "tree", "edge": "edge"}
LOSSES = {"logit_diff": "diff", "avg_diff": "diff", "logit": "answer", "avg_val": "answer"}


def objective(grad_function: str, loss_function: str) -> str:
    """The study's function of a token and function of the answers, as one of our metrics."""
    return f"{grad_function}_diff" if LOSSES[loss_function] == "diff" else f"answer_{grad_function}"
