"""BibTeX entries of the papers that define what a run may use."""


def _entry(key: str, kind: str, **fields: str) -> str:
    inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{kind}{{{key},\n{inside}\n}}"


def _preprint(key: str, author: str, title: str, year: int, arxiv: str) -> tuple[str, str]:
    return key, _entry(
        key, "misc", author=author, title=title, year=str(year), eprint=arxiv, archivePrefix="arXiv"
    )  # fmt: skip


REFERENCES = dict(
    [
        _preprint(
            "carlini2023quantifying",
            "Carlini, Nicholas and Ippolito, Daphne and Jagielski, Matthew and Lee, Katherine and Tram{\\`e}r, Florian "
            "and Zhang, Chiyuan",
            "Quantifying Memorization Across Neural Language Models", 2023, "2202.07646",
        ),
        _preprint(
            "syed2023attribution", "Syed, Aaquib and Rager, Can and Conmy, Arthur",
            "Attribution Patching Outperforms Automated Circuit Discovery", 2023, "2310.10348",
        ),
        _preprint(
            "miller2024transformer", "Miller, Joseph and Chughtai, Bilal and Saunders, William",
            "Transformer Circuit Faithfulness Metrics are not Robust", 2024, "2407.08734",
        ),
        _preprint(
            "hanna2024faith", "Hanna, Michael and Pezzelle, Sandro and Belinkov, Yonatan",
            "Have Faith in Faithfulness: Going Beyond Circuit Overlap When Finding Model Mechanisms", 2024,
            "2403.17806",
        ),
        _preprint(
            "jafari2025relp",
            "Jafari, Farnoush Rezaei and Eberle, Oliver and Khakzar, Ashkan and Nanda, Neel",
            "{RelP}: Faithful and Efficient Circuit Discovery via Relevance Patching", 2025, "2508.21258",
        ),
        _preprint(
            "bhaskar2024finding", "Bhaskar, Adithya and Wettig, Alexander and Friedman, Dan and Chen, Danqi",
            "Finding Transformer Circuits with Edge Pruning", 2024, "2406.16778",
        ),
        _preprint(
            "li2024optimal", "Li, Maximilian and Janson, Lucas", "Optimal Ablation for Interpretability", 2024,
            "2409.09951",
        ),
        _preprint(
            "shi2024hypothesis",
            "Shi, Claudia and Beltran-Velez, Nicolas and Nazaret, Achille and Zheng, Carolina and Garriga-Alonso, "
            "Adri{\\`a} and Jesson, Andrew and Makar, Maggie and Blei, David M.",
            "Hypothesis Testing the Circuit Hypothesis in {LLMs}", 2024, "2410.13032",
        ),
        (
            "zeller2002simplifying",
            _entry(
                "zeller2002simplifying", "article", author="Zeller, Andreas and Hildebrandt, Ralf",
                title="Simplifying and Isolating Failure-Inducing Input",
                journal="IEEE Transactions on Software Engineering", volume="28", number="2", pages="183--200",
                year="2002",
            ),
        ),
        (
            "efron1979bootstrap",
            _entry(
                "efron1979bootstrap", "article", author="Efron, Bradley",
                title="Bootstrap Methods: Another Look at the Jackknife", journal="The Annals of Statistics",
                volume="7", number="1", pages="1--26", year="1979",
            ),
        ),
    ]
)  # fmt: skip
