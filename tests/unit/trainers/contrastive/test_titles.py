"""Pairs of title and body: what gives one, what gives none and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chinese_modernbert.evaluation.sentences.files import find_set, read_rows
from chinese_modernbert.trainers.contrastive.titles import title_pairs

BODY = "黄河发源于青藏高原，自西向东流经九个省区，最后在山东注入渤海，全长约五千四百公里，是中国第二长的河。"
OTHER = "西湖在杭州城西，三面环山，湖中有白堤和苏堤，春天桃红柳绿，夏天荷花满湖，一年四季都有许多人来这里游玩散步。"


def documents(tmp_path: Path, *texts: str, source: str = "news") -> list[Path]:
    rows = [{"text": text, "source": source, "id": f"{source}-{n}"} for n, text in enumerate(texts)]
    file = tmp_path / "corpus.jsonl"
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return [file]


def test_a_first_line_and_what_follows_it_are_a_pair(tmp_path: Path) -> None:
    files = documents(tmp_path, f"  母亲河的由来 \n\n{BODY}\n{BODY}")
    documents(tmp_path, f"杭州游记\n{OTHER}", source="travel")
    found = title_pairs(files)
    assert {name: [(one.anchor, one.positive) for one in row] for name, row in found.pairs.items()} == {
        "news": [("母亲河的由来", f"{BODY}\n{BODY}")],
        "travel": [("杭州游记", OTHER)],
    }
    assert list(title_pairs(files, sources=["travel"]).pairs) == ["travel"]
    assert found.write(tmp_path / "pairs.jsonl") == 2
    rows = read_rows(find_set(str(tmp_path / "pairs.jsonl")), "train", "")
    assert rows.triplets == [one for row in found.pairs.values() for one in row]


def test_a_title_at_the_head_of_its_body_is_cut_off(tmp_path: Path) -> None:
    found = title_pairs(documents(tmp_path, f"母亲河的由来\n母亲河的由来：{BODY}", f"杭州游记\n杭州游记\n{OTHER}"))
    assert [one.positive for one in found.pairs["news"]] == [BODY, OTHER]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BODY, "one line"),
        (f"黄河\n{BODY}", "first line too short or too long"),
        (f"{'河' * 65}\n{BODY}", "first line too short or too long"),
        (f"黄河自西向东流，\n{BODY}", "first line is no title"),
        (f"黄河很长。它在北方\n{BODY}", "first line is no title"),
        (f"男：你去过黄河吗\n{BODY}", "first line is no title"),
        ("母亲河的由来\n黄河发源于青藏高原。", "body too short, or in short lines"),
        ("母亲河的由来\n" + "\n".join(["去过黄河吗", "没有去过"] * 10), "body too short, or in short lines"),
        (f"母亲河的由来\n{BODY}这就是母亲河（的）由来。", "title stands in the body"),
    ],
)
def test_what_is_no_pair_is_counted_under_its_reason(tmp_path: Path, text: str, reason: str) -> None:
    found = title_pairs(documents(tmp_path, text, f"杭州游记\n{OTHER}"))
    assert found.dropped == {"news": {reason: 1}}
    assert [one.anchor for one in found.pairs["news"]] == ["杭州游记"]


def test_what_comes_twice_and_what_an_evaluation_holds_is_left_out(tmp_path: Path) -> None:
    third = OTHER.replace("西湖", "东湖").replace("杭州", "武汉")
    files = documents(
        tmp_path,
        f"本刊简介\n{BODY}",
        f"本刊 简介\n{OTHER}",
        f"一则消息\n{third}",
        f"两则消息\n{third}!",
        f"武昌游记\n{third}水",
    )
    found = title_pairs(files, evaluation={"dureader": [third + "水。"]}, similarity=1.0)
    assert found.pairs == {}
    assert found.dropped["news"] == {
        "title of several documents": 2,
        "body that comes twice": 2,
        "holds a text of the evaluation": 1,
    }
    near = title_pairs(documents(tmp_path, f"杭州游记\n{OTHER}水"), evaluation={"dureader": [OTHER]})
    assert "杭州游记" not in [one.anchor for one in near.pairs["news"]]
    assert near.dropped["news"]["holds a text of the evaluation"] >= 1


def test_a_long_body_is_cut_and_a_corpus_without_titles_is_refused(tmp_path: Path) -> None:
    assert len(title_pairs(documents(tmp_path, f"母亲河的由来\n{BODY * 40}")).pairs["news"][0].positive) == 1_000
    with pytest.raises(ValueError, match="no document of .*corpus.jsonl begins with a title"):
        title_pairs(documents(tmp_path, f"母亲河的由来\n{BODY}"), sources=["none"])
