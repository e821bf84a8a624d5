"""The model as flat files that also ship to the Hub."""
