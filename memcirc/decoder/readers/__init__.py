"""From a transformers model to plain weights, a module for each way in which layers name and lay out their parts."""
