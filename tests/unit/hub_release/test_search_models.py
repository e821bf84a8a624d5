"""Search models as sentence-transformers saves them, and their releases as it loads them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.hub_release.module_chains import encoder_folder
from chinese_modernbert.hub_release.sentence_modules import SentenceModules
from chinese_modernbert.hub_release.verification.reference_embeddings import BOTH_SIDES, ONE_SIDE
from chinese_modernbert.tokenization.loading import load_tokenizer
from reference import search_models

# The last one is longer than queries and documents may be; nothing is said twice, or tokens to pool would be tied.
LONG = "第三届会议在上海举行，他喜欢读书写字，我们今天去公园散步，北京是中国的首都，天气很好，"
TEXTS = ["今天天气很好，我们去公园散步。", "北京是中国的首都", "字", LONG + LONG[::-1]]
Folders = Callable[[str], Path]


def loaded(name: str, folder: Path, trust: bool = True) -> Any:
    library_class = MultiVectorEncoder if name.startswith("late") else SparseEncoder
    return library_class(str(folder), trust_remote_code=trust, device="cpu")


def embeddings(name: str, model: Any) -> dict[str, list[torch.Tensor]]:
    methods = ONE_SIDE if name in ("sparse", "sparse, own tokens") else BOTH_SIDES
    dense = {} if name.startswith("late") else {"convert_to_sparse_tensor": False}
    return {method: list(getattr(model, method)(TEXTS, **dense)) for method in methods}


def expect_equal(given: dict[str, list[torch.Tensor]], expected: dict[str, list[torch.Tensor]]) -> None:
    for method, rows in expected.items():
        for one, other in zip(given[method], rows, strict=True):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)
            assert float(other.abs().max()) > 0.1


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def message(folder: Path, tmp_path: Path, error: type[Exception] = ValueError, **options: Any) -> str:
    with pytest.raises(error) as caught:
        build_release(ReleaseArguments(str(folder), str(tmp_path / "built"), **options))
    assert "\n" not in str(caught.value) and not (tmp_path / "built").exists()
    return str(caught.value)


@pytest.fixture
def copy(saved_model: Folders, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(saved_model(name), tmp_path / "model"))


@pytest.mark.parametrize("trust", [True, False], ids=["own", "native"])
@pytest.mark.parametrize("name", search_models.MODELS)
def test_a_release_gives_the_numbers_of_the_model_that_was_saved(
    name: str, trust: bool, saved_checkpoint: Path, model_release: Folders
) -> None:
    released = loaded(name, model_release(name), trust)
    expected = search_models.MODELS[name](saved_checkpoint)
    expect_equal(embeddings(name, released), embeddings(name, expected))
    assert released.max_seq_length == expected.max_seq_length
    assert released.similarity_fn_name == expected.similarity_fn_name
    assert {side: text for side, text in released.prompts.items() if text} == {
        side: text for side, text in expected.prompts.items() if text
    }


@pytest.mark.parametrize("name", search_models.MODELS)
def test_a_release_that_the_library_saves_again_gives_the_same_release(
    name: str, model_release: Folders, tmp_path: Path
) -> None:
    loaded(name, model_release(name)).save_pretrained(str(tmp_path / "again"))
    again = build_release(ReleaseArguments(str(tmp_path / "again"), str(tmp_path / "release")))
    files = [path.relative_to(again) for path in again.rglob("*") if path.is_file()]
    changed = {str(path) for path in files if (again / path).read_bytes() != (model_release(name) / path).read_bytes()}
    assert changed <= {"README.md", "release_manifest.json"}  # which say that the norm was another in training


@pytest.mark.parametrize(
    ("name", "tags", "words"),
    [
        ("sparse", {"sparse-encoder", "splade"}, "encoder.decode(embeddings"),
        ("sparse_documents", {"sparse-encoder", "splade", "inference-free"}, "encoder.encode_query("),
        ("late_interaction", {"multi-vector", "late-interaction"}, "MultiVectorEncoder("),
    ],
)
def test_a_card_says_what_the_model_is_and_how_it_loads(
    name: str, tags: set[str], words: str, model_release: Folders
) -> None:
    text = (model_release(name) / "README.md").read_text(encoding="utf-8")
    data = ModelCard(text).data
    assert tags <= set(data.tags or []) and "trust_remote_code" not in text.partition("## Use")[2].partition("##")[0]
    assert (data.library_name, data.pipeline_tag) == ("sentence-transformers", "feature-extraction")
    assert words in text and "{{" not in text


def test_settings_of_splade_are_kept(saved_model: Folders, model_release: Folders) -> None:
    settings = json.loads((model_release("sparse") / "1_SpladePooling" / "config.json").read_text())
    assert settings == {
        "pooling_strategy": "sum",
        "activation_function": "log1p_relu",
        "word_embedding_dimension": 384,
    }
    found = SentenceModules.read(saved_model("sparse_documents"))
    assert found and found.query and found.query.settings == {"frozen": True} and found.default_route == "document"


def test_a_mask_of_own_tokens_lies_behind_the_pooling_and_has_its_tokenizer(model_release: Folders) -> None:
    for name, place in (
        ("sparse, own tokens", "2_SparseStaticEmbedding"),
        ("sparse_documents, own tokens", "document_2_SparseStaticEmbedding"),
    ):
        folder = model_release(name)
        assert (folder / place / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "A text has weights for its own tokens alone" in card
        plain = (model_release(name.partition(",")[0]) / "README.md").read_text(encoding="utf-8")
        assert "own tokens" not in plain
    weights = loaded(name, folder).encode_document(["字"], convert_to_sparse_tensor=False)[0]
    assert set(weights.nonzero().flatten().tolist()) <= set(load_tokenizer(folder)("字")["input_ids"])


def test_the_encoder_of_documents_lies_beside_its_code(saved_model: Folders, model_release: Folders) -> None:
    """In the folder that the library writes it does not, so that nobody without this package loads that one."""
    assert encoder_folder(saved_model("sparse_documents")).name == "document_0_Transformer"
    release = model_release("sparse_documents")
    assert encoder_folder(release) == release and (release / "model.safetensors").is_file()
    assert json.loads((release / "router_config.json").read_text())["structure"]["document"][0] == ""


def test_a_text_without_a_side_counts_as_it_did(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("sparse_documents")
    cases = {
        (None, False): (None, False),
        (None, True): ("query", True),
        ("query", False): ("query", True),
        ("document", True): ("document", True),
    }
    for number, (given, expected) in enumerate(cases.items()):
        parameters = {"default_route": given[0], "allow_empty_key": given[1], "route_mappings": {}}
        edit(folder / "router_config.json", parameters=parameters)
        release = build_release(ReleaseArguments(str(folder), str(tmp_path / f"release_{number}")))
        told = json.loads((release / "router_config.json").read_text())["parameters"]
        assert (told["default_route"], told["allow_empty_key"]) == expected
        assert loaded("sparse_documents", release)[0].default_route == expected[0]
    release = tmp_path / "release_0"
    with pytest.raises(ValueError, match="Could not determine route"):
        loaded("sparse_documents", release).encode(TEXTS)
    assert loaded("sparse_documents", release).encode_query(TEXTS).shape == (4, 384)


def test_tensors_of_modules_are_of_the_type_of_the_release(saved_model: Folders, tmp_path: Path) -> None:
    for name, place in (("late_interaction", "1_Dense"), ("sparse_documents", "query_0_SparseStaticEmbedding")):
        arguments = ReleaseArguments(str(saved_model(name)), str(tmp_path / name), dtype="bfloat16")
        folder = build_release(arguments)
        kept = load_file(folder / place / "model.safetensors")
        assert {tensor.dtype for tensor in kept.values()} == {torch.bfloat16}
        model = loaded(name, folder)
        assert all(torch.isfinite(row.float()).all() for rows in embeddings(name, model).values() for row in rows)


def test_texts_are_cut_where_an_option_says_it(saved_model: Folders, tmp_path: Path) -> None:
    folder = build_release(ReleaseArguments(str(saved_model("sparse_documents")), str(tmp_path / "cut"), max_length=8))
    model = loaded("sparse_documents", folder)
    assert model.max_seq_length == 8
    weights = model.encode_query([TEXTS[3]], convert_to_sparse_tensor=False)
    ids = load_tokenizer(folder)(TEXTS[3], add_special_tokens=False)["input_ids"][:8]
    assert set(weights[0].nonzero().flatten().tolist()) == set(ids)


def test_an_expansion_that_is_not_attended_to_is_refused(
    saved_model: Folders, model_release: Folders, copy: Callable[[str], Path], tmp_path: Path
) -> None:
    """Our classes skip padding, and give zeros for it; Transformers' own gives numbers, which count."""
    release = Path(shutil.copytree(model_release("late_interaction"), tmp_path / "release"))
    without = {**search_models.EXPANSION, "attend": False}
    edit(release / "sentence_bert_config.json", query_expansion=without)
    ours, native = (loaded("late", release, trust).encode_query(["字"])[0] for trust in (True, False))
    assert int((ours.norm(dim=-1) == 0).sum()) > 20 and int((native.norm(dim=-1) == 0).sum()) == 0
    folder = copy("late_interaction")
    edit(folder / "sentence_bert_config.json", query_expansion=without)
    assert "attend is False, wanted is one of True; tokens of an expansion" in message(folder, tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "values", "expected"),
    [
        ("late_interaction", "1_Dense/config.json", {"bias": True}, "bias is True, wanted is one of False"),
        (
            "late_interaction",
            "1_Dense/config.json",
            {"activation_function": "torch.nn.modules.activation.Tanh"},
            "activation_function is 'torch.nn.modules.activation.Tanh'",
        ),
        ("late_interaction", "2_MultiVectorMask/config.json", {"keep_only_token_ids": [5]}, "keep_only_token_ids"),
        ("late_interaction", "sentence_bert_config.json", {"document_length": 129}, "max_position_embeddings=128"),
        ("late_interaction", "sentence_bert_config.json", {"query_length": 0}, "query_length=0"),
        ("late_interaction", "config_sentence_transformers.json", {"similarity_fn_name": "dot"}, "'dot'"),
        (
            "late_interaction",
            "sentence_bert_config.json",
            {"processing_kwargs": {"text": {"padding": "max_length"}}},
            "sets processing_kwargs=",
        ),
        (
            "sparse",
            "1_SpladePooling/config.json",
            {"pooling_strategy": "mean"},
            "is 'mean', wanted is one of 'max', 'sum'",
        ),
        (
            "sparse_documents",
            "router_config.json",
            {"parameters": {"route_mappings": {"a": "query"}}},
            "route_mappings",
        ),
        ("sparse_documents", "query_0_SparseStaticEmbedding/config.json", {"path": "idf.json"}, "path is no key"),
        ("sparse, own tokens", "2_SparseStaticEmbedding/config.json", {"path": "idf.json"}, "path is no key"),
        ("sparse_documents", "router_config.json", {"structure": {"query": []}}, "a release holds a route `query`"),
        ("sparse_documents", "router_config.json", {"types": {}}, "does not say which modules"),
    ],
)
def test_what_a_release_would_lose_is_refused(
    name: str, file: str, values: dict[str, Any], expected: str, copy: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy(name)
    edit(folder / file, **values)
    assert expected in message(folder, tmp_path)


def test_a_mask_of_other_shape_is_refused(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("sparse, own tokens")
    save_file({"weight": torch.ones(383)}, folder / "2_SparseStaticEmbedding" / "model.safetensors")
    assert "weight of SparseStaticEmbedding has shape (383,), the model wants (384,)" in message(folder, tmp_path)


def test_a_mask_before_the_pooling_is_refused(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("sparse, own tokens")
    rows = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([rows[0], rows[2], rows[1]]))
    assert "has the modules Transformer, SparseStaticEmbedding, SpladePooling" in message(folder, tmp_path)


def test_tensors_that_do_not_fit_are_refused(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("late_interaction")
    weights = folder / "1_Dense" / "model.safetensors"
    for tensors, expected in (
        ({"linear.weight": torch.zeros(16, 31)}, "has shape (16, 31), the model wants (16, 32)"),
        ({"linear.weight": torch.full((16, 32), float("nan"))}, "holds NaN or infinity"),
        ({"linear.weight": torch.zeros(16, 32), "linear.bias": torch.zeros(16)}, "Dense has ['linear.weight']"),
    ):
        save_file(tensors, weights)
        assert expected in message(folder, tmp_path)
    weights.rename(weights.with_name("pytorch_model.bin"))
    assert "only safetensors weights are read" in message(folder, tmp_path, FileNotFoundError)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("sparse_documents", "query_0_SparseStaticEmbedding"),
        ("sparse_documents, own tokens", "query_0_SparseStaticEmbedding"),
        ("sparse_documents, own tokens", "document_2_SparseStaticEmbedding"),
        ("sparse, own tokens", "2_SparseStaticEmbedding"),
    ],
)
def test_a_module_with_another_tokenizer_is_refused(
    name: str, place: str, copy: Callable[[str], Path], tmp_path: Path
) -> None:
    path = copy(name) / place / "tokenizer.json"
    edit(path, normalizer={"type": "Lowercase"})
    assert f"{place} has another tokenizer than the encoder of documents" in message(path.parents[1], tmp_path)


def test_options_of_dense_embeddings_do_not_fit(saved_model: Folders, tmp_path: Path) -> None:
    for name in ("late_interaction", "sparse_documents"):
        assert "pooling=mean does not fit the modules" in message(saved_model(name), tmp_path, pooling="mean")
        assert "normalize is for dense embeddings" in message(saved_model(name), tmp_path, normalize=True)


def test_other_chains_are_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    encoder = search_models.transformer(saved_checkpoint)
    dense = Dense(32, 8, False, torch.nn.Identity(), module_input_name="token_embeddings")
    behind = [Normalize("token_embeddings"), dense, MultiVectorMask()]
    MultiVectorEncoder(modules=[encoder, *behind]).save_pretrained(str(tmp_path / "model"))
    assert "has the modules Transformer, Normalize, Dense, MultiVectorMask" in message(tmp_path / "model", tmp_path)


def test_static_embeddings_have_no_encoder_to_release(saved_checkpoint: Path, tmp_path: Path) -> None:
    static = StaticEmbedding(load_tokenizer(saved_checkpoint), embedding_dim=8)
    SentenceTransformer(modules=[static]).save_pretrained(str(tmp_path / "model"))
    text = message(tmp_path / "model", tmp_path)
    assert "holds static embeddings and no encoder of ours" in text and "push_to_hub" in text


def test_a_folder_without_modules_is_refused(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("late_interaction")
    (folder / "modules.json").write_text("[]")
    assert "names no module; save the model again" in message(folder, tmp_path)


@pytest.mark.parametrize("place", ["..", "../../tmp", "/tmp", "a/b"])
def test_folders_elsewhere_are_refused(place: str, copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("late_interaction")
    rows = json.loads((folder / "modules.json").read_text())
    rows[1]["path"] = place
    (folder / "modules.json").write_text(json.dumps(rows))
    assert f"names the folder {place!r}, a plain name is needed" in message(folder, tmp_path)
