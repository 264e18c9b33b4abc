"""Why targets are missed, in operations and bytes: of each row's work the beginning, and the reason.

Operations are those of the matrix products (2 a multiply-add), counted from the shapes; bytes those of tensors that no
cache holds, written and read again.
"""

REASONS = {
    "mask-ig k=5, pairs that differ everywhere": (
        "What a pass has not: the products of all inputs' gradients with all sources (100 GFlop on GPT-2 small, where "
        "five passes have 680; 284 on SmolLM2-135M, where they have 848), what each head writes by itself, one more "
        "run for the ablation values. Operations alone make 1.3 of five passes on GPT-2 small, 1.5 on "
        "SmolLM2 and 1.6 on a llama of a billion parameters, "
        "and the gradients at heads' inputs, 2.8 GB (3.9 GB), are written and read again. The faster a processor "
        "multiplies beside its memory, the higher the ratio: another one reached 1.32"
    ),
    "learned masks, a step, pairs that differ everywhere": (
        "Each pair has masks of its own, so that sources are mixed pair by pair, in products of few rows. On GPT-2 "
        "small three of 20 GFlop beside the 136 of a pass, which read 193 MB of sources for the layers above each, "
        "3.5 GB; and every head reads an input of its own, 545 MB written and read in each direction. On SmolLM2 "
        "three of 57 beside 170, and 774 MB; of a billion parameters, on two pairs, three of 158 beside 390"
    ),
    "one circuit of 40 edges, edge, differ everywhere": (
        "1.4 plain passes: every input that loses an edge is made, normed and read by its own head, and at a width of "
        "128 tensors have 200 kB and products 3 MFlop, so that moving the ones and calling the others costs more than "
        "multiplying"
    ),
    "one circuit of 40 edges, tree, differ branch": (
        "8 tokens are left to run: 5 MFlop, and about 4,000 calls of the interpreter, which take 3 ms whatever the "
        "size; the peer's pass takes 70"
    ),
    "one circuit of 40 edges, edge, differ branch": "As in mode `tree`: calls, not operations",
    "search, tree, differ": (
        "A search is 12 circuits, one after the other, of up to half of all edges: on the small model each costs what "
        "the single circuits above do, and preparing the pairs two more"
    ),
    "search, edge, differ branch": "As in mode `tree`: calls, not operations",
    "edge, differ everywhere, 1232 edges, full logits": (
        "SmolLM2 has 28 destinations a layer, each with an input of its own where what it reads is patched: 26 MB a "
        "layer, made, normed (root mean squares take three passes over it) and read by products of 64 columns; keys "
        "and values of a group are computed for each of its heads"
    ),
    "tree, 61605 random edges": (
        "Every destination reads a mixture of its own of up to 300 sources: 57 GFlop of mixing and 11 of keys and "
        "values by head beside the 108 of a plain pass, 1.4 in operations; the inputs, 774 MB, are made, normed by "
        "root mean squares and read, some 4 GB in all"
    ),
    "edge, 61605 random edges": "As in mode `tree`",
    "1000 circuits of 40 edges, 25 pairs, differ everywhere": (
        "Random circuits share no layer. One of 40 edges computes 17 of 32 heads and 2 of 4 MLPs, .41 of a plain "
        "pass's operations: 406 passes are the limit, without norms, sums and attention of inputs that differ"
    ),
    "tree, differ everywhere, 3867 edges, full logits": (
        "Of 100 tokens a billion parameters are read for little (4.9 GB for 200 GFlop, 1.3 s in a plain pass), and "
        "read by head: products of 100 rows and 64 columns, keys and values of a group once for each of its heads; "
        "each of 49 destinations a layer has an input of its own, 40 MB made, normed and read"
    ),
    "edge, differ everywhere, 3867 edges, full logits": "As in mode `tree`",
    "tree, 193356 random edges": (
        "Mixing up to 529 sources for each of 49 destinations a layer is 158 GFlop beside the 200 of a plain pass, in "
        "products of few rows; the inputs, 640 MB, are made, normed and read by head"
    ),
    "edge, 193356 random edges": "As in mode `tree`",
    "each edge of 154 left out, tree": (
        "Of 154 circuits 33 run the first layer, 50 the second, 82 the third: .25 of a plain pass in operations; "
        "every head of such a circuit reads an input of its own, which is made and normed for it alone"
    ),
    "20 connected circuits of 1232 edges, differ everywhere": (
        "A random circuit of 1 % has edges into 500 of SmolLM2's 841 inputs, from 260 of its 301 sources (GPT-2 "
        "small: 190 of 445): nearly every head runs, each on an input of its own, 460 MB on 400 tokens that are made, "
        "normed (root mean squares take three passes) and read by products of 64 columns; keys and values of a group "
        "are computed for each of its heads"
    ),
    "5 connected circuits of 3867 edges, differ everywhere": (
        "As SmolLM2's: edges into 1,265 of 1,553 inputs, from 520 of 529 sources; a gigabyte of inputs for 100 tokens"
    ),
    "scores of 16,000 windows, two shards": (
        "Each shard is a command of its own, which loads the library and the model, as one alone does: 9 s of the "
        "work that two do not share"
    ),
    "105 jobs of branch, two shards": (
        "As above; and a shard's jobs are its own from the start, where Ray gives the next one to whoever is free"
    ),
    "patch pii": (
        "Each of 331 places takes half a pass of 8 samples of up to 51 tokens, 43 GFlop, in either direction: 26 "
        "TFlop, 155 s at 170 GFlop/s, before anything else. Growing the set of components that restores the answer "
        "is 300 such passes (90 s), and circuits of 123,211 edges are found on five splits (3 minutes)"
    ),
    "all checks together": (
        "800 circuits of all pairs, many under ablations that leave no prefix out: random circuits (406) and "
        "faithfulness under every ablation are 40 % of the time, the passages of `specificity`, 64 tokens each, a "
        "quarter, and a ranking of edges for each document, for `certificates`, another"
    ),
    "gpt2-small, 100% memorized": (
        "Nothing can be left out: every token is read, and the logits before each of the completion's. One plain pass "
        "over whole windows, logits of 50 positions included, is the limit: 667 GFlop, 2.4 s, by which `generate`, "
        "which reads the weights once a token, is 3.2 x slower. Exact scores are at 1.15 of the limit, "
        "log-probabilities and full ones, measured once, at 1.4 and 1.5 (medians of 3: 1.2 and 1.4): 1,600 x 50,257 "
        "logits are gone through again"
    ),
    "embedded, 100% memorized": (
        "As above: one pass over 256 windows is 28 GFlop, .19 s at the rate of a plain pass, of .26 to .27"
    ),
    "32 tokens, a circuit taken out": (
        "Per token, layer and model: the inputs of all heads are made from what every source wrote (157 x 768 numbers "
        "a prompt), and each of 36 projections reads an input of its own, 36 products of 8 rows where plain decoding "
        "has one; both read the same weights"
    ),
}


def reason_of(work: str) -> str:
    """The reason for a missed row; ValueError where there is none, which belongs into ``REASONS``."""
    for beginning, reason in REASONS.items():
        if work.startswith(beginning):
            return reason
    raise ValueError(f"no reason says why {work!r} was missed; it belongs into benchmarks/reasons.py")
