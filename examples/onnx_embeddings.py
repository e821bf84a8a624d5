"""Sentence embeddings from a release with plain onnxruntime: numpy, onnxruntime and tokenizers, no torch.

pip install numpy onnxruntime tokenizers
python onnx_embeddings.py RELEASE "今天天气很好。" "今天是晴天。"
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class OnnxEncoder:
    """Turns texts into embeddings of length 1.

    Args:
        release: the downloaded folder
        graph: file of the folder `onnx`; `model_embedding_quantized.onnx` is the smaller and faster one
        threads: of one product; 0 = as many as onnxruntime likes
    """

    def __init__(self, release: str, graph: str = "model_embedding.onnx", threads: int = 0) -> None:
        folder = Path(release)
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        pad = settings["pad_token"]
        self.tokenizer.enable_padding(pad_id=self.tokenizer.token_to_id(pad), pad_token=pad)
        self.tokenizer.enable_truncation(settings["model_max_length"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            str(folder / "onnx" / graph), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return embeddings `(texts, hidden)`, float32."""
        rows = self.tokenizer.encode_batch(texts)
        inputs = {
            "input_ids": np.array([row.ids for row in rows], dtype=np.int64),
            "attention_mask": np.array([row.attention_mask for row in rows], dtype=np.int64),
        }
        return np.asarray(self.session.run(["sentence_embedding"], inputs)[0])


def main(release: str, *texts: str) -> None:
    """Write the similarity of every text to the first one."""
    embeddings = OnnxEncoder(release).encode(list(texts))
    for text, similarity in zip(texts, embeddings @ embeddings[0], strict=True):
        sys.stdout.write(f"{similarity:.4f}  {text}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
