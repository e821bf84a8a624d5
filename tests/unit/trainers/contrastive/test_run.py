"""Contrastive training: losses equal the library's plain one, stages are kept, resumed and refused, data never mix."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from chinese_modernbert.evaluation.retrieval.reading import read_retrieval_task
from chinese_modernbert.evaluation.sentences.files import ReadRows, ScoredPair, Triplet
from chinese_modernbert.evaluation.sentences.scores import SentenceScores
from chinese_modernbert.runtime.files import model_fingerprint
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.contrastive import similarity_judge
from chinese_modernbert.trainers.contrastive.arguments import ContrastiveArguments
from chinese_modernbert.trainers.contrastive.datasets import (
    NamedRows,
    read_named,
    stage_datasets,
    texts_of,
    without_leaks,
)
from chinese_modernbert.trainers.contrastive.kinds.dense import DenseKind
from chinese_modernbert.trainers.contrastive.mining import mine
from chinese_modernbert.trainers.contrastive.models import load_encoder
from chinese_modernbert.trainers.contrastive.options import ContrastiveStage
from chinese_modernbert.trainers.contrastive.run import check_arguments, run_contrastive
from chinese_modernbert.trainers.contrastive.similarity_judge import SimilarityJudge
from chinese_modernbert.trainers.contrastive.trainer import ContrastiveTrainer, build_loss
from chinese_modernbert.trainers.leakage import LeakageReport
from reference.tiny_bert import write_tiny_bert
from reference.tiny_checkpoint import write_tiny_checkpoint

THINGS = "虎狮熊猫狗马牛羊鸡鸭鱼鸟花草树木山水风云"


@pytest.fixture
def settings(checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of a short run, with its rows written to files."""
    triplets = [
        {"anchor": f"{a}在哪里", "positive": f"哪里有{a}", "negative": f"{b}很大"}
        for a, b in zip(THINGS, THINGS[1:], strict=False)
    ]
    pairs = [
        {"sentence1": f"{a}跑得快", "sentence2": f"{a if n % 2 else b}跑得很快", "score": n % 2}
        for n, (a, b) in enumerate(zip(THINGS, THINGS[1:], strict=False))
    ]
    held = [{**pair, "sentence1": pair["sentence1"].replace("快", "慢")} for pair in pairs]
    held = [{**pair, "sentence2": pair["sentence2"].replace("快", "慢")} for pair in held]
    for name, rows in (("triplets", triplets), ("pairs", pairs), ("held", held)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {
        "model": str(checkpoint),
        "data": str(tmp_path),
        "stages": [
            {"data": [str(tmp_path / "triplets.jsonl")], "batch_size": 8},
            {"data": [str(tmp_path / "pairs.jsonl")], "loss": "cosent", "batch_size": 8},
        ],
        "evaluation": [str(tmp_path / "held.jsonl")],
        "output_dir": str(tmp_path / "run"),
        "bootstrap_resamples": 10,
        "baselines": False,
        "leakage_similarity": 1.0,
        "learning_rate": 1e-3,
        "use_cpu": True,
        "report_to": "none",
    }


def arguments(settings: dict[str, Any], **changes: Any) -> ContrastiveArguments:
    return load_recipe([ContrastiveArguments], None, {**settings, **changes})[0]


def gradients(
    model: SentenceTransformer, loss: torch.nn.Module, columns: list[list[str]]
) -> tuple[float, torch.Tensor]:
    """Return a loss and all gradients in one vector."""
    model.zero_grad()
    features = [{name: value for name, value in model.preprocess(texts).items()} for texts in columns]
    value = loss(features, torch.zeros(len(columns[0])))
    value.backward()
    return float(value), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("negatives", [0, 1])
def test_cached_gradients_equal_the_plain_loss_of_the_library(settings: dict[str, Any], negatives: int) -> None:
    plain_arguments, cached_arguments = arguments(settings), arguments(settings, cached_batch_size=16)
    model = load_encoder(plain_arguments.model, plain_arguments)
    random = np.random.default_rng(0)
    columns = [["".join(random.choice(list(THINGS), 6)) for _ in range(64)] for _ in range(2 + negatives)]
    names = ["anchor", "positive", "negative_1"][: 2 + negatives]
    library = MultipleNegativesRankingLoss(
        model, 20.0, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    expected, direction = gradients(model, library, columns)
    for given in (plain_arguments, cached_arguments):
        value, found = gradients(model, build_loss(model, given, names), columns)
        assert value == pytest.approx(expected, abs=1e-5)
        assert torch.allclose(found, direction, atol=1e-5)


def test_padding_is_no_part_of_the_mean(settings: dict[str, Any]) -> None:
    model = load_encoder(settings["model"], arguments(settings))
    alone = model.encode(["老虎"])
    together = model.encode(["老虎", "山" * 40])
    assert together[0] == pytest.approx(alone[0], abs=1e-5)


def test_stages_are_trained_scored_and_kept_and_a_second_run_repeats_nothing(settings: dict[str, Any]) -> None:
    output = run_contrastive(arguments(settings))
    scores = [SentenceScores.load(output / f"stage-{n}" / "scores.json") for n in range(3)]
    assert all("held:test" in one.similarity for one in scores)
    assert scores[1].similarity["held:test"].cosines != pytest.approx(scores[0].similarity["held:test"].cosines)
    assert set(scores[2].gains_over(scores[0], 10)) == {"held:test"}
    final = SentenceTransformer(str(output / "final"))
    assert final.encode(["老虎"]).shape == (1, model_size(settings))
    before = (output / "stage-1" / "scores.json").stat().st_mtime_ns
    run_contrastive(arguments(settings))
    assert (output / "stage-1" / "scores.json").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match=r"trained with other settings: temperature was 0\.05, is 0\.1;"):
        run_contrastive(arguments(settings, temperature=0.1))


def model_size(settings: dict[str, Any]) -> int:
    return json.loads((Path(settings["model"]) / "config.json").read_text())["hidden_size"]


def test_a_stage_that_was_cut_off_is_done_again(settings: dict[str, Any]) -> None:
    output = run_contrastive(arguments(settings))
    expected = SentenceScores.load(output / "stage-2" / "scores.json").similarity["held:test"].cosines
    (output / "stage-2" / "scores.json").unlink()
    run_contrastive(arguments(settings))
    found = SentenceScores.load(output / "stage-2" / "scores.json").similarity["held:test"].cosines
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_stage_does_not_stay_when_the_one_before_was_trained_again(settings: dict[str, Any]) -> None:
    output = run_contrastive(arguments(settings, max_steps=1))
    weights = output / "stage-1" / "model" / "model.safetensors"
    save_file({name: value * 1.5 for name, value in load_file(weights).items()}, weights, {"format": "pt"})
    with pytest.raises(FileExistsError, match="stage-2 was trained with other settings: begins_with was"):
        run_contrastive(arguments(settings, max_steps=1))


def test_a_record_that_is_damaged_is_named(settings: dict[str, Any]) -> None:
    output = run_contrastive(arguments(settings, stages=[]))
    (output / "stage-0" / "stage.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"stage-0/stage.json is not JSON .*; delete .*stage-0 to train it again"):
        run_contrastive(arguments(settings, stages=[]))


def test_a_stage_whose_weights_were_ruined_is_not_kept(settings: dict[str, Any]) -> None:
    ruined = {**settings["stages"][0], "learning_rate": 1e38}
    with pytest.raises(ValueError, match=r"stage-1: weights are not finite \(.*\), so nothing is saved; lower"):
        run_contrastive(arguments(settings, stages=[ruined], warmup_steps=0, optim="sgd", max_grad_norm=0.0))
    output = Path(settings["output_dir"])
    assert not (output / "stage-1" / "model").exists() and not (output / "final").exists()


def test_an_adapter_trains_and_is_merged(settings: dict[str, Any]) -> None:
    stages = settings["stages"][:1]
    output = run_contrastive(arguments(settings, stages=stages, lora_rank=4))
    names = {name for name, _ in SentenceTransformer(str(output / "final")).named_parameters()}
    assert not any("lora" in name for name in names)


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_a_stage_leaves_the_average_with_the_weights_that_it_began_with(
    lora_rank: int, settings: dict[str, Any], tmp_path: Path
) -> None:
    def weights(folder: Path) -> dict[str, torch.Tensor]:
        return load_file(folder / "model" / "model.safetensors")

    stage = settings["stages"][0]
    plain, averaged = (
        run_contrastive(arguments(settings, stages=[one], lora_rank=lora_rank, output_dir=str(tmp_path / name)))
        for name, one in (("plain", stage), ("averaged", {**stage, "average_with_start": 0.25}))
    )
    start, trained, given = weights(plain / "stage-0"), weights(plain / "stage-1"), weights(averaged / "stage-1")
    assert max(float((trained[name] - start[name]).abs().max()) for name in start) > 1e-3
    for name in start:
        torch.testing.assert_close(given[name], 0.25 * start[name] + 0.75 * trained[name], rtol=0, atol=1e-6)


def test_texts_of_the_evaluation_are_refused_or_dropped(settings: dict[str, Any]) -> None:
    leaking = {**settings, "evaluation": [settings["stages"][1]["data"][0]]}
    with pytest.raises(ValueError, match=r"pairs:train and pairs:test share \d+ exact; leakage: drop"):
        run_contrastive(arguments(leaking))
    with pytest.raises(ValueError, match="no scored pair"):
        run_contrastive(arguments(leaking, leakage="drop"))


RICH = [Triplet("甲", "乙", ("丙", "丁")), Triplet("子", "丑", ("寅", "卯"))]
POOR = [Triplet("戊", "己"), Triplet("庚", "辛", ("壬",))]


def parted(triplets: list[Triplet], fewest: int = 2) -> dict[str, Dataset]:
    stage = ContrastiveStage(["x"], hard_negatives=2)
    return stage_datasets([NamedRows("x", ReadRows([], triplets))], stage, 0, list, fewest)


def test_rows_with_too_few_negatives_make_a_set_of_their_own() -> None:
    found = parted([*RICH, *POOR])
    assert {tuple(row.values()) for row in found["x with negatives"]} == {tuple("甲乙丙丁"), tuple("子丑寅卯")}
    assert sorted(found["x"]["anchor"]) == ["庚", "戊"] and found["x"].column_names == ["anchor", "positive"]


def test_a_set_that_makes_no_batch_is_left_out_or_goes_with_the_others_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert list(parted([*RICH, POOR[0]])) == ["x with negatives"]
    assert caplog.messages[-1] == "x: 1 rows with fewer than 2 negatives make no batch; they are left out"
    (found,) = parted([*POOR, RICH[0]]).values()
    assert len(found) == 3 and found.column_names == ["anchor", "positive"]
    assert caplog.messages[-1] == "x: 1 rows with 2 negatives make no batch; all go without"
    parted(POOR)
    assert caplog.messages[-1] == "x: 0 rows with 2 negatives make no batch; all go without"
    assert list(parted([*RICH, *POOR], fewest=3)) == ["x"]  # processes share whole batches


def test_mined_negatives_are_no_positives_of_their_anchor(settings: dict[str, Any]) -> None:
    model = load_encoder(settings["model"], arguments(settings))
    triplets = [Triplet(f"{a}在哪里", f"哪里有{a}") for a in THINGS] + [
        Triplet(f"{THINGS[0]}在哪里", f"哪里有{THINGS[1]}")
    ]
    mined = mine(triplets, model, 2, margin=0.0)
    positives: dict[str, set[str]] = {}
    for triplet in triplets:
        positives.setdefault(triplet.anchor, set()).add(triplet.positive)
    assert any(triplet.negatives for triplet in mined)
    assert all(
        len(triplet.negatives) <= 2 and not positives[triplet.anchor] & set(triplet.negatives) for triplet in mined
    )


def test_leaking_rows_go_and_a_leaking_negative_goes_alone() -> None:
    rows = ReadRows([ScoredPair("甲", "乙", 1)], [Triplet("丙", "丁", ("甲", "戊")), Triplet("甲", "己")])
    kept = without_leaks([NamedRows("x", rows)], LeakageReport({"甲"}))[0].rows
    assert kept.pairs == [] and kept.triplets == [Triplet("丙", "丁", ("戊",))]
    assert set(texts_of([NamedRows("x", rows)])["x"]) == set("甲乙丙丁戊己")


def test_a_run_that_leakage_leaves_one_row_without_its_negative_ends(settings: dict[str, Any], tmp_path: Path) -> None:
    """One triplet loses its negative and would be a set of one row, which makes no batch."""
    rows = (tmp_path / "triplets.jsonl").read_text(encoding="utf-8").splitlines()
    leaked = {
        **json.loads(rows[0]),
        "negative": json.loads((tmp_path / "held.jsonl").read_text("utf-8").split("\n")[0])["sentence1"],
    }
    (tmp_path / "triplets.jsonl").write_text("\n".join([json.dumps(leaked), *rows[1:]]), encoding="utf-8")
    output = run_contrastive(arguments(settings, stages=settings["stages"][:1], leakage="drop"))
    report = (output / "report.md").read_text(encoding="utf-8")
    assert "- leakage: triplets:train and held:test share 1 exact; leakage: drop" in report
    assert f"- stage 1: triplets:train with negatives {len(rows) - 1} rows" in report


def test_vectors_that_were_trained_to_be_cut_are_scored_at_every_size(settings: dict[str, Any]) -> None:
    sizes = {"matryoshka_sizes": [8, 16, model_size(settings)], "stages": settings["stages"][:1]}
    output = run_contrastive(arguments(settings, **sizes))
    rows = {row["name"]: row for row in json.loads((output / "report.json").read_text("utf-8"))["encoders"]}
    last = "stage 1, in_batch_negatives"
    assert list(rows) == ["before training", f"{last}, 16 dimensions", f"{last}, 8 dimensions", last]
    pairs = [json.loads(line) for line in Path(settings["evaluation"][0]).read_text("utf-8").splitlines()]
    vectors = [
        SentenceTransformer(str(output / "final"), truncate_dim=8).encode([pair[name] for pair in pairs])
        for name in ("sentence1", "sentence2")
    ]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(*vectors, strict=True)]
    expected = spearmanr(cosines, [pair["score"] for pair in pairs]).statistic
    found = rows[f"{last}, 8 dimensions"]["similarity"]["held:test"]["scores"]["spearman"]["value"]
    assert found == pytest.approx(expected, abs=1e-6)
    scored = arguments(settings, **{**sizes, "stages": []}, model=str(output / "final"), output_dir=f"{output}-scored")
    report = (run_contrastive(scored) / "report.md").read_text(encoding="utf-8")
    assert "| before training, 16 dimensions |" in report and "- lr_scheduler_type: linear\n" in report


def test_sizes_that_vectors_do_not_have_are_refused_before_anything_is_scored(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="go beyond the vectors' length"):
        run_contrastive(arguments(settings, matryoshka_sizes=[100_000]))
    assert not (Path(settings["output_dir"]) / "stage-0").exists()


def test_a_run_that_was_scored_on_other_data_is_refused_before_any_work(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    scored = run_contrastive(arguments(settings, stages=[], output_dir=str(tmp_path / "scored")))
    held = Path(settings["evaluation"][0])
    held.write_text("".join(held.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    pairs = {"evaluation": [settings["stages"][1]["data"][0]], "stages": settings["stages"][:1]}
    for changes, message in (
        ({}, "held:test: the two encoders were scored on other pairs"),
        (pairs, "was scored on held:test, of which nothing is scored here; give its model"),
    ):
        with pytest.raises(ValueError, match=message):
            run_contrastive(arguments(settings, **changes, against=[str(scored)]))
    assert not (Path(settings["output_dir"]) / "stage-0").exists()


def test_a_folder_of_more_stages_is_refused_and_an_overwrite_leaves_none_of_them(settings: dict[str, Any]) -> None:
    output = run_contrastive(arguments(settings))
    fewer = {"stages": settings["stages"][:1]}
    with pytest.raises(FileExistsError, match="holds stage-2, and this command has 1 stages"):
        run_contrastive(arguments(settings, **fewer))
    run_contrastive(arguments(settings, **fewer, overwrite=True))
    assert not (output / "stage-2").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "model is not given"),
        ({"data": "", "evaluation": ["stsb:test"]}, "data is not given, the folder of the set 'stsb:test'"),
        ({"model": "no/such"}, "no folder of a checkpoint or release"),
        ({"evaluation": []}, "nothing to evaluate on; give scored pairs with --evaluation .*scored.jsonl"),
        ({"stages": [{"data": []}]}, "a stage has no data"),
        ({"stages": [{"data": ["x"], "loss": "triplet"}]}, "loss"),
        ({"stages": [{"data": ["x"], "batch_size": 1}]}, "leaves no negative"),
        ({"temperature": 0}, "temperature=0"),
        ({"leakage": "ignore"}, "choose refuse, drop or report"),
        ({"pooling": "max"}, "choose mean or cls"),
        ({"baselines": True, "baseline_corpus": ["no/such.txt"]}, "no/such.txt"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(
    settings: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        check_arguments(arguments(settings, **changes), SimilarityJudge)
    assert "\n" not in str(caught.value)


def test_columns_that_no_loss_reads_are_refused(settings: dict[str, Any]) -> None:
    given = arguments(settings, matryoshka_sizes=[100_000])
    model = load_encoder(given.model, given)
    with pytest.raises(ValueError, match="go beyond the vectors' length"):
        build_loss(model, given, ["anchor", "positive"])
    with pytest.raises(ValueError, match="columns left, right are neither"):
        ContrastiveTrainer(model, arguments(settings), {"x": Dataset.from_dict({"left": ["甲"], "right": ["乙"]})})
    with pytest.raises(ValueError, match="has 1 rows; a batch needs at least two"):
        ContrastiveTrainer(model, arguments(settings), {"x": Dataset.from_dict({"anchor": ["甲"], "positive": ["乙"]})})
    with pytest.raises(ValueError, match="is named twice"):
        read_named([settings["evaluation"][0]] * 2, "", "test")


def test_the_report_sets_baselines_and_every_stage_side_by_side(settings: dict[str, Any], tmp_path: Path) -> None:
    changes = {
        "baselines": True,
        "retrieval": [write_passages(tmp_path)],
        "baseline_corpus": [str(write_corpus(tmp_path))],
    }
    output = run_contrastive(arguments(settings, **changes))
    report = json.loads((output / "report.json").read_text("utf-8"))
    assert report["settings"]["weights"] == model_fingerprint(settings["model"])
    rows = report["encoders"]
    stages = ["before training", "stage 1, in_batch_negatives", "stage 2, cosent"]
    assert [row["name"] for row in rows] == ["untrained", "static embeddings", "BM25", *stages]
    assert rows[0]["similarity"]["held:test"]["scores"] != rows[3]["similarity"]["held:test"]["scores"]
    assert set(rows[2]["similarity"]) == {"held:test"} and set(rows[2]["retrieval"]) == {"passages:test"}
    assert 0.5 < rows[2]["similarity"]["held:test"]["scores"]["spearman"]["value"] < 1  # words tell most pairs apart
    assert {"similarity.png", "spectrum.png", "report.md"} < {file.name for file in output.iterdir()}
    kept = (output / "baselines" / "static.json").stat().st_mtime_ns
    run_contrastive(arguments(settings, **changes))
    assert (output / "baselines" / "static.json").stat().st_mtime_ns == kept


def write_passages(folder: Path) -> str:
    rows = [
        {"query": f"{a}在哪里住", "passage": f"{a}住在山上，{b}也在"}
        for a, b in zip(THINGS, reversed(THINGS), strict=True)
    ]
    (folder / "passages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder / "passages.jsonl")


def write_corpus(folder: Path) -> Path:
    random = np.random.default_rng(0)
    letters = list("北京是中国的首都今天气很好我们去公园散步他喜欢读书写字第三届会议在上海举行" + THINGS)
    lines = ["".join(random.choice(letters, 30)) for _ in range(200)]
    (folder / "corpus.txt").write_text("\n\n".join(lines), encoding="utf-8")
    return folder / "corpus.txt"


def test_a_stage_that_can_use_no_row_is_refused_before_the_first_one_trains(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    first, second = settings["stages"]
    with pytest.raises(ValueError, match="triplets:train has no scored pair for cosent; use in_batch_negatives"):
        run_contrastive(arguments(settings, stages=[first, {**second, "data": first["data"]}]))
    changes = {"leakage": "drop", "evaluation": [], "retrieval": first["data"]}
    told = "no positive pair for in_batch_negatives .* rows left out: holds a text of the evaluation.; use cosent"
    with pytest.raises(ValueError, match=told):
        run_contrastive(arguments(settings, **changes))
    assert not list(Path(settings["output_dir"]).glob("stage-*"))


def test_a_set_is_the_same_task_as_in_retrieval(settings: dict[str, Any], tmp_path: Path) -> None:
    rows = [
        ("甲在哪里", "甲在山上", 1.0),
        ("甲在哪里", "甲在海边", 0.6),
        ("乙在哪里", "甲在山上", 0.4),
        ("丙", "丁", 0.0),
    ]
    lines = [json.dumps({"sentence1": a, "sentence2": b, "score": c}, ensure_ascii=False) for a, b, c in rows]
    (tmp_path / "graded.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    name = str(tmp_path / "graded.jsonl")
    judge = SimilarityJudge(arguments(settings, evaluation=[], retrieval=[name]))
    assert judge.retrieval == {"graded:test": read_retrieval_task(name)}
    assert [len(one.passages) for one in judge.retrieval.values()] == [3] and judge.retrieval["graded:test"].grades


def test_without_stages_any_encoder_is_scored_and_another_is_compared_with_it(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    bert = write_tiny_bert(tmp_path / "bert", characters=THINGS + "跑得很慢")
    own = run_contrastive(arguments(settings, stages=settings["stages"][:1]))
    changes = {"stages": [], "output_dir": str(tmp_path / "other")}
    others = {"against": [str(own), settings["model"]]}
    output = run_contrastive(arguments(settings, **changes, model=str(bert), **others))
    rows = json.loads((output / "report.json").read_text("utf-8"))["encoders"]
    assert [row["role"] for row in rows] == ["other", "other", "stage"] and rows[0]["name"].endswith("stage-1")
    trained = json.loads((own / "report.json").read_text("utf-8"))["encoders"][-1]
    assert rows[0]["similarity"]["held:test"]["scores"] == trained["similarity"]["held:test"]["scores"]
    again = run_contrastive(
        arguments(settings, **{**changes, "output_dir": str(tmp_path / "again")}, model=str(own / "final"))
    )
    scored = json.loads((again / "report.json").read_text("utf-8"))["encoders"][-1]["similarity"]["held:test"]
    assert scored["scores"] == trained["similarity"]["held:test"]["scores"]
    with pytest.raises(FileNotFoundError, match="neither an encoder nor a finished stage"):
        run_contrastive(arguments(settings, against=[str(tmp_path)]))


def test_prompts_of_a_folder_stay_unless_others_are_given(settings: dict[str, Any], tmp_path: Path) -> None:
    given = arguments(settings, query_prompt="问题：")
    load_encoder(given.model, given).save(str(tmp_path / "saved"))
    assert load_encoder(tmp_path / "saved", arguments(settings)).prompts["query"] == "问题："
    assert load_encoder(tmp_path / "saved", arguments(settings, query_prompt="问")).prompts["query"] == "问"


def test_a_run_ends_with_the_tasks_of_mteb_that_were_asked_for(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mteb", reason="mteb is not installed")
    from reference.local_mteb_tasks import similarity_task

    pairs = read_named(settings["evaluation"], settings["data"], "test")[0].rows.pairs
    with pytest.raises(ValueError, match="no task or benchmark 'none'"):
        run_contrastive(arguments(settings, mteb=["none"]))
    monkeypatch.setattr(similarity_judge, "named_tasks", lambda names: [similarity_task(name, pairs) for name in names])
    output = run_contrastive(arguments(settings, stages=[], mteb=["OurPairs"]))
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    own = report["encoders"][-1]["similarity"]["held:test"]["scores"]["spearman"]["value"]
    assert report["mteb"]["OurPairs"] == pytest.approx(own, abs=1e-3)
    assert f"| OurPairs | {report['mteb']['OurPairs']:.4f} |" in (output / "report.md").read_text(encoding="utf-8")


def test_code_of_another_model_runs_only_when_it_is_allowed(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = write_tiny_bert(tmp_path / "foreign")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "foreign", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    own = "from transformers import BertConfig, BertModel\n\n\n"
    own += "class Config(BertConfig):\n    model_type = 'foreign'\n\n\n"
    own += "class Model(BertModel):\n    config_class = Config\n"
    (folder / "own.py").write_text(own, encoding="utf-8")
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_encoder(folder, arguments(settings))
    assert load_encoder(folder, arguments(settings, trust_remote_code=True)).encode(["虎"]).shape == (1, 32)


def test_a_second_file_of_the_same_name_is_compared_with_the_evaluation_too(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    held = (tmp_path / "held.jsonl").read_text(encoding="utf-8").split("\n")[0]
    for folder, line in (("a", held), ("b", '{"sentence1": "山高", "sentence2": "水长", "score": 1}')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.jsonl").write_text(f"{line}\n", encoding="utf-8")
    files = [str(tmp_path / folder / "train.jsonl") for folder in ("a", "b")]
    for data in ([[files[0]], [files[1]]], [[files[1]], [files[0]]], [files]):
        stages = [{"data": names, "loss": "cosent"} for names in data]
        with pytest.raises(ValueError, match="training texts occur in the evaluation"):
            run_contrastive(arguments(settings, stages=stages))
    with pytest.raises(ValueError, match="named twice"):
        read_named([files[0], files[0]], tmp_path, "train")
    assert [one.name for one in read_named(files, tmp_path, "train")] == ["train:train", f"{files[1]}:train"]


def test_a_stage_of_other_options_or_other_rows_is_not_taken_for_this_one(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**settings, "stages": settings["stages"][1:], "max_steps": 1}
    run_contrastive(arguments(settings))
    changes = {"weight_decay": 0.9, "lr_scheduler_type": "constant", "gradient_accumulation_steps": 4, "seed": 3}
    for name, value in changes.items():
        with pytest.raises(FileExistsError, match=f"trained with other settings: {name} was"):
            run_contrastive(arguments(settings, **{name: value}))
    rows = (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").split("\n")
    (tmp_path / "pairs.jsonl").write_text("\n".join(rows[1:]), encoding="utf-8")
    with pytest.raises(FileExistsError, match="trained with other settings: rows was"):
        run_contrastive(arguments(settings))


def test_an_encoder_that_was_trained_again_is_scored_again(
    settings: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(checkpoint, tmp_path / "other"))
    settings = {**settings, "stages": [], "against": [str(other)]}
    first = reported(run_contrastive(arguments(settings)), str(other))
    write_tiny_checkpoint(other, num_hidden_layers=2)
    assert reported(run_contrastive(arguments(settings)), str(other)) != first


def reported(output: Path, encoder: str) -> float:
    """Return the Pearson correlation of an encoder as the report has it."""
    rows = json.loads((output / "report.json").read_text(encoding="utf-8"))["encoders"]
    row = next(one for one in rows if one["name"] == encoder)
    return row["similarity"]["held:test"]["scores"]["pearson"]["value"]


def test_prompts_are_part_of_training_as_of_search(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Watched(ContrastiveTrainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            batch = next(iter(self.get_train_dataloader()))
            ids = {name: value[0] for name, value in batch.items() if name.endswith("input_ids")}
            tokenizer: Any = self.model.tokenizer
            seen.extend(f"{name.removesuffix('_input_ids')} {tokenizer.decode(row)}" for name, row in ids.items())
            return super().train(*args, **kwargs)

    monkeypatch.setattr(DenseKind, "trainer", Watched)
    run_contrastive(arguments(settings, query_prompt="问：", document_prompt="文：", max_steps=1))
    found = {text.split(" ")[0]: text for text in seen}
    assert "问：" in found["anchor"]
    assert "文：" in found["positive"] and "文：" in found["negative_1"]
    assert "：" not in found["sentence1"] + found["sentence2"]
