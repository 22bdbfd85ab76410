"""Both models of a run, side by side: a text goes in, what each makes of it comes out.

`nlp-adapt demo` shows it, and `nlp-adapt demo RUN --out FOLDER` copies this file as the app.py of a Hugging Face
Space. So it needs gradio and transformers alone, and finds the models in folders beside it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TITLES = {"source_only": "Source only", "adapted": "Adapted"}


def load(folders: Mapping[str, Path]) -> dict[str, Any]:
    """A pipeline for each folder with a plain model, by title."""
    from transformers import AutoConfig, pipeline

    found: dict[str, Any] = {}
    for title, folder in folders.items():
        architectures = AutoConfig.from_pretrained(folder).architectures or []
        if any("TokenClass" in name for name in architectures):
            found[title] = pipeline(
                "token-classification", model=str(folder), aggregation_strategy="first"
            )
        else:
            found[title] = pipeline(
                "text-classification", model=str(folder), truncation=True, top_k=None
            )
    return found


def tags(pipelines: Mapping[str, Any]) -> bool:
    """Whether the models are taggers."""
    return all(one.task == "token-classification" for one in pipelines.values())


def answers(pipelines: Mapping[str, Any]) -> Callable[[str], list[Any]]:
    """What the page calls with a text: for each model its answer, as gradio's components take it.

    A classifier answers with probabilities by label. A tagger answers twice: with the text and its
    entities, and with a table of them.
    """

    def answer(text: str) -> list[Any]:
        found: list[Any] = []
        for read in pipelines.values():
            if read.task == "token-classification":
                entities = read(text) if text.strip() else []
                found += [_highlighted(text, entities), _table(text, entities)]
            else:
                (scores,) = read([text])
                found.append({one["label"]: one["score"] for one in scores})
        return found

    return answer


def _highlighted(text: str, entities: list[dict[str, Any]]) -> dict[str, Any]:
    spans = [
        {"entity": one["entity_group"], "start": one["start"], "end": one["end"]}
        for one in entities
    ]
    return {"text": text, "entities": spans}


def _table(text: str, entities: list[dict[str, Any]]) -> list[list[Any]]:
    return [
        [text[one["start"] : one["end"]], one["entity_group"], round(float(one["score"]), 3)]
        for one in entities
    ]


def build(pipelines: Mapping[str, Any], title: str) -> Any:
    """The page, a `gradio.Blocks`: a box for the text, and a column for each model."""
    import gradio as gr

    outputs: list[Any] = []
    with gr.Blocks(title=title, analytics_enabled=False) as page:
        gr.Markdown(f"# {title}")
        text = gr.Textbox(label="Text", lines=3, autofocus=True)
        button = gr.Button("Ask both" if len(pipelines) > 1 else "Ask", variant="primary")
        with gr.Row():
            for name in pipelines:
                with gr.Column():
                    if tags(pipelines):
                        headers = ["entity", "type", "probability"]
                        outputs += [
                            gr.HighlightedText(label=name),
                            gr.Dataframe(headers=headers, label=f"{name}: probabilities"),
                        ]
                    else:
                        outputs.append(gr.Label(label=name))
        asked = [button.click, text.submit]
        gr.on(asked, answers(pipelines), text, outputs, api_visibility="private")
    return page


def show(page: Any, **options: Any) -> None:
    """Serve the page, in fonts of the reader's own machine."""
    import gradio as gr

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
    page.launch(theme=gr.themes.Default(**fonts), **options)


if __name__ == "__main__":
    here = Path(__file__).parent
    places = {title: here / key for key, title in TITLES.items() if (here / key).is_dir()}
    show(build(load(places), "Source only and adapted"))
