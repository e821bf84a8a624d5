"""The demo: the whole path on a generated corpus, its report, and the speed benchmark."""
