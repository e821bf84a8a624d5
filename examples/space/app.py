"""A page for one released Chinese ModernBERT: words for blanks, similar texts, similar passages, tokens and masks.

`python app.py --model FOLDER`, or as a Space of the Hub, where the variable MODEL_ID names the model.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Before the imports, which read them: nothing is reported to anyone.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr
import rendering
from answers import TABLE_LINES, Reader, UserMistakeError, check_text, split_lines

HERE = Path(__file__).parent
WORDS: dict[str, dict[str, str]] = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
LANGUAGES = ["zh", "en"]
LARGEST_SEED = 1_000_000
NAME_LANGUAGE = "language => { document.documentElement.lang = language; }"


def answer_fill(reader: Reader, words: dict[str, str], text: str) -> str:
    """Return the filled sentence and the candidates of every blank, as HTML."""
    return rendering.filling(reader.fill(text), words["blank"])


def answer_compare(reader: Reader, words: dict[str, str], texts: str, query: str, center: bool) -> str:
    """Return the lines ranked by a query, or without one a table of the first lines, as HTML."""
    lines = split_lines(texts)
    if (query or "").strip():
        return rendering.ranking(reader.rank(check_text(query, "fill"), lines, center))
    if len(lines) < 2:
        raise UserMistakeError("one_line")
    lines = lines[:TABLE_LINES]
    return rendering.table(lines, reader.similarities(lines, center))


def answer_document(reader: Reader, words: dict[str, str], question: str, document: str, center: bool) -> str:
    """Return the document with the passages nearest to a question marked, as HTML."""
    return rendering.document(reader.search(question, document, center))


def answer_tokens(reader: Reader, words: dict[str, str], text: str, percent: float, seed: float) -> str:
    """Return the tokens of a text, plain and with whole words masked, as HTML."""
    masked = reader.tokens(text, percent / 100, int(seed))
    return rendering.tokens(reader.tokens(text), masked, words)


def in_words(answer: Callable[..., str], reader: Reader) -> Callable[..., str]:
    """Return a handler of the page: language first, then the inputs; a user's mistake becomes a message."""

    def handle(language: str, *inputs: Any) -> str:
        try:
            return answer(reader, WORDS[language], *inputs)
        except UserMistakeError as mistake:
            return rendering.message(WORDS[language][mistake.key].format(**mistake.values))

    return handle


class Page:
    """The page of one model; `blocks` is what Gradio serves."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        # Components and the keys of texts.json that their properties take in the chosen language.
        self._translated: list[tuple[Any, dict[str, str]]] = []
        self._handlers: list[tuple[Callable[..., str], list[Any], Any]] = []
        with gr.Blocks(title="Chinese ModernBERT", analytics_enabled=False) as self.blocks:
            with gr.Row(elem_id="head"):
                self._head = gr.HTML(head_of(reader.name, "zh"))
                choices = [("中文", "zh"), ("English", "en")]
                self._language = gr.Radio(choices, value="zh", show_label=False, container=False, elem_id="language")
            with gr.Tabs():
                first = self._fill_tab()
                self._compare_tab()
                self._document_tab()
                self._tokens_tab()
            everything = [self._head, *(component for component, _ in self._translated)]
            self._language.change(self._translate, self._language, everything, show_progress="hidden")
            for handle, inputs, output in self._handlers:
                self._language.change(_again(handle), [output, self._language, *inputs], output, **ONE_AT_A_TIME)
            handle, inputs, output = first
            # One call for both: an answer from a call of its own could come in the other language.
            self.blocks.load(_greeting(handle), inputs, [self._language, output], **ONE_AT_A_TIME)
            # A screen reader pronounces the page by its language.
            self._language.change(None, self._language, None, js=NAME_LANGUAGE)
            self.blocks.load(None, self._language, None, js=NAME_LANGUAGE)

    def _say(self, component: Any, **keys: str) -> Any:
        """Set properties of a component to texts, now and whenever the language changes."""
        self._translated.append((component, keys))
        for name, key in keys.items():
            setattr(component, name, _words_of("zh", key))
        return component

    def _translate(self, language: str) -> list[Any]:
        """Return updates of everything that is translated."""
        updates = [
            gr.update(**{name: _words_of(language, key) for name, key in keys.items()}) for _, keys in self._translated
        ]
        return [gr.update(value=head_of(self.reader.name, language)), *updates]

    def _box(self, key: str, example: str, lines: int, hint: str | None = None) -> Any:
        """Return a text box with an example in it."""
        box = gr.Textbox(value=WORDS["examples"][example], lines=lines, max_lines=max(lines, 14))
        return self._say(box, label=f"{key}_label", **({"info": hint} if hint else {}))

    def _answered(self, tab: Any, answer: Callable[..., str], inputs: list[Any], triggers: Sequence[Any]) -> Any:
        """Place the answer of a tab: asked for by its triggers, and once when the tab is first opened."""
        output = gr.HTML(elem_classes="answer", container=False)
        handle = in_words(answer, self.reader)
        for trigger in triggers:
            trigger(handle, [self._language, *inputs], output, **ONE_AT_A_TIME)
        tab.select(_first(handle), [output, self._language, *inputs], output, **ONE_AT_A_TIME)
        self._handlers.append((handle, inputs, output))
        return handle, inputs, output

    def _fill_tab(self) -> Any:
        with self._say(gr.Tab(), label="fill") as tab, gr.Row(elem_classes="work"):
            with gr.Column(elem_classes="ask", min_width=320):
                text = self._box("fill", "fill", 3, "fill_hint")
                button = self._say(gr.Button(variant="primary"), value="fill_button")
            with gr.Column(min_width=320):
                return self._answered(tab, answer_fill, [text], [button.click, text.submit])

    def _compare_tab(self) -> None:
        with self._say(gr.Tab(), label="compare") as tab, gr.Row(elem_classes="work"):
            with gr.Column(elem_classes="ask", min_width=320):
                query = self._box("query", "query", 1, "query_hint")
                texts = self._box("texts", "texts", 6)
                center = self._say(gr.Checkbox(value=True, container=False), label="center")
                button = self._say(gr.Button(variant="primary"), value="compare_button")
            with gr.Column(min_width=320):
                self._answered(tab, answer_compare, [texts, query, center], [button.click, query.submit])

    def _document_tab(self) -> None:
        with self._say(gr.Tab(), label="document") as tab, gr.Row(elem_classes="work"):
            with gr.Column(elem_classes="ask", min_width=320):
                question = self._box("question", "question", 1)
                text = self._box("document", "document", 8)
                center = self._say(gr.Checkbox(value=True, container=False), label="center")
                button = self._say(gr.Button(variant="primary"), value="document_button")
            with gr.Column(min_width=320):
                self._answered(tab, answer_document, [question, text, center], [button.click, question.submit])

    def _tokens_tab(self) -> None:
        with self._say(gr.Tab(), label="tokens") as tab, gr.Row(elem_classes="work"):
            with gr.Column(elem_classes="ask", min_width=320):
                text = self._box("tokens", "tokens", 4)
                rate = self._say(gr.Slider(0, 60, value=30, step=5), label="rate")
                seed = gr.Number(0, visible=False)
                with gr.Row():
                    button = self._say(gr.Button(variant="primary"), value="tokens_button")
                    again = self._say(gr.Button(variant="secondary"), value="again_button")
            with gr.Column(min_width=320):
                triggers = [button.click, rate.release, seed.change]
                self._answered(tab, answer_tokens, [text, rate, seed], triggers)
            again.click(lambda: random.randrange(LARGEST_SEED), None, seed, show_progress="hidden")


# One model, and a CPU that is busy with one answer.
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1, "show_progress": "minimal"}


def _words_of(language: str, key: str) -> str:
    return WORDS[language][key].format(most=TABLE_LINES) if key == "query_hint" else WORDS[language][key]


def _first(handle: Callable[..., str]) -> Callable[..., Any]:
    """Return a handler that answers only where there is no answer yet."""
    return lambda current, *inputs: gr.skip() if current else handle(*inputs)


def _again(handle: Callable[..., str]) -> Callable[..., Any]:
    """Return a handler that answers only where there is an answer already."""
    return lambda current, *inputs: handle(*inputs) if current else gr.skip()


def _greeting(handle: Callable[..., str]) -> Callable[..., tuple[str, str]]:
    """Return a handler that answers in the language of the browser and names it."""

    def greet(text: str, request: gr.Request) -> tuple[str, str]:
        language = language_of_browser(request)
        return language, handle(language, text)

    return greet


def head_of(model: str, language: str) -> str:
    """Return title, lead and the name of the model; of a folder its last part alone."""
    words = WORDS[language]
    name = Path(model).resolve().name if Path(model).is_dir() else model
    return f"<h1>{words['title']}</h1><p>{words['lead']} <b>{rendering.escape(name)}</b></p>"


def language_of_browser(request: gr.Request) -> str:
    """Return Chinese for a browser that asks for it or for nothing, English for all others."""
    wanted = (request.headers.get("accept-language") or "zh").lower()
    return "zh" if wanted.startswith("zh") else "en"


def theme() -> gr.themes.Base:
    """Return Gradio's plain theme with fonts of the reader's system: nothing is fetched."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], primary_hue="red")


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model and serve the page until it is stopped."""
    parser = argparse.ArgumentParser(description="A page for one released Chinese ModernBERT.")
    parser.add_argument("--model", default=os.environ.get("MODEL_ID"), help="Released folder, or name on the Hub.")
    parser.add_argument("--host", default=None, help="Address to listen on; default: this machine alone.")
    parser.add_argument("--port", type=int, default=None, help="Port; default: the first free one from 7860.")
    given = parser.parse_args(arguments)
    if not given.model:
        parser.error("no model is named; give --model FOLDER, or set MODEL_ID")
    try:
        reader = Reader(given.model)
    except (ValueError, OSError) as error:
        parser.error(" ".join(str(error).split()))
    Page(reader).blocks.launch(
        server_name=given.host,
        server_port=given.port,
        theme=theme(),
        css_paths=HERE / "style.css",
        footer_links=[],
        run_history=False,
        share=False,
        ssr_mode=False,
    )


if __name__ == "__main__":
    main()
