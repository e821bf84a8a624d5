"""How an encoder makes its embeddings, by the names of the option `pooling`; nothing is imported, `--help` is quick."""

# One vector, of the hidden states: their mean, or the first of them.
DENSE_POOLINGS = ("mean", "cls")
# Of the logits: of each token of the vocabulary one weight, see `SpladePooling` of sentence-transformers.
SPLADE = "splade"
# A vector for each token.
LATE_INTERACTION = "late_interaction"
