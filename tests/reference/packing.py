"""Best-fit decreasing written the obvious way, and the pieces a document is cut into."""


def best_fit_bins(sizes: list[int], capacity: int) -> int:
    """Return how many bins best-fit decreasing opens."""
    rooms: list[int] = []
    for size in sorted(sizes, reverse=True):
        fitting = [i for i, room in enumerate(rooms) if room >= size]
        if fitting:
            rooms[min(fitting, key=lambda i: rooms[i])] -= size
        else:
            rooms.append(capacity - size)
    return len(rooms)


def cut(length: int, context_length: int) -> list[tuple[int, int]]:
    """Return (start, length) of the pieces of one document."""
    room = context_length - 2
    pieces, start = [], 0
    while length - start > room:
        pieces.append((start, room))
        start += room
    return [*pieces, (start, length - start)]
