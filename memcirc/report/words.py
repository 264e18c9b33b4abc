"""The page's words in plain English: how a circuit is put to the test, where an edge runs, what the terms mean."""

import re

from memcirc.interventions import RunSettings

ACTS = {"keeps": "alone at work", "takes away": "taken out", "brings back": "alone put back"}
"""What is done with a circuit, by what it then does."""
READS = {"q": "query", "k": "key", "v": "value"}

LEGEND = {
    "node": "A part of the model that writes to the stream that all layers share: the input, an attention head, a "
    "layer's MLP. a3.h1 is head 1 of layer 3, m3 its MLP; both counts begin at 0.",
    "edge": "The road from what one node writes to where a later one reads it: a query, key or value of a head, an "
    "MLP, or the logits. m2->a3.h1<v> runs from the MLP of layer 2 into the value of head 1 of layer 3.",
    "circuit": "A set of edges that is said to do the work; all others are then said not to matter.",
    "faithfulness": "How much of the behaviour a circuit accounts for: 0 with none of its edges, 1 with all edges of "
    "the model. It may lie outside 0 to 1.",
    "ablation": "What an edge carries in place of what it would: the same edge's value on the pair's other prompt "
    "(resample), in the twin (twin), its mean over prompts (mean), or nothing (zero).",
    "tree": "The circuit's edges are left alone at work, and all others are ablated: is the circuit enough?",
    "edge (mode)": "The circuit's edges are ablated, and all others left at work: is the circuit needed, or enough to "
    "bring the behaviour back?",
    "noising, denoising": "Noising patches the run that shows the behaviour, to take it away; denoising patches the "
    "run that does not, to bring it back.",
    "twin": "The same model trained without the passages that are to be recited.",
    "chance": "Random circuits of the same size: uniform (any edges), connected (whole roads from input to logits), "
    "matched (as many edges between each two layers), shuffled (the scores permuted). The best 5 % of "
    "them are the bar.",
    "threshold": "Met: the number is at least as good as was asked. Not met: it is not, and what the claim says must "
    "not be taken from this run. Cannot say: not measured, or on too little to tell.",
    "nats a token": "How much worse a text is foretold: one nat makes each token 2.7 times less likely.",
    "interval": "Where 95 of 100 such numbers would lie if other documents had been drawn (bootstrap over documents).",
}


def act(way: RunSettings) -> str:
    """What is done with a circuit that is run in this way."""
    return ACTS[way.verb]


def node_words(name: str) -> str:
    """A node in words."""
    if head := re.fullmatch(r"a(\d+)\.h(\d+)", name):
        return f"head {head[2]} of layer {head[1]}"
    if mlp := re.fullmatch(r"m(\d+)", name):
        return f"the MLP of layer {mlp[1]}"
    return f"the {name}"


def edge_words(name: str) -> str:
    """An edge in words."""
    source, destination = name.split("->")
    node, _, letter = destination.partition("<")
    reads = READS.get(letter.rstrip(">"))
    return f"from {node_words(source)} into {f'the {reads} of ' if reads else ''}{node_words(node)}"


def layer_of(node: str) -> int | None:
    """The layer of a node; None of the input and the logits."""
    found = re.match(r"[am](\d+)", node)
    return int(found[1]) if found else None
