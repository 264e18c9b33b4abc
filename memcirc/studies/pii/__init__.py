"""Personal data: a model fine-tuned on it (target) beside one of the same base that was not (control)."""
