"""Datasets of prompts and pairs: every form reads the same, what is wrong is told its line, and tokens are those of the tokenizer."""

from __future__ import annotations

import gzip
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.invalid import Invalid
from scaled.dataset import read
from scaled.encoding import encode_pairs, encode_prompts
from scaled.prompts import Example
from simlab.refusal import explain

PROMPTS = '{"prompt": "one"}\n{"prompt": "two"}\n'
PAIRS = '{"prompt": "p", "chosen": "a", "rejected": "b"}\n'


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def write(path: Path, content: str | bytes | list) -> str:
    """A file of text, of bytes, or of rows."""
    if isinstance(content, list):
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def refusal(source: Any, *split: Any) -> Invalid:
    with pytest.raises(Invalid) as refused:
        read(source, *split)
    assert "\n" not in explain(refused.value) and len(explain(refused.value)) < 700
    return refused.value


@pytest.fixture(scope="module")
def datasets() -> Any:
    module = pytest.importorskip("datasets")
    module.disable_progress_bars()
    return module


# Forms

texts = st.text(max_size=12)
filled = st.text(min_size=1, max_size=12)
two = st.lists(texts, min_size=2, max_size=2, unique=True)
talks = st.lists(filled, min_size=1, max_size=3).map(
    lambda turns: (*(part for turn in turns[1:] for part in (user(turn), assistant(turn))), user(turns[0]))
)


@st.composite
def contents(draw: st.DrawFn) -> list[Example]:
    """Examples of one kind, as one table can hold them: text or conversations, prompts or pairs."""
    talk, pairs = draw(st.booleans()), draw(st.booleans())
    asked = draw(st.lists(talks if talk else filled, min_size=1, max_size=4))
    answers = [draw(two) if pairs else (None, None) for _ in asked]
    said = [tuple((assistant(text),) if talk and pairs else text for text in each) for each in answers]
    return [Example(line, prompt, *each) for line, (prompt, each) in enumerate(zip(asked, said, strict=True), 1)]


def rows(examples: list[Example]) -> list[dict[str, Any]]:
    named = ({"prompt": each.prompt, "chosen": each.chosen, "rejected": each.rejected} for each in examples)
    return [{key: list(part) if isinstance(part, tuple) else part for key, part in row.items() if part is not None} for row in named]


@given(contents(), st.booleans())
def test_every_kind_of_file_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, datasets: Any, examples: list[Example], ascii: bool
) -> None:
    folder, table = tmp_path_factory.mktemp("kinds"), [{"id": 3, **row} for row in rows(examples)]
    lines = "".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in table)
    write(folder / "a.jsonl", lines)
    write(folder / "a.json", lines.rstrip("\n"))
    write(folder / "A.JSONL.GZ", gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(table), folder / "a.parquet")
    whole = datasets.Dataset.from_list(table)
    whole.save_to_disk(folder / "whole")
    datasets.DatasetDict({"train": whole, "test": whole.select([0])}).save_to_disk(folder / "split")
    for name in ("a.jsonl", "a.json", "A.JSONL.GZ", "a.parquet", "whole", "split"):
        assert read(str(folder / name)) == examples, name
    assert read(str(folder / "split"), "test") == examples[:1]


@given(st.lists(st.tuples(talks, two), min_size=1, max_size=3))
def test_a_prompt_that_is_repeated_or_left_out_is_the_same(tmp_path_factory: pytest.TempPathFactory, talk: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("forms")
    told = [(list(prompt), [[*prompt, assistant(text)] for text in answers], answers) for prompt, answers in talk]
    forms = [
        [{"prompt": prompt, "chosen": [assistant(first)], "rejected": [assistant(second)]} for prompt, _, (first, second) in told],
        [{"prompt": prompt, "chosen": whole[0], "rejected": whole[1]} for prompt, whole, _ in told],
        [{"prompt": prompt, "chosen": whole[0], "rejected": [assistant(second)]} for prompt, whole, (_, second) in told],
        [{"prompt": prompt, "chosen": first, "rejected": second} for prompt, _, (first, second) in told],
        [{"chosen": whole[0], "rejected": whole[1]} for _, whole, _ in told],
        [{"prompt": None, "chosen": whole[0], "rejected": whole[1]} for _, whole, _ in told],
    ]
    found = [read(write(folder / f"{number}.jsonl", form)) for number, form in enumerate(forms)]
    assert all(examples == found[0] for examples in found)
    for example, (prompt, answers) in zip(found[0], talk, strict=True):
        assert example.prompt == prompt
        assert (example.chosen, example.rejected) == tuple((assistant(text),) for text in answers)


def test_a_plain_prompt_beside_conversations_is_a_turn_of_the_user(tmp_path: Path) -> None:
    expected = [Example(1, (user("p"),), (assistant("a"),), (assistant("b"),))]
    alone, whole = ([assistant("a")], [assistant("b")]), ([user("p"), assistant("a")], [user("p"), assistant("b")])
    for chosen, rejected in (alone, whole):
        assert read(write(tmp_path / "a.jsonl", [{"prompt": "p", "chosen": chosen, "rejected": rejected}])) == expected
    assert read(write(tmp_path / "a.jsonl", [{"prompt": "p", "chosen": "p a", "rejected": "p b"}])) == [Example(1, "p", "p a", "p b")]


def test_blank_lines_count_and_marks_of_editors_do_not_matter(tmp_path: Path) -> None:
    first, second = PROMPTS.splitlines()
    content = b"\xef\xbb\xbf" + f"{first}\r\n\r\n   \n\t{second}\n\n\n".encode()
    assert read(write(tmp_path / "a.jsonl", content)) == [Example(1, "one"), Example(4, "two")]
    assert str(refusal(write(tmp_path / "a.jsonl", content + b"{")).value).endswith("a.jsonl, line 7")


def test_other_keys_are_ignored_and_nulls_are_missing(tmp_path: Path) -> None:
    turn = {**user("p"), "name": None, "score": 3}
    row = {"prompt": [turn], "chosen": None, "rejected": None, "messages": 3, "score": float("nan")}
    assert read(write(tmp_path / "a.jsonl", [row])) == [Example(1, (user("p"),))]


@pytest.mark.parametrize("form", ["numpy", "arrow", "pandas"])
def test_a_format_that_was_saved_with_a_folder_does_not_matter(tmp_path: Path, datasets: Any, form: str) -> None:
    data = datasets.Dataset.from_dict({"prompt": [[user("p")], [user("q")], [user("r")]]})
    data.select([2, 0]).with_format(form).save_to_disk(tmp_path / "saved")
    assert read(str(tmp_path / "saved")) == [Example(1, (user("r"),)), Example(2, (user("p"),))]


def no_text() -> pa.Array:
    """One string that is not UTF-8."""
    return pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])


def test_what_is_wrong_with_other_columns_does_not_matter(tmp_path: Path, datasets: Any) -> None:
    table = pa.table({"prompt": ["p"], "other": no_text()})
    pq.write_table(table, tmp_path / "a.parquet")
    datasets.Dataset(table).save_to_disk(tmp_path / "saved")
    for name in ("a.parquet", "saved"):
        assert read(str(tmp_path / name)) == [Example(1, "p")]


def test_text_of_a_table_that_is_not_utf_8_is_refused(tmp_path: Path, datasets: Any) -> None:
    table = pa.table({"prompt": no_text()})
    pq.write_table(table, tmp_path / "a.parquet")
    datasets.Dataset(table).save_to_disk(tmp_path / "saved")
    for name in ("a.parquet", "saved"):
        assert "'utf-8' codec can't decode byte 0xff" in refusal(str(tmp_path / name)).allowed


# Refusals

FORM = "with prompt, or with prompt, chosen and rejected"
TALK = [user("p"), assistant("a")]
MALFORMED = {
    "cut off": ('{"prompt": "two', "Unterminated string starting at: column 12"),
    "not json": ("two", "Expecting value: column 1"),
    "two objects": ('{"prompt": "a"} {"prompt": "b"}', "Extra data: column 17"),
    "other bytes": (b'{"prompt": "\xff"}', "byte 13 is not UTF-8"),
    "deep": ("[" * 200_000, "recursion"),
    "digits": ('{"prompt": "a", "id": ' + "9" * 5000 + "}", "4300 digits"),
    "list": ('["two"]', "it is of type list"),
    "null": ("null", "it is of type NoneType"),
    "other columns": ({"question": "two", "answer\n": "2"}, "prompt is missing, there are ['question','answer\\n']"),
    "null prompt": ({"prompt": None}, "prompt is missing"),
    "empty prompt": ({"prompt": ""}, "prompt is empty"),
    "empty conversation": ({"prompt": []}, "prompt is empty"),
    "nothing said": ({"prompt": [user("")]}, "prompt is empty"),
    "number": ({"prompt": 3}, "prompt is of type int, neither text nor a conversation"),
    "object": ({"prompt": user("p")}, "prompt is of type dict, neither text nor a conversation"),
    "list of texts": ({"prompt": ["p"]}, "prompt, turn 1 is of type str, not an object with role and content"),
    "no content": ({"prompt": [user("p"), {"role": "user"}]}, "prompt, turn 2 has no text as content"),
    "content of parts": ({"prompt": [{"role": "user", "content": [{"type": "text"}]}]}, "prompt, turn 1 has no text as content"),
    "no role": ({"prompt": [{"content": "p"}]}, "prompt, turn 1 has no text as role"),
    "half a character": ('{"prompt": "\\ud83d"}', "prompt has half of a surrogate pair, which no UTF-8 text has"),
    "half a character said": ('{"prompt": [{"role": "user", "content": "a\\udc00"}]}', "prompt, turn 1 has half of a surrogate pair"),
    "assistant last": ({"prompt": TALK}, "prompt ends with the assistant"),
    "beginning ends with the assistant": (
        {"chosen": [*TALK, user("x"), assistant("y")], "rejected": [*TALK, user("z"), assistant("y")]},
        "prompt ends with the assistant",
    ),
    "nothing in common": ({"chosen": TALK, "rejected": [user("q"), assistant("b")]}, "prompt is empty"),
    "texts without prompt": ({"chosen": "p a", "rejected": "p b"}, "prompt is missing"),
    "chosen alone": ({"prompt": "p", "chosen": "a"}, "chosen without rejected"),
    "rejected alone": ({"prompt": "p", "rejected": "a", "chosen": None}, "rejected without chosen"),
    "the same": ({"prompt": "p", "chosen": "a", "rejected": "a"}, "chosen and rejected are the same"),
    "the same without prompt": ({"chosen": TALK, "rejected": TALK}, "chosen and rejected are the same"),
    "the same but for the prompt": ({"prompt": [user("p")], "chosen": TALK, "rejected": "a"}, "chosen and rejected are the same"),
    "answer of another kind": ({"prompt": "p", "chosen": "a", "rejected": 3}, "rejected is of type int"),
    "another conversation": (
        {"prompt": [user("q")], "chosen": TALK, "rejected": [assistant("b")]},
        "chosen is not one turn of the assistant, after the prompt or alone",
    ),
    "answer of the user": ({"prompt": "p", "chosen": "a", "rejected": [user("b")]}, "rejected is not one turn of the assistant"),
    "answer without turns": ({"prompt": "p", "chosen": "a", "rejected": []}, "rejected is not one turn of the assistant"),
    "pair among prompts": ({"prompt": "p", "chosen": "a", "rejected": "b"}, "chosen and rejected are there, unlike in the first example"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_row_is_told_its_line_and_why(tmp_path: Path, case: str) -> None:
    content, reason = MALFORMED[case]
    line = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content)).encode()
    source = write(tmp_path / "a.jsonl", b'{"prompt": "one"}\n\n' + line + b"\nnot even read\n")
    refused = refusal(source)
    assert refused.key == "dataset" and refused.value == f"{source}, line 3"
    assert refused.allowed.startswith(f"a JSON object {FORM} (") and reason in refused.allowed


def test_prompts_among_pairs_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", PAIRS * 2 + PROMPTS)
    assert str(refusal(source)).startswith(
        f"dataset={source}, line 3: must be a JSON object {FORM} (chosen and rejected are missing, unlike in the first example)"
    )


def test_a_row_of_a_table_is_told_its_number(tmp_path: Path, datasets: Any) -> None:
    table = [{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "p", "chosen": "a", "rejected": None}]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "a.parquet")
    datasets.Dataset.from_list(table).save_to_disk(tmp_path / "saved")
    for source in (str(tmp_path / "a.parquet"), str(tmp_path / "saved")):
        refused = refusal(source)
        assert (refused.key, refused.value) == ("dataset", f"{source}, row 2")
        assert refused.allowed == f"a row {FORM} (chosen without rejected)"


def test_columns_of_a_table_that_has_none_of_ours_are_listed(tmp_path: Path, datasets: Any) -> None:
    table = [{"question": "p", "Prompt": "q"}]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "a.parquet")
    datasets.Dataset.from_list(table).save_to_disk(tmp_path / "saved")
    for source in (str(tmp_path / "a.parquet"), str(tmp_path / "saved")):
        assert str(refusal(source)) == f"dataset={source}: must be a table {FORM} (there are ['question','Prompt'])"


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_a_dataset_without_examples_is_refused(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), source)
    else:
        write(source, gzip.compress(b"\n \n") if name.endswith("gz") else "\n \n")
    assert str(refusal(str(source))) == f"dataset={source}: must be a dataset of at least one example"


def test_a_file_that_was_not_written_to_its_end_gives_no_wrong_examples(tmp_path: Path) -> None:
    content = (PAIRS + '\n{"prompt": "é", "chosen": "x", "rejected": "y"}\n').encode()
    first, second = len(PAIRS), len(content)
    examples = read(write(tmp_path / "a.jsonl", content))
    for end in range(1, second):
        source = write(tmp_path / "a.jsonl", content[:end])
        if end in (first - 1, first, first + 1, second - 1):
            assert read(source) == examples[: 2 if end == second - 1 else 1]
        else:
            assert refusal(source).value == f"{source}, line {1 if end < first else 3}"


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.parquet"])
def test_a_compressed_file_that_is_not_whole_is_refused(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pq.write_table(pa.table({"prompt": [f"p{number}" for number in range(1000)]}), tmp_path / name)
    else:
        write(tmp_path / name, gzip.compress(b"".join(b'{"prompt": "%d"}\n' % number for number in range(1000))))
    content = (tmp_path / name).read_bytes()
    assert len(read(str(tmp_path / name))) == 1000
    middle = len(content) // 2
    for part in (content[:-1], content[:middle], content[:9], content[:middle] + bytes(200) + content[middle + 200 :], b"no such thing"):
        refused = refusal(write(tmp_path / name, part))
        assert (refused.key, refused.value) == ("dataset", str(tmp_path / name)) and refused.allowed.startswith("a readable ")


@pytest.mark.parametrize("file", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
def test_a_saved_folder_that_is_not_whole_is_refused(tmp_path: Path, datasets: Any, file: str) -> None:
    folder = tmp_path / "saved"
    datasets.Dataset.from_dict({"prompt": [f"p{number}" for number in range(1000)]}).save_to_disk(folder)
    content = (folder / file).read_bytes()
    for part in (content[: len(content) // 2], b"", b"[]" * 400):
        (folder / file).write_bytes(part)
        refused = refusal(str(folder))
        assert (refused.key, refused.value) == ("dataset", str(folder)), refused
        assert refused.allowed.startswith(("a folder that `datasets` has saved (", "a readable table ("))


def test_what_is_no_dataset_is_refused(tmp_path: Path, datasets: Any) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    write(tmp_path / "a.txt", PROMPTS)
    for source, allowed in {
        3: "a file, a folder, or the name of a dataset of the hub",
        "": "a file, a folder, or the name of a dataset of the hub",
        str(tmp_path / "none.jsonl"): "an existing file",
        str(tmp_path / "none.parquet"): "an existing file",
        str(tmp_path / "none"): "an existing file or folder, or a dataset of the hub",
        "../none": "an existing file or folder, or a dataset of the hub",
        str(tmp_path / "a.txt"): "a file whose name ends in .jsonl, .json, .jsonl.gz, .json.gz or .parquet",
    }.items():
        assert str(refusal(source)) == f"dataset={source}: must be {allowed}"
    for folder in (tmp_path, tmp_path / "folder.jsonl"):
        assert refusal(str(folder)).allowed.startswith("a folder that `datasets` has saved (")


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, datasets: Any) -> None:
    data = datasets.Dataset.from_dict({"prompt": ["p"]})
    datasets.DatasetDict({"train": data, "validation": data}).save_to_disk(tmp_path / "split")
    data.save_to_disk(tmp_path / "whole")
    data.to_parquet(tmp_path / "a.parquet")
    write(tmp_path / "a.jsonl", PROMPTS)
    said = refusal(str(tmp_path / "split"), "test")
    assert str(said) == f"dataset={tmp_path / 'split'}, split test: must be one of its splits: train, validation"
    for name in ("whole", "a.parquet", "a.jsonl"):
        said = refusal(str(tmp_path / name), "test")
        assert str(said) == f"dataset={tmp_path / name}, split test: must be split train, the only one there is"
        assert read(str(tmp_path / name))[0].line == 1
    for split in (None, "", 3):
        assert refusal(str(tmp_path / "split"), split).key == "split"


def test_files_need_no_package_and_what_needs_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert len(read(write(tmp_path / "a.jsonl", PROMPTS))) == 2
    for source in (str(tmp_path), "somebody/something"):
        assert refusal(source).allowed.endswith("folders and datasets of the hub need pip install 'simlab[lm]'")


def test_a_dataset_of_the_hub_is_read_by_its_name(tmp_path: Path, datasets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what an earlier download has left, since there is no network."""
    write(tmp_path / "a.jsonl", PAIRS * 2)
    datasets.load_dataset("json", data_files={"train": str(tmp_path / "a.jsonl")}, cache_dir=str(tmp_path / "made"))
    (made,) = (tmp_path / "made" / "json").glob("*/*/*/dataset_info.json")
    kept = tmp_path / "kept" / "somebody___something" / "default" / "0.0.0" / "0"
    made.parent.rename(kept.parent.mkdir(parents=True) or kept)
    info = json.loads((kept / "dataset_info.json").read_text())
    (kept / "dataset_info.json").write_text(json.dumps({**info, "config_name": "default", "dataset_name": "something"}))
    (kept / "json-train.arrow").rename(kept / "something-train.arrow")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "kept"))
    assert read("somebody/something") == [Example(1, "p", "a", "b"), Example(2, "p", "a", "b")]
    said = refusal("somebody/something", "test")
    assert said.value == "somebody/something, split test" and "Unknown split" in said.allowed and "train" in said.allowed
    assert refusal("somebody/nothing").allowed.startswith("an existing file or folder, or a dataset of the hub (")


# Tokens

SPECIAL = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT = (
    "{{ bos_token }}{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def bytes_tokenizer(template: str | None = CHAT, *, added: str = "<s> $A </s>", end: str | None = "</s>") -> Any:
    """Pairs of bytes that were seen together, no padding token."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet, vocab_size=300, show_progress=False)
    made.train_from_iterator(["the cat sat on the mat", "the theatre that they thatched", "answers, answers, answers"], trainer)
    numbers = [(token, made.token_to_id(token)) for token in SPECIAL]
    made.post_processor = tokenizers.processors.TemplateProcessing(single=added, special_tokens=numbers)
    ends = {} if end is None else {"eos_token": end}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", model_max_length=8, **ends)
    tokenizer.chat_template = template
    assert tokenizer.pad_token is None
    return tokenizer


def words_tokenizer(template: str | None) -> Any:
    """Words between spaces, other ones unknown."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    known = ["<unk>", "</s>", "user:", "assistant:", "-", "cat", "dog", "yes", "no"]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>")
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return bytes_tokenizer()


ROOM = 10_000
START, END = 0, 1


def without_special(text: str) -> bool:
    return not any(token in text for token in SPECIAL)


spoken = st.text(min_size=1, max_size=30).filter(without_special)
english = st.lists(st.sampled_from(["the", " the", "at", " cat", "ans", "wers", ", "]), min_size=1, max_size=6).map("".join)


@given(spoken | english, spoken | english, (st.just("") | spoken | english))
def test_plain_text_is_opened_and_answers_are_closed(tokenizer: Any, prompt: str, first: str, second: str) -> None:
    example = Example(1, prompt, first, second)
    (asked,), (pair,) = encode_prompts([example], tokenizer, ROOM), encode_pairs([example], tokenizer, ROOM)
    assert asked == pair.prompt and asked.content == prompt and asked.number == 0
    assert asked.tokens == (START, *tokenizer(prompt, add_special_tokens=False)["input_ids"])
    for text, tokens in ((first, pair.chosen), (second, pair.rejected)):
        assert tokens == (*tokenizer(text, add_special_tokens=False)["input_ids"], END)
        assert tokenizer.decode(asked.tokens + tokens) == f"<s>{prompt}{text}</s>"


def test_no_token_stretches_over_the_seam(tokenizer: Any) -> None:
    together = tokenizer("the cat", add_special_tokens=False)["input_ids"]
    (pair,) = encode_pairs([Example(1, "the c", "at", "ar")], tokenizer, ROOM)
    assert (*pair.prompt.tokens, *pair.chosen) != (START, *together, END)
    assert tokenizer.decode(pair.prompt.tokens) == "<s>the c" and tokenizer.decode(pair.chosen) == "at</s>"


@pytest.mark.parametrize(
    ("added", "before"),
    [("<s> $A", (START,)), ("$A </s>", ()), ("$A", ()), ("</s> $A </s>", (END,)), ("<s> <s> $A <s> </s>", (START, START))],
)
def test_a_prompt_has_what_the_tokenizer_puts_before_it_and_nothing_after(added: str, before: tuple[int, ...]) -> None:
    tokenizer = bytes_tokenizer(added=added)
    for text in ("the cat", "the cat</s>", "</s>", "<s>"):
        (prompt,) = encode_prompts([Example(1, text)], tokenizer, ROOM)
        assert prompt.tokens == (*before, *tokenizer(text, add_special_tokens=False)["input_ids"])


def test_a_tokenizer_written_in_python_does_as_well() -> None:
    tokenizer = pytest.importorskip("transformers").ByT5Tokenizer()
    (pair,) = encode_pairs([Example(1, "ab", "a", "b")], tokenizer, ROOM)
    assert (pair.prompt.tokens, pair.chosen, pair.rejected) == ((100, 101), (100, 1), (101, 1))


def test_an_answer_is_closed_once_and_not_at_all_without_an_end() -> None:
    (pair,) = encode_pairs([Example(1, "p", "a</s>", "b")], bytes_tokenizer(), ROOM)
    assert pair.chosen.count(END) == pair.rejected.count(END) == 1
    (pair,) = encode_pairs([Example(1, "p", "a", "b")], bytes_tokenizer(end=None), ROOM)
    assert len(pair.chosen) == len(pair.rejected) == 1 and END not in pair.chosen + pair.rejected


@given(talks.filter(lambda talk: all(without_special(turn["content"]) for turn in talk)), spoken, spoken)
def test_conversations_are_what_the_template_makes_of_them(
    tokenizer: Any, talk: tuple[dict[str, str], ...], first: str, second: str
) -> None:
    example = Example(1, talk, (assistant(first),), (assistant(second),))
    (asked,), (pair,) = encode_prompts([example], tokenizer, ROOM), encode_pairs([example], tokenizer, ROOM)
    assert asked == pair.prompt and asked.content == talk
    assert list(asked.tokens) == tokenizer.apply_chat_template(list(talk), add_generation_prompt=True, return_dict=False)
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
    for text, tokens in ((first, pair.chosen), (second, pair.rejected)):
        whole = tokenizer.apply_chat_template([*talk, assistant(text)], return_dict=False)
        assert [*asked.tokens, *tokens, *newline] == whole, "an answer stops at its end token"
        assert tokens[-1] == END and tokens.count(END) == 1


def test_a_template_that_closes_no_turn_closes_no_answer() -> None:
    template = (
        "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    (pair,) = encode_pairs([Example(1, (user("p"),), (assistant("a"),), (assistant("b"),))], bytes_tokenizer(template), ROOM)
    assert bytes_tokenizer().decode(pair.chosen) == "a"


def test_an_answer_whose_first_token_would_take_from_the_prompt_is_tokenized_alone() -> None:
    tokenizer = words_tokenizer(
        "{% for turn in messages %}{{ turn.role }}: {{ '-' if turn.role == 'assistant' }}{{ turn.content }} </s> - {% endfor %}"
        "{% if add_generation_prompt %}assistant: -{% endif %}"
    )
    (pair,) = encode_pairs([Example(1, (user("dog"),), (assistant("cat yes"),), (assistant(" no"),))], tokenizer, ROOM)
    said = [tokenizer.convert_ids_to_tokens(tokens) for tokens in (pair.prompt.tokens, pair.chosen, pair.rejected)]
    assert said == [["user:", "dog", "</s>", "-", "assistant:", "-"], ["cat", "yes", "</s>"], ["no", "</s>"]]


def test_an_answer_is_not_tokenized_as_the_beginning_of_a_text() -> None:
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    known = ["<unk>", "<|user|>", "<|assistant|>", "▁yes", "yes", "▁no", "no"]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="first")
    made.add_special_tokens(known[1:3])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")
    tokenizer.chat_template = CHAT.replace("</s>\n", "").replace("{{ bos_token }}", "")
    (pair,) = encode_pairs([Example(1, (user("yes"),), (assistant("yes"),), (assistant("no"),))], tokenizer, ROOM)
    said = [tokenizer.convert_ids_to_tokens(tokens) for tokens in (pair.prompt.tokens, pair.chosen, pair.rejected)]
    assert said == [["<|user|>", "yes", "<|assistant|>"], ["yes"], ["no"]]


def test_a_template_that_writes_a_prompt_in_two_ways_shows_no_answer() -> None:
    tokenizer = bytes_tokenizer(CHAT.replace("<|assistant|>{% endif %}", "<|assistant|><think>{% endif %}"))
    tokenizer.name_or_path = "thinker"
    example = Example(17, (user("p"),), (assistant("a"),), (assistant("b"),))
    assert tokenizer.decode(encode_prompts([example], tokenizer, ROOM)[0].tokens).endswith("<|assistant|><think>")
    with pytest.raises(Invalid, match="line 17, a conversation: must be plain text: the chat template of thinker writes its prompt in"):
        encode_pairs([example], tokenizer, ROOM)


def test_a_conversation_needs_a_template_that_takes_it() -> None:
    without, example = bytes_tokenizer(None), Example(17, ({"role": "system", "content": "s"}, user("p")))
    without.name_or_path = "a/b"
    with pytest.raises(Invalid) as refused:
        encode_prompts([Example(1, "plain"), example], without, ROOM)
    assert str(refused.value) == "dataset=line 17, a conversation: must be plain text: the tokenizer of a/b has no chat template"
    strict = bytes_tokenizer("{{ raise_exception('no\nsystem turn') if messages[0].role == 'system' }}" + CHAT)
    for template in (strict.chat_template, "{{ messages[3].content }}", "{% for", "{{ messages + 1 }}"):
        strict.chat_template = template
        with pytest.raises(Invalid) as refused:
            encode_prompts([example], strict, ROOM)
        assert refused.value.key == "dataset" and refused.value.value == "line 17, a conversation"
        assert refused.value.allowed.startswith("one that the chat template of the model takes (") and "\n" not in str(refused.value)


def test_a_prompt_is_the_same_on_all_days() -> None:
    dated = "\n{{ strftime_now('%d %b %Y') }} {% if strftime_now is defined %}{{ strftime_now('%Y-%m-%d') }}{% endif %}" + CHAT
    (prompt,) = encode_prompts([Example(1, (user("p"),))], bytes_tokenizer(dated), ROOM)
    assert bytes_tokenizer().decode(prompt.tokens) == "\n26 Jul 2024 2024-07-26<s><|user|>p</s>\n<|assistant|>"


def test_room_is_exact_and_the_line_is_named(tokenizer: Any) -> None:
    examples = [Example(5, "the cat", "at", "a"), Example(17, "the mat on the mat", "answers, answers", "the")]
    prompts, pairs = encode_prompts(examples, tokenizer, ROOM), encode_pairs(examples, tokenizer, ROOM)
    assert [prompt.number for prompt in prompts] == [pair.prompt.number for pair in pairs] == [0, 1]
    most = len(prompts[1].tokens)
    assert encode_prompts(examples, tokenizer, most) == prompts and most > len(prompts[0].tokens)
    with pytest.raises(Invalid) as refused:
        encode_prompts(examples, tokenizer, most - 1)
    assert str(refused.value) == f"dataset=line 17: {most} tokens: must be at most {most - 1} tokens, the room for a prompt"
    for swapped, name in ((False, "chosen"), (True, "rejected")):
        given = [replace(each, chosen=each.rejected, rejected=each.chosen) for each in examples] if swapped else examples
        both = most + max(len(pairs[1].chosen), len(pairs[1].rejected))
        assert len(encode_pairs(given, tokenizer, both)) == 2
        with pytest.raises(Invalid) as refused:
            encode_pairs(given, tokenizer, both - 1)
        told = f"dataset=line 17, {name}: {both} tokens: must be at most {both - 1} tokens, prompt and answer together"
        assert str(refused.value) == told


def test_nobody_is_warned_of_a_length_that_fits(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    long, talk = "qwertyuiop", ((user("qwertyuiop"),), (assistant("a"),), (assistant("b"),))
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    for example in (Example(1, long, "a", "b"), Example(1, "p", long, "b"), Example(1, *talk)):
        tokenizer = bytes_tokenizer()
        assert tokenizer.model_max_length < 9
        encode_pairs([example], tokenizer, ROOM)
    assert not caplog.records
    bytes_tokenizer()(long)
    assert caplog.records, "which others are"


def test_what_has_no_tokens_is_refused() -> None:
    words, more = words_tokenizer(None), bytes_tokenizer(end=None)
    for tokenizer, prompt in ((words, "   "), (bytes_tokenizer(), "")):
        with pytest.raises(Invalid, match=r"^dataset=line 4: 0 tokens: must be a prompt of at least one token$"):
            encode_prompts([Example(4, prompt)], tokenizer, ROOM)
    with pytest.raises(Invalid, match=r"^dataset=line 4, rejected: 0 tokens: must be an answer of at least one token$"):
        encode_pairs([Example(4, "p", "a", "")], more, ROOM)
    with pytest.raises(Invalid, match=r"^dataset=line 4, chosen: must be an answer: pairs are learnt from$"):
        encode_pairs([Example(4, "p")], more, ROOM)
    assert encode_pairs([Example(4, "p", "a", "")], bytes_tokenizer(), ROOM)[0].rejected == (END,)
