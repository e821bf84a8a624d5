"""Graphs against torch at shapes that the export did not see, and everything that must not become a graph."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from chinese_modernbert import cli, modeling
from chinese_modernbert.hub_release import OnnxOptions, ReleaseArguments, build_release, export_onnx
from chinese_modernbert.hub_release.onnx import files as onnx_files
from chinese_modernbert.hub_release.onnx import graphs as onnx_graphs
from chinese_modernbert.hub_release.onnx.check import (
    GraphFile,
    check_batches,
    expected_outputs,
    graph_file,
    model_batches,
)
from chinese_modernbert.hub_release.onnx.files import exported_files
from chinese_modernbert.hub_release.onnx.graphs import graphs_of
from chinese_modernbert.hub_release.onnx.isolated_check import BARS, Bar, agreement, faults, open_graph, run_graph
from chinese_modernbert.hub_release.sentence_modules import SentenceModules
from chinese_modernbert.hub_release.verification.security import content_faults, name_faults
from chinese_modernbert.hub_release.verification.verify import (
    _changed_files,
    _Reference,
    _run_isolated_onnx,
    _static_checks,
)
from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertModel,
    kernels_chinese_modernbert,
)
from chinese_modernbert.tokenization.loading import load_tokenizer
from reference.tiny_checkpoint import VOCABULARY, write_tiny_checkpoint

WINDOW = 8
SHAPE = (2, 20)
GRAPHS = graphs_of("ChineseModernBertForMaskedLM")
FILES = [graph_file(graph, outputs, precision) for graph, outputs in GRAPHS.items() for precision in ("fp32", "int8")]
EXAMPLE = Path(__file__).parents[4] / "examples" / "onnx_embeddings.py"
# Runs a script where the packages of a training machine cannot be imported.
WITHOUT_TORCH = """
import runpy, sys
for name in ("torch", "transformers", "chinese_modernbert"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A global and a local layer whose attention is far from uniform, so that a wrong mask shows."""
    folder = tmp_path_factory.mktemp("two_layers") / "checkpoint"
    return write_tiny_checkpoint(folder, num_hidden_layers=2, local_attention=2 * WINDOW)


@pytest.fixture(scope="module")
def exported(two_layers: Path) -> Path:
    arguments = ReleaseArguments(
        str(two_layers),
        str(two_layers.parent / "release"),
        onnx=["fp32", "int8"],
        onnx_graphs=list(GRAPHS),
        onnx_shape="2x20",
    )
    return build_release(arguments)


@pytest.fixture
def folder(two_layers: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_layers, tmp_path / "folder"))


@pytest.fixture(scope="module")
def model(two_layers: Path) -> ChineseModernBertForMaskedLM:
    return ChineseModernBertForMaskedLM.from_pretrained(two_layers).eval()


@pytest.fixture
def ready_graphs(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an export of this model take its float32 graphs from the folder, for tests of what comes after them."""

    def load(
        _: ChineseModernBertForMaskedLM, graphs: dict[str, tuple[str, ...]], shape: tuple[int, int] | None, pooling: str
    ) -> dict[str, Any]:
        names = {graph: graph_file(graph, outputs, "fp32", shape).name for graph, outputs in graphs.items()}
        return {graph: onnx.load(exported / "onnx" / name) for graph, name in names.items()}

    monkeypatch.setattr(onnx_files, "export_graphs", load)


def padded_batch(batch: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and a mask of rows that get shorter by a third."""
    ids = np.random.default_rng(length).integers(5, VOCABULARY, (batch, length))
    lengths = [max(1, length - row * (1 + length // 3)) for row in range(batch)]
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int64)
    return ids * mask, mask


@torch.no_grad()
def outputs_by_hand(
    model: ChineseModernBertForMaskedLM, outputs: tuple[str, ...], ids: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
    """Each text alone, without padding; padding of the result is zero, or what the head makes of zero."""
    results = []
    for row, is_token in zip(torch.from_numpy(ids), torch.from_numpy(mask).bool(), strict=True):
        states = torch.zeros(len(row), model.config.hidden_size)
        states[is_token] = model.model(input_ids=row[is_token].unsqueeze(0)).last_hidden_state[0]
        mean = states.sum(dim=0) / is_token.sum()
        logits = model.decoder(model.head(states))
        results.append({"last_hidden_state": states, "logits": logits, "sentence_embedding": mean / mean.norm()})
    return {name: torch.stack([one[name] for one in results]).numpy() for name in outputs}


def message(folder: Path, error: type[Exception], *options: Any, **more: Any) -> str:
    """Export, expect an error and return its one line; the folder may not change."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(error) as caught:
        export_onnx(folder, OnnxOptions(*options), **more)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not list(folder.glob(".onnx*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_graphs_of_every_kind_have_names_and_contents_of_a_release_and_know_no_path(exported: Path) -> None:
    assert name_faults(exported) == content_faults(exported) == []
    for path in (exported / "onnx").glob("*.onnx"):
        content = path.read_bytes()
        assert b"site-packages" not in content and str(Path(__file__).parents[4]).encode() not in content


def test_names_are_those_of_the_hub_and_tell_graph_shape_and_precision(exported: Path) -> None:
    names = {path.name for path in (exported / "onnx").iterdir()} - {"export.json"}
    stems = [f"model{graph}{shape}" for graph in ("", "_encoder", "_embedding") for shape in ("", "_2x20")]
    assert names == {f"{stem}{kind}.onnx" for stem in stems for kind in ("", "_quantized")}
    assert {file.name for file in exported_files(exported)} == names
    record = json.loads((exported / "onnx" / "export.json").read_text())
    assert all(row["lowest_cosine"] >= BARS[row["precision"]].cosine for row in record["files"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, WINDOW + 1), (3, WINDOW + 2), (5, 70), (2, 128)])
def test_a_graph_gives_the_numbers_of_torch_at_every_shape(
    file: GraphFile, batch: int, length: int, exported: Path, model: ChineseModernBertForMaskedLM
) -> None:
    ids, mask = padded_batch(batch, length)
    given = run_graph(open_graph(exported / "onnx" / file.name, threads=1), ids, mask)
    expected = outputs_by_hand(model, file.outputs, ids, mask)
    assert list(given) == list(expected)  # fastembed takes the first output, transformers.js both by name
    for name, numbers in given.items():
        if file.precision == "fp32":
            np.testing.assert_allclose(numbers, expected[name], atol=1e-4, rtol=1e-4)
        else:
            assert agreement(numbers, expected[name], mask).cosine > 0.995


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_fixed_graph_has_sizes_and_no_arithmetic_of_shapes(
    graph: str, exported: Path, model: ChineseModernBertForMaskedLM
) -> None:
    path = exported / "onnx" / graph_file(graph, GRAPHS[graph], "fp32", SHAPE).name
    loaded = onnx.load(path)
    sizes = [[size.dim_value for size in value.type.tensor_type.shape.dim] for value in loaded.graph.input]
    assert sizes == [list(SHAPE), list(SHAPE)]
    assert not {node.op_type for node in loaded.graph.node} & {"Shape", "Range", "ConstantOfShape"}
    ids, mask = padded_batch(*SHAPE)
    given = run_graph(open_graph(path, threads=1), ids, mask)
    for name, expected in outputs_by_hand(model, GRAPHS[graph], ids, mask).items():
        np.testing.assert_allclose(given[name], expected, atol=1e-4, rtol=1e-4)


def test_a_row_without_any_token_is_zero_and_no_nan(exported: Path) -> None:
    ids, mask = padded_batch(2, 30)
    mask[1] = 0
    for file in FILES:
        given = run_graph(open_graph(exported / "onnx" / file.name, threads=1), ids, mask)
        assert all(np.isfinite(numbers).all() for numbers in given.values())
    [embedding] = run_graph(open_graph(exported / "onnx" / "model_embedding.onnx", threads=1), ids, mask).values()
    assert not embedding[1].any() and np.linalg.norm(embedding[0]) == pytest.approx(1.0, abs=1e-6)


def test_no_file_tells_about_the_machine_it_was_made_on(exported: Path) -> None:
    for path in (exported / "onnx").iterdir():
        content = path.read_bytes()
        assert not any(word in content for word in (b".py", b"/usr", b"/home", b"/root", b"/tmp", b"torch"))


def test_tied_matrix_is_stored_once_in_float32_and_int8_is_a_quarter_without_float_matrices(exported: Path) -> None:
    def matrices(name: str) -> dict[str, list[int]]:
        weights = onnx.load(exported / "onnx" / name).graph.initializer
        found = [(numpy_helper.to_array(weight).dtype.name, list(weight.dims)) for weight in weights]
        return {kind: sorted(dims) for kind, dims in found if len(dims) == 2 and min(dims) > 2}

    weights = onnx.load(exported / "onnx" / "model.onnx").graph.initializer
    assert sum(VOCABULARY in weight.dims for weight in weights) == 2  # the matrix and the decoder's bias
    for name in ("model_quantized.onnx", "model_encoder_quantized.onnx"):
        assert set(matrices(name)) == {"int8"}


def test_embeddings_are_quantised_by_row(exported: Path, model: ChineseModernBertForMaskedLM) -> None:
    weights = {
        weight.name: weight for weight in onnx.load(exported / "onnx" / "model_quantized.onnx").graph.initializer
    }
    name = next(name.removesuffix("_int8") for name in weights if name.endswith("_int8"))
    rows, scales = (numpy_helper.to_array(weights[f"{name}_{part}"]) for part in ("int8", "scales"))
    expected = model.get_input_embeddings().weight.detach().numpy()
    assert rows.dtype == np.int8 and scales.shape == (VOCABULARY, 1)
    assert (np.abs(rows * scales - expected) <= scales / 2 + 1e-7).all()


def test_a_graph_without_the_window_is_refused_and_leaves_the_earlier_export(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = Path(shutil.copytree(exported, tmp_path / "release"))
    right = kernels_chinese_modernbert.visible
    monkeypatch.setattr(kernels_chinese_modernbert, "visible", lambda layout, window: right(layout, None))
    text = message(release, ValueError, ("fp32",), ("encoder",), overwrite=True)
    assert text.startswith("onnx/model_encoder.onnx does not give the model's numbers (")


@pytest.mark.usefixtures("ready_graphs")
def test_int8_that_misses_its_bar_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BARS, "int8", Bar(0.9999999, 1.0))
    text = message(folder, ValueError, ("fp32", "int8"), ("embedding",))
    assert "onnx/model_embedding_quantized.onnx" in text and "0.9999999 is needed" in text
    assert not (folder / "onnx").exists()


def test_own_texts_are_what_is_compared(two_layers: Path) -> None:
    tokenizer = load_tokenizer(two_layers)
    texts = ["北京是中国的首都。"] * 9 + ["好"]
    batches = check_batches(tokenizer, longest=60, texts=texts)
    assert [batch.input_ids.shape[0] for batch in batches] == [8, 2, 1, 1]
    assert batches[2].input_ids[0].tolist() == tokenizer("好")["input_ids"]
    default = check_batches(tokenizer, longest=60)
    assert [batch.input_ids.shape for batch in default] == [(6, 60), (1, 3), (1, 60)]
    assert (default[0].attention_mask.sum(axis=1) < 60).any()
    assert check_batches(tokenizer, longest=60, shape=(2, 7))[0].input_ids.shape == (2, 7)


@pytest.mark.usefixtures("ready_graphs")
def test_an_earlier_export_is_replaced_only_when_asked_and_the_manifest_follows(exported: Path, tmp_path: Path) -> None:
    release = Path(shutil.copytree(exported, tmp_path / "release"))
    assert "not empty" in message(release, FileExistsError, ("fp32",), ("embedding",))
    export_onnx(release, OnnxOptions(("fp32",), ("embedding",)), overwrite=True)
    assert {path.name for path in (release / "onnx").iterdir()} == {"model_embedding.onnx", "export.json"}
    assert _changed_files(release) == []
    names = json.loads((release / "release_manifest.json").read_text())["files"]
    assert {name for name in names if "onnx" in name} == {"onnx/model_embedding.onnx", "onnx/export.json"}
    before = (exported / "onnx" / "model_embedding.onnx").read_bytes()
    assert (release / "onnx" / "model_embedding.onnx").read_bytes() == before


@pytest.mark.usefixtures("ready_graphs")
def test_a_sentence_encoder_without_head_has_the_graphs_of_one(folder: Path) -> None:
    ChineseModernBertModel.from_pretrained(folder).save_pretrained(folder)
    text = message(folder, ValueError, ("fp32",), ("encoder",))
    assert "onnx_graphs='encoder' is none of ChineseModernBertModel, which has model, embedding" in text
    written = export_onnx(folder, OnnxOptions(("fp32",), ("embedding",)))
    assert (written / "model_embedding.onnx").is_file()


@pytest.mark.parametrize(
    ("head", "outputs", "labels"),
    [
        ("Model", ("last_hidden_state",), None),
        ("ForSequenceClassification", ("logits",), 3),
        ("ForTokenClassification", ("logits",), 5),
        ("ForQuestionAnswering", ("start_logits", "end_logits"), None),
        ("ForMultipleChoice", ("logits",), None),
    ],
)
def test_a_fine_tuned_model_has_the_graph_of_its_head(
    head: str, outputs: tuple[str, ...], labels: int | None, folder: Path
) -> None:
    torch.manual_seed(0)
    fields = {} if labels is None else {"num_labels": labels}
    name = f"ChineseModernBert{head}"
    getattr(modeling, name).from_pretrained(folder, **fields).save_pretrained(folder)
    written = export_onnx(folder, OnnxOptions(("fp32", "int8"), ("model",)))  # compares with torch itself
    assert {path.name for path in written.iterdir()} == {"model.onnx", "model_quantized.onnx", "export.json"}
    tokenizer = load_tokenizer(folder)
    model: Any = getattr(modeling, name).from_pretrained(folder).eval()
    session = open_graph(written / "model.onnx", threads=1)
    assert tuple(output.name for output in session.get_outputs()) == outputs
    for batch in model_batches(model, tokenizer):
        given = run_graph(session, *batch)
        for output, expected in expected_outputs(model, outputs, batch, SentenceModules()).items():
            assert given[output].shape == expected.shape
            real = batch.attention_mask.astype(bool)
            is_of_tokens = head in ("Model", "ForTokenClassification", "ForQuestionAnswering")
            parts = [numbers[real] if is_of_tokens else numbers for numbers in (given[output], expected)]
            np.testing.assert_allclose(*parts, atol=1e-4, rtol=1e-4)


def test_the_embedding_is_pooled_as_the_folder_says(folder: Path, tmp_path: Path) -> None:
    ChineseModernBertModel.from_pretrained(folder).save_pretrained(folder)
    SentenceModules(pooling="cls").write(
        folder, ChineseModernBertConfig.from_pretrained(folder), load_tokenizer(folder)
    )
    written = export_onnx(folder, OnnxOptions(("fp32",), ("embedding",)))
    model = ChineseModernBertModel.from_pretrained(folder).eval()
    ids, mask = padded_batch(3, 20)
    [given] = run_graph(open_graph(written / "model_embedding.onnx", threads=1), ids, mask).values()
    with torch.no_grad():
        first = model(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state[:, 0]
    np.testing.assert_allclose(given, torch.nn.functional.normalize(first, dim=-1).numpy(), atol=1e-5)


def test_layer_norm_biases_untied_in_bfloat16_within_the_bar(tmp_path: Path) -> None:
    fields = {"norm_type": "layernorm", "norm_bias": True, "attention_bias": True, "mlp_bias": True}
    checkpoint = write_tiny_checkpoint(
        tmp_path / "checkpoint", num_hidden_layers=2, tie_word_embeddings=False, **fields
    )
    arguments = ReleaseArguments(str(checkpoint), str(tmp_path / "release"), dtype="bfloat16", onnx=["fp32", "int8"])
    assert len(exported_files(build_release(arguments))) == 4


def test_folder_without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer.json" in message(folder, FileNotFoundError)


def test_half_written_folder(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    assert "not a whole safetensors file" in message(folder, ValueError)
    weights.unlink()
    assert "has no model.safetensors" in message(folder, FileNotFoundError)
    (folder / "config.json").unlink()
    assert "has no config.json" in message(folder, FileNotFoundError)


@pytest.mark.usefixtures("ready_graphs")
def test_weights_that_are_not_numbers(folder: Path) -> None:
    broken = ChineseModernBertForMaskedLM.from_pretrained(folder)
    broken.model.final_norm.weight.data[0] = float("nan")
    broken.save_pretrained(folder)
    assert "NaN" in message(folder, ValueError)


def test_missing_packages_are_named_with_the_extra(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)  # pyright: ignore[reportArgumentType]
    expected = "onnx, onnxruntime, onnxscript are missing for ONNX graphs: pip install 'chinese-modernbert[onnx]'"
    assert message(folder, ImportError) == expected
    words = ["release", "--model", str(folder), "--output_dir", str(tmp_path / "out"), "--onnx", "int8"]
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f"chinese-modernbert: error: {expected}\n"
    assert not (tmp_path / "out").exists()


def test_weights_beyond_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graphs, "LARGEST_GRAPH_BYTES", 1000)
    assert "one graph holds 1,000" in message(folder, ValueError)


def test_a_shape_beyond_the_positions(folder: Path) -> None:
    assert "max_position_embeddings=128" in message(folder, ValueError, ("fp32",), ("encoder",), (1, 129))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("fp16",), "onnx='fp16' is not offered; use one or more of fp32,int8"),
        (("True",), "onnx='True'"),
        (("fp32", "encoder,pooler"), "use one or more of model,encoder,embedding"),
        (("fp32", "encoder", "8*128"), "write BATCHxLENGTH, such as 8x128"),
        (("fp32", "encoder", "0x128"), "has a size below 1"),
    ],
)
def test_wrong_options(given: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ValueError, match="onnx") as caught:
        OnnxOptions.parse(*given)
    assert expected in str(caught.value)
    assert OnnxOptions.parse("int8, fp32,int8", shape="8x128") == OnnxOptions(("int8", "fp32"), shape=(8, 128))


def test_a_process_without_torch_gets_the_numbers_and_names_every_broken_graph(exported: Path, tmp_path: Path) -> None:
    release = Path(shutil.copytree(exported, tmp_path / "release"))
    assert not [check for check in _static_checks(release) if check.outcome == "fail"]
    reference = _Reference(release, release)
    checks = _run_isolated_onnx(release, reference, sys.executable)
    assert len(checks) == 12 and {check.outcome for check in checks} == {"pass"}, checks
    graphs = release / "onnx"
    shutil.copyfile(graphs / "model_embedding_quantized.onnx", graphs / "model_embedding.onnx")
    (graphs / "model_quantized.onnx").write_bytes((graphs / "model_quantized.onnx").read_bytes()[:-100])
    (graphs / "model_2x20.onnx").unlink()
    shutil.copyfile(graphs / "model_embedding_2x20.onnx", graphs / "model_encoder_2x20.onnx")
    failed = {check.name: check.detail for check in _run_isolated_onnx(release, reference, sys.executable)}
    failed = {name.rsplit("/")[-1]: detail for name, detail in failed.items() if detail and "cosine 0.99" not in detail}
    broken = {"model_embedding.onnx", "model_quantized.onnx", "model_2x20.onnx", "model_encoder_2x20.onnx"}
    assert broken <= set(failed)
    assert "the graph gives sentence_embedding, expected are last_hidden_state" in failed["model_encoder_2x20.onnx"]
    assert "is allowed" in failed["model_embedding.onnx"]
    (graphs / "export.json").write_text('{"files": [{}]}')
    [check] = _run_isolated_onnx(release, reference, sys.executable)
    assert check.outcome == "fail" and "export again" in check.detail
    shutil.rmtree(graphs)
    assert _run_isolated_onnx(release, reference, sys.executable) == []


def test_agreement_is_the_worst_text_without_padding() -> None:
    expected = np.ones((2, 3, 4), dtype=np.float32)
    given, mask = expected.copy(), np.array([[1, 1, 1], [1, 0, 0]])
    given[1, 1:] = 99.0
    assert agreement(given, expected, mask) == pytest.approx((1.0, 0.0))
    given[1, 0, 0] = 0.0
    assert agreement(given, expected, mask) == pytest.approx((3**0.5 / 2, 1.0))
    assert agreement(given[:, :2], expected, mask) == (0.0, float("inf"))
    given[0, 0, 0] = np.nan
    assert agreement(given, expected, mask) == (0.0, float("inf"))


def test_a_wrong_mask_that_hides_from_the_cosine_misses_the_bar_of_differences() -> None:
    expected = np.ones((1, 1, 1000), dtype=np.float32)
    given = expected.copy()
    given[0, 0, 0] += 0.01
    reached = agreement(given, expected, np.ones((1, 1), dtype=np.int64))
    assert reached.cosine > BARS["fp32"].cosine
    assert "of the largest number" in faults(reached, "fp32") and faults(reached, "int8") == ""


@pytest.mark.parametrize("name", ["model_embedding.onnx", "model_embedding_quantized.onnx"])
def test_the_example_runs_without_torch_and_gives_the_models_embeddings(
    name: str, exported: Path, model: ChineseModernBertForMaskedLM, tmp_path: Path
) -> None:
    texts = ["北京是中国的首都。", "今天", "今天天气很好，我们去公园散步。" * 20]
    release = Path(shutil.copytree(exported, tmp_path / "release"))
    shutil.copyfile(exported / "onnx" / name, release / "onnx" / "model_embedding.onnx")
    command = [sys.executable, "-P", "-c", WITHOUT_TORCH, str(EXAMPLE), str(release), *texts]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    given = [float(line.split("  ")[0]) for line in process.stdout.splitlines()]
    tokenizer = load_tokenizer(release)
    rows = [np.array([tokenizer(text, truncation=True, max_length=128)["input_ids"]]) for text in texts]
    embedded = [outputs_by_hand(model, ("sentence_embedding",), row, np.ones_like(row)) for row in rows]
    expected = np.concatenate([one["sentence_embedding"] for one in embedded])
    assert given == pytest.approx(expected @ expected[0], abs=2e-4 if name == "model_embedding.onnx" else 0.02)


def test_graphs_of_an_earlier_release_are_still_read_and_checked(exported: Path, tmp_path: Path) -> None:
    """Then the encoder was `model.onnx`, the logits had a file of their own, and int8 was called `qint8`."""
    release = Path(shutil.copytree(exported, tmp_path / "release"))
    graphs = release / "onnx"
    shutil.rmtree(graphs)
    graphs.mkdir()
    shutil.copyfile(exported / "onnx" / "model_encoder.onnx", graphs / "model.onnx")
    shutil.copyfile(exported / "onnx" / "model_embedding_quantized.onnx", graphs / "model_embedding_qint8.onnx")
    rows = [
        {"file": "model.onnx", "graph": "encoder", "precision": "fp32", "shape": None, "output": "last_hidden_state"},
        {"file": "model_embedding_qint8.onnx", "graph": "embedding", "precision": "int8", "shape": None},
    ]
    (graphs / "export.json").write_text(json.dumps({"files": rows}))
    checks = _run_isolated_onnx(release, _Reference(release, release), sys.executable)
    assert [check.outcome for check in checks] == ["pass", "pass"], checks
    (graphs / "export.json").write_text(json.dumps({"files": [{**rows[0], "file": "../model.onnx"}]}))
    assert "a plain file name is needed" in _run_isolated_onnx(release, _Reference(release, release), "")[0].detail
