"""The tasks in words: what each asks of the model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskWords:
    """What a task is about, in a few words and at length."""

    short: str
    about: str


WORDS = {
    "learned": TaskWords(
        "Knowing how a learned passage goes on",
        "The same prompt in the model and in its twin, the same model trained without the memory. What "
        "in the model knows how the passage goes on? Circuits of mode tree are the smallest sufficient ones: with only "
        "their edges at work, and all others carrying what they carry in the twin, the model still knows the passage. "
        "Those of mode edge are the smallest necessary ones: with their edges alone carrying the twin's values, it is "
        "forgotten.",
    ),
    "branch": TaskWords(
        "Going on with a passage where the model could leave it",
        "Both prompts share a context; the clean one ends with the true next token, the corrupt "
        "one with the token the model says instead. Does the model go on reciting?",
    ),
    "memorization": TaskWords(
        "Whether the model recites at all",
        "Clean is a memorized passage cut where recitation breaks off, so that its "
        "true next token (the wrong answer here) is withheld; corrupt is a passage that is not memorized, the most "
        "similar one after which the model does say that very token. Which way does the decision fall?",
    ),
}
GIVEN = TaskWords("What the given pairs ask", "Pairs given by the user.")


def words_of(task: str) -> TaskWords:
    """The words of a task, of all documents or of a subset (``branch@github``)."""
    return WORDS.get(task.split("@")[0], GIVEN)
