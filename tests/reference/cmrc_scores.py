"""Slow obvious twin of the CMRC 2018 scores: character by character, and a table for the longest common run."""

PUNCTUATION = list("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")


def segments(text: str) -> list[str]:
    """Cut a text: Chinese characters alone, other runs at white space. Valid for runs without inner punctuation."""
    found, run = [], ""
    for character in text.lower().strip():
        if character in PUNCTUATION:
            continue
        if "\u4e00" <= character <= "\u9fa5":
            found += [*run.split(), character]
            run = ""
        else:
            run += character
    return found + run.split()


def longest_common_run(first: list[str], second: list[str]) -> int:
    """Return the length of the longest stretch that both hold."""
    best = 0
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i in range(len(first)):
        for j in range(len(second)):
            if first[i] == second[j]:
                table[i + 1][j + 1] = table[i][j] + 1
                best = max(best, table[i + 1][j + 1])
    return best


def f1(prediction: str, answers: list[str]) -> float:
    """Return the best F1 over the answers."""
    scores = []
    for answer in answers:
        predicted, wanted = segments(prediction), segments(answer)
        shared = longest_common_run(predicted, wanted)
        if shared == 0:
            scores.append(0.0)
            continue
        precision, recall = shared / len(predicted), shared / len(wanted)
        scores.append(2 * precision * recall / (precision + recall))
    return max(scores)


def exact_match(prediction: str, answers: list[str]) -> float:
    """Return 1.0 if an answer equals the prediction without punctuation."""

    def bare(text: str) -> str:
        return "".join(character for character in text.lower().strip() if character not in PUNCTUATION)

    return 1.0 if bare(prediction) in [bare(answer) for answer in answers] else 0.0
