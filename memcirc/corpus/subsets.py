"""The 22 subsets of the Pile: their exact names, what people call them, where they are served, and under what terms.

`monology/pile-uncopyrighted` holds 17 of them mixed; `timaeus/pile-*` holds some alone, 100,000 documents each. The
five that consist of copyrighted works are in neither and can only be read from local files.
"""

PILE_SUBSETS = (
    "Pile-CC",
    "PubMed Central",
    "Books3",
    "OpenWebText2",
    "ArXiv",
    "Github",
    "FreeLaw",
    "StackExchange",
    "USPTO Backgrounds",
    "PubMed Abstracts",
    "Gutenberg (PG-19)",
    "OpenSubtitles",
    "Wikipedia (en)",
    "DM Mathematics",
    "Ubuntu IRC",
    "BookCorpus2",
    "EuroParl",
    "HackerNews",
    "YoutubeSubtitles",
    "PhilPapers",
    "NIH ExPorter",
    "Enron Emails",
)

SHORT_NAMES = {
    "cc": "Pile-CC",
    "commoncrawl": "Pile-CC",
    "pmc": "PubMed Central",
    "books": "Books3",
    "owt2": "OpenWebText2",
    "openwebtext": "OpenWebText2",
    "law": "FreeLaw",
    "uspto": "USPTO Backgrounds",
    "patents": "USPTO Backgrounds",
    "pubmed": "PubMed Abstracts",
    "gutenberg": "Gutenberg (PG-19)",
    "pg19": "Gutenberg (PG-19)",
    "subtitles": "OpenSubtitles",
    "wikipedia": "Wikipedia (en)",
    "wiki": "Wikipedia (en)",
    "mathematics": "DM Mathematics",
    "math": "DM Mathematics",
    "ubuntu": "Ubuntu IRC",
    "irc": "Ubuntu IRC",
    "bookcorpus": "BookCorpus2",
    "hn": "HackerNews",
    "youtube": "YoutubeSubtitles",
    "philosophy": "PhilPapers",
    "nih": "NIH ExPorter",
    "exporter": "NIH ExPorter",
    "enron": "Enron Emails",
    "emails": "Enron Emails",
}

MIXED_DATASET = "monology/pile-uncopyrighted"

DATASET_OF_SUBSET = {
    "Pile-CC": "timaeus/pile-pile-cc",
    "ArXiv": "timaeus/pile-arxiv",
    "Github": "timaeus/pile-github",
    "FreeLaw": "timaeus/pile-freelaw",
    "StackExchange": "timaeus/pile-stackexchange",
    "USPTO Backgrounds": "timaeus/pile-uspto_backgrounds",
    "PubMed Abstracts": "timaeus/pile-pubmed_abstracts",
    "Wikipedia (en)": "timaeus/pile-wikipedia_en",
    "DM Mathematics": "timaeus/pile-dm_mathematics",
    "HackerNews": "timaeus/pile-hackernews",
    "Enron Emails": "timaeus/pile-enron_emails",
}

COPYRIGHTED = {
    "Books3": "whole books under copyright, withdrawn by its publisher after takedown requests",
    "BookCorpus2": "novels whose licences forbid redistribution",
    "OpenSubtitles": "subtitles of films and series under copyright",
    "YoutubeSubtitles": "subtitles that YouTube's terms do not allow to be redistributed",
    "OpenWebText2": "web pages under their authors' copyright",
}


def subset_name(name: str) -> str:
    """The exact name of a subset, whatever its case, spaces or punctuation, or however it is called for short.

    Raises:
        ValueError: no such subset; lists all of them.
    """
    exact = _EXACT.get(_letters(name))
    if exact is None:
        raise ValueError(f"unknown Pile subset {name!r}: accepted are {', '.join(PILE_SUBSETS)}")
    return exact


def is_subset(name: str) -> bool:
    """Whether `subset_name` would take the name."""
    return _letters(name) in _EXACT


def dataset_of(subset: str) -> str:
    """The hub data set that serves a subset.

    Raises:
        ValueError: it consists of copyrighted works, which no data set known here serves.
    """
    exact = subset_name(subset)
    if exact in COPYRIGHTED:
        raise ValueError(f"{licence_note(exact)}: no data set known here serves it, accepted is a local file or folder")
    return DATASET_OF_SUBSET.get(exact, MIXED_DATASET)


def licence_note(subset: str) -> str | None:
    """What to know before using a subset of copyrighted text, in one line; None for the others."""
    exact = subset_name(subset)
    return f"Pile subset {exact!r} holds {COPYRIGHTED[exact]}" if exact in COPYRIGHTED else None


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


_EXACT = {_letters(name): name for name in PILE_SUBSETS} | SHORT_NAMES
