"""The demo corpus: true Chinese sentences generated from tables of facts."""
