"""Bodies of inference as rows: features of a request, answers of a response.

Read are KServe's V1 (``instances``, ``predictions``), the open inference protocol V2 (``inputs``, ``outputs``),
Seldon's messages, and the bodies of language models in OpenAI's form. What is no feature (an image, an embedding, a
text) is left out and counted. Misleads where a short text of a person stands under a name that is not known for text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from watchkeeper.collector.cloudevents import tensors
from watchkeeper.collector.cloudevents.tensors import Json, Scalar, Tensor, as_list, as_object, flat, scalar
from watchkeeper.collector.halves import Row

MAX_WIDTH = 300
"""Values of one instance beyond which it is an image or an embedding."""
MAX_CATEGORY, MAX_LABEL, MAX_OUTPUTS = 200, 64, 2_000
_PROMPTS = frozenset(
    {"text", "text_input", "prompt", "query", "question", "content", "messages", "instruction", "context"}
)
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response says: rows, and what holds for all of them."""

    rows: tuple[Row, ...] = ()
    failed: bool = False
    message: str = ""
    model_version: str | None = None
    usage: Mapping[str, object] = field(default_factory=dict[str, object])
    finish_reason: str | None = None


@dataclass(slots=True)
class Bodies:
    """Reads bodies; ``redact`` is None where text is not kept. ``left_out`` counts what is no feature."""

    redact: Callable[[str], str] | None
    left_out: Counter[str] = field(default_factory=Counter[str])

    def request(self, data: object) -> tuple[Row, ...]:
        """Give the inputs, one row an instance."""
        body = as_object(data)
        if body is None:
            return () if data is None else (self._instance(data),)
        found = tensors.tensors(body.get("inputs"))
        if found is not None:
            return self._tensors(found)
        instances = as_list(body.get("instances"))
        if instances is not None:
            return tuple(self._instance(one) for one in instances)
        for name in ("messages", "prompt", "text_input"):
            if name in body:
                return (Row(content=self._text("input", body[name])),)
        message = self._seldon(body)
        if message is not None:
            return message
        return (self._instance(body.get("jsonData", body)),)

    def response(self, data: object) -> Answer:
        """Give the answers, one row an instance."""
        body = as_object(data)
        if body is None:
            return Answer() if data is None else Answer((self._answer(data),))
        version = body.get("model_version") or (body.get("model") if "choices" in body else None)
        made = replace(self._answered(body), model_version=str(version)[:MAX_CATEGORY] if version else None)
        error, status = body.get("error"), as_object(body.get("status")) or {}
        if error or status.get("status") in ("FAILURE", 1):
            return replace(made, failed=True, message=_brief(error or status.get("reason") or status.get("info") or ""))
        return made

    def truth(self, data: object) -> list[Scalar]:
        """Give what came true, by instance: the truth of Seldon's feedback."""
        return [row.prediction for row in self.response(data).rows]

    def _answered(self, body: Json) -> Answer:
        """Tell the protocols apart by their words."""
        found = tensors.tensors(body.get("outputs"))
        if found is not None:
            return Answer(self._outputs(found))
        predictions = as_list(body.get("predictions"))
        if predictions is not None:
            return Answer(tuple(self._answer(one) for one in predictions))
        choices = as_list(body.get("choices"))
        if choices is not None:
            return self._chat(body, as_object(choices[0] if choices else None) or {})
        inner = as_object(body.get("data"))
        if inner is not None:
            return Answer(tuple(self._answer(list(row)) for row in tensors.seldon(inner)))
        if "error" in body or body.keys() <= {"status", "meta"}:
            return Answer()
        plain = next((body[name] for name in ("text_output", "strData", "jsonData") if name in body), body)
        return Answer((self._answer(plain),))

    def _chat(self, body: Json, first: Json) -> Answer:
        """Read the answer of a language model in OpenAI's form."""
        reason = first.get("finish_reason")
        return Answer(
            (Row(content=self._text("output", first.get("message") or first.get("text"))),),
            usage=as_object(body.get("usage")) or {},
            finish_reason=str(reason)[:MAX_LABEL] if reason else None,
        )

    def _tensors(self, found: Sequence[Tensor]) -> tuple[Row, ...]:
        if len(found) == 1 and found[0].text and all(len(row) == 1 for row in found[0].rows):
            return tuple(Row(content=self._text("input", row[0])) for row in found[0].rows)
        made: list[Row] = []
        for number in range(max(len(tensor.rows) for tensor in found)):
            pairs: list[tuple[str, Scalar]] = []
            for tensor in found:
                row = tensor.rows[number] if number < len(tensor.rows) else ()
                if len(row) > MAX_WIDTH:
                    self.left_out[f"input of over {MAX_WIDTH} values"] += 1
                elif len(row) == 1:
                    pairs.append((tensor.name, row[0]))
                else:
                    pairs += [(f"{tensor.name}.{place}", value) for place, value in enumerate(row)]
            made.append(self._features(pairs))
        return tuple(made)

    def _outputs(self, found: Sequence[Tensor]) -> tuple[Row, ...]:
        """Take the first tensor for the answer, one that speaks of probabilities for how sure it was."""
        sure = next((tensor for tensor in found if "prob" in tensor.name.lower()), None)
        main = next((tensor for tensor in found if tensor is not sure), sure)
        made: list[Row] = []
        for number, values in enumerate(main.rows if main else ()):
            row = self._answer(list(values))
            if sure is not None and sure is not main and number < len(sure.rows):
                told = self._answer(list(sure.rows[number]))
                row = msgspec.structs.replace(row, score=told.score, confidence=told.confidence)
            made.append(row)
        return tuple(made)

    def _seldon(self, body: Json) -> tuple[Row, ...] | None:
        inner = as_object(body.get("data"))
        if inner is not None:
            columns = tensors.names(inner)
            return tuple(self._row(row, columns) for row in tensors.seldon(inner))
        if "strData" in body:
            return (Row(content=self._text("input", body["strData"])),)
        if "binData" in body:
            self.left_out["input of bytes"] += 1
            return (Row(),)
        return None

    def _instance(self, found: object) -> Row:
        named = as_object(found)
        if named is not None:
            return self._features(list(_named(named, "", _DEPTH)))
        if isinstance(found, str):
            return Row(content=self._text("input", found))
        return self._row(list(flat(found)), ())

    def _row(self, values: Sequence[Scalar], columns: Sequence[str]) -> Row:
        if len(values) > MAX_WIDTH:
            self.left_out[f"input of over {MAX_WIDTH} values"] += 1
            return Row()
        fits = len(columns) == len(values)
        return self._features([(columns[n] if fits else f"f{n}", value) for n, value in enumerate(values)])

    def _features(self, pairs: Sequence[tuple[str, Scalar]]) -> Row:
        features: dict[str, Scalar] = {}
        texts: list[str] = []
        for name, value in pairs[: 2 * MAX_WIDTH]:
            if isinstance(value, str) and (len(value) > MAX_CATEGORY or name.rpartition(".")[2].lower() in _PROMPTS):
                texts.append(value)
            else:
                features[name[:MAX_CATEGORY]] = value
        if len(pairs) > 2 * MAX_WIDTH:
            self.left_out["feature beyond the first 600"] += len(pairs) - 2 * MAX_WIDTH
        return Row(features or None, content=self._text("input", "\n".join(texts)) if texts else None)

    def _answer(self, found: object) -> Row:
        values = as_list(found)
        if values is not None:
            if len(values) == 1:
                return self._answer(values[0])
            return _class(values) or self._outputs_of(values)
        if isinstance(found, str) and (len(found) > MAX_LABEL or "\n" in found):
            return Row(content=self._text("output", found))
        named = as_object(found)
        if named is not None:
            return self._outputs_of(named)
        return Row(prediction=scalar(found))

    def _outputs_of(self, found: object) -> Row:
        """Keep an answer that is neither number nor label, if it is short and no text."""
        if any(isinstance(value, str) and len(value) > MAX_LABEL for value in _leaves(found, _DEPTH)):
            return Row(content=self._text("output", found))
        if len(msgspec.json.encode(found)) > MAX_OUTPUTS:
            self.left_out[f"answer of over {MAX_OUTPUTS} bytes"] += 1
            return Row()
        return Row(outputs=found)

    def _text(self, name: str, found: object) -> dict[str, str] | None:
        if found is None or found == "":
            return None
        if self.redact is None:
            self.left_out["text"] += 1
            return None
        return {name: self.redact(found if isinstance(found, str) else msgspec.json.encode(found).decode())}


def _class(values: Sequence[object]) -> Row | None:
    """Read shares that add up to one as a class: its number, the share of class 1 of two, and the greatest share.

    Of more than two the number is a label, as text: it is right or wrong, not near.

    >>> row = _class([0.25, 0.75])
    >>> row and (row.prediction, row.score, row.confidence)
    (1, 0.75, 0.75)
    """
    shares = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(shares) < max(2, len(values)) or min(shares) < 0 or max(shares) > 1 or abs(sum(shares) - 1) > 0.01:
        return None
    best = max(shares)
    number = shares.index(best)
    if len(shares) == 2:
        return Row(prediction=number, score=shares[1], confidence=best)
    return Row(prediction=str(number), confidence=best)


def _named(found: Mapping[str, object], prefix: str, depth: int) -> Iterator[tuple[str, Scalar]]:
    for key, value in found.items():
        name = f"{prefix}{key}"
        inner, parts = as_object(value), as_list(value)
        if inner is not None:
            if depth:
                yield from _named(inner, f"{name}.", depth - 1)
        elif parts is not None:
            values = list(flat(parts))
            if len(values) <= MAX_WIDTH:
                yield from ((f"{name}.{place}" if len(values) > 1 else name, one) for place, one in enumerate(values))
        else:
            yield name, scalar(value)


def _leaves(found: object, depth: int) -> Iterator[object]:
    parts = as_list(found) or list((as_object(found) or {}).values())
    for part in parts:
        yield part
        if depth and (as_object(part) is not None or as_list(part) is not None):
            yield from _leaves(part, depth - 1)


def _brief(found: object) -> str:
    inner = as_object(found)
    told = (inner.get("message") or inner.get("type") or "") if inner else found
    return str(told)[:MAX_CATEGORY]
