"""`simlab report`: everything a folder holds is on one page, in words that are true to it, and the page works in a browser."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import files, simlab
from hypothesis import example, given
from hypothesis import strategies as st

from simlab.report.ratios import LEFT, WIDTH, axis, picture
from simlab.statistics import holm

pytestmark = pytest.mark.xdist_group("report")  # of one store and in one browser

HOSTILE = '</script><script>document.title = "taken"</script><img src="https://example.com/x.png" onerror="alert(1)">'


def claim(id: str = "A-1", **changes: Any) -> dict[str, Any]:
    """An entry of a file of verdicts."""
    ratios = changes.pop("ratios", [0.25, 0.5])
    return {
        "id": id,
        "name": id.lower().replace("-", "_"),
        "statement": f"statement of {id}: KL <= 1",
        "source": f"source of {id}",
        "provenance": "derived",
        "kind": "final",
        "sense": "upper",
        "subject": "games",
        "methods": ["egpo"],
        "conditions": [{"condition": "beta > 0", "held": 90, "of": 108}],
        "false_alarm": None,
        "outcome": "holds",
        "expected": True,
        "worst": max((ratio for ratio in ratios if ratio is not None), key=float, default=None),
        "closest": "rps, beta=0.1",
        "findings": [{"instance": f"game {number}", "ratio": ratio, "status": "ok"} for number, ratio in enumerate(ratios)],
        "vacuous": sum(ratio is None for ratio in ratios),
        "statuses": {},
        "seconds": 0.5,
        "command": f"simlab verify claim={id}",
        **changes,
    }


CLAIMS = [
    claim("A-1", provenance="published"),
    claim("A-2", methods=["egpo", "nash_mp"], ratios=[0.1, None, 0.3], statuses={"diverged": 1}),
    claim("A-3", methods=[], provenance="rate published", false_alarm="1e-06 a finding", ratios=[0.5] * 40),
    claim("B-1", outcome="violated", sense="predicted to fail", worst=1.5, ratios=[1.5, "inf"], methods=["nash_mp"]),
    claim("B-2", outcome="violated", expected=False, ratios=[2.0, 0.0], methods=["sppo"], provenance="published"),
    claim("B-3", outcome="inconclusive", worst=None, ratios=[None, None], subject="labelled pairs", methods=["dpo"]),
    claim("B-4", outcome="does not apply", worst=None, ratios=[], subject="populations", methods=[], conditions=[], closest=""),
]
KINDS = {"A-1": "holds", "A-2": "holds", "A-3": "holds", "B-1": "predicted", "B-2": "surprise", "B-3": "inconclusive", "B-4": "silent"}


def write(folder: Path, claims: list[dict[str, Any]], **changes: Any) -> Path:
    """A file of verdicts in a folder."""
    file = {
        "format": 1,
        "versions": {"simlab": "0.1.0", "python": "3.11.7", "numpy": "2.1.0"},
        "sources": "0123456789abcdef",
        "machine": {"system": "Linux", "processor": "a processor", "cores": 2},
        "written": "2026-01-02T03:04:05+00:00",
        "seconds": 12.5,
        "command": "simlab verify store=kept",
        "subjects": "108 instances (game, beta, start)",
        "claims": claims,
    }
    folder.mkdir(exist_ok=True)
    (folder / "verdicts.json").write_text(json.dumps(file | changes), encoding="utf-8")
    return folder


def report(folder: Path) -> str:
    """The page on a folder."""
    outcome = simlab("report", folder)
    assert (outcome.status, outcome.err) == (0, "")
    return (folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """A page's elements, and its words under the id of each element."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, str | None]] = []
        self.words: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "link", "br"):
            self.open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for name in {name for _, name in self.open if name}:
            self.words[name] = f"{self.words.get(name, '')}{data}"

    def said(self, name: str) -> str:
        return " ".join(self.words[name].split())


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return write(tmp_path / "kept", CLAIMS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with runs of two kinds, of which one method is better in every seed."""
    store = tmp_path_factory.mktemp("runs") / "store"
    sweep = ("run", "-m", f"store={store}", "seeds=12")
    assert simlab(*sweep, "env=blend", "env.intransitivity=0.2,0.8", "algorithm=egpo,nash_md,sppo", "steps=60").status == 0
    assert simlab(*sweep, "env=pairs", "env.n=300", "env.flip=0.2", "algorithm=dpo,rdpo").status == 0
    return store


@pytest.fixture(scope="module")
def runs_page(runs: Path) -> str:
    return report(runs)


class TestClaims:
    def test_each_claim_has_one_card_with_its_words(self, kept: Path) -> None:
        page = Page(report(kept))
        cards = [found for tag, found in page.elements if tag == "article"]
        assert [card["id"] for card in cards] == [f"claim-{each['id']}" for each in CLAIMS]
        for card, each in zip(cards, CLAIMS, strict=True):
            said = page.said(card["id"])
            assert all(each[key] in said for key in ("statement", "source", "command"))
            assert (card["data-verdict"], card["data-provenance"]) == (KINDS[each["id"]], each["provenance"])
            assert card["data-methods"].split() == each["methods"]

    def test_verdicts_in_words(self, kept: Path) -> None:
        page = Page(report(kept))
        for id, words in (
            ("A-1", "✓ holds"),
            ("B-1", "✗ fails as predicted"),
            ("B-2", "! violated, against the prediction"),
            ("B-3", "? inconclusive"),
            ("B-4", "– does not apply"),
        ):
            assert words in page.said(f"claim-{id}")
        assert "measured/claimed 0.5 largest, on rps, beta=0.1" in page.said("claim-A-1")
        assert "measured/claimed 1.5 smallest" in page.said("claim-B-1")
        assert "2 findings; 1 more says nothing; 1 diverged" in page.said("claim-A-2")
        assert "Nothing was measured: 2 findings say nothing" in page.said("claim-B-3")
        assert "beta > 0held on 90 of 108" in page.said("claim-A-1") and "No conditions" in page.said("claim-B-4")

    def test_a_ratio_near_1_is_not_shown_as_1(self, tmp_path: Path) -> None:
        page = Page(
            report(write(tmp_path / "kept", [claim("A", ratios=[1 - 3e-7]), claim("B", ratios=[1 + 2e-10]), claim("C", ratios=[1.0])]))
        )
        assert [re.search(r"measured/claimed (.*) largest", page.said(f"claim-{id}"))[1] for id in "ABC"] == ["1 − 3e-07", "1 + 2e-10", "1"]

    def test_what_is_derived_here_is_not_shown_as_published(self, kept: Path) -> None:
        page = Page(report(kept))
        for each in CLAIMS:
            said = page.said(f"claim-{each['id']}")
            badge = {"published": "Published: ", "derived": "Derived here: ", "rate published": "Rate published, constant derived here: "}
            assert f"{badge[each['provenance']]}{each['source']}" in said
            assert ("derived here" in said.lower()) == (each["provenance"] != "published")

    def test_counts_and_what_was_verified(self, kept: Path) -> None:
        text = report(kept)
        tiles = re.findall(r'class="tile (\w+)[^>]*><span class="number">(\d+)', text)
        assert tiles == [("holds", "3"), ("predicted", "1"), ("surprise", "1"), ("inconclusive", "1"), ("silent", "1")]
        for words in ("simlab verify store=kept", "2026-01-02T03:04:05+00:00", "numpy 2.1.0", "a processor", "0123456789ab", "2 cores"):
            assert words in text
        alarm = text[text.index('class="alarm"') :]
        assert re.findall(r'href="#claim-([\w-]+)"', alarm[: alarm.index("</p>")]) == ["B-2"]

    @pytest.mark.parametrize(
        ("alarms", "words"),
        [
            ([None], "No finding is a matter of chance."),
            (["1e-06 a finding", "3e-05 a finding at its bound"], "80 findings are statistical tests, .* together at most 0.001."),
            (["1e-06 a finding", "an unknown rate"], "40 findings are .* at most 4e-05. Not known, at least in part, is the rate of C-1."),
            (["1e-06 a finding at K, an unknown rate beside"], "0 findings .* the rate of C-0."),
        ],
    )
    def test_false_alarms_add_up(self, alarms: list[str | None], words: str, tmp_path: Path) -> None:
        page = Page(
            report(write(tmp_path / "kept", [claim(f"C-{n}", false_alarm=each, ratios=[0.5] * 40) for n, each in enumerate(alarms)]))
        )
        assert re.search(words, page.said("reading"))

    def test_methods_and_claims_are_crossed(self, kept: Path) -> None:
        text = report(kept)
        table = text[text.index('id="methods"') : text.index('id="claims"')]
        cells = {}
        for row in re.findall(r'<tr><th scope="row">(.*?)</tr>', table):
            for kind, id in re.findall(r'class="cell (\w+)" href="#claim-([\w-]+)"', row):
                cells[row.partition("<")[0], id] = kind
        assert cells == {(method, each["id"]): KINDS[each["id"]] for each in CLAIMS for method in each["methods"] or ["no method"]}

    def test_hostile_words_are_words(self, tmp_path: Path) -> None:
        keys = ("statement", "source", "provenance", "closest", "command", "subject", "false_alarm")
        evil = claim(HOSTILE, **dict.fromkeys(keys, HOSTILE), methods=[HOSTILE], statuses={HOSTILE: 1})
        evil["conditions"], evil["findings"][0]["instance"] = [{"condition": HOSTILE, "held": 1, "of": 1}], HOSTILE
        folder = write(tmp_path / "kept", [evil], command=HOSTILE, subjects=HOSTILE, versions={"simlab": HOSTILE})
        text = report(folder)
        page = Page(text)
        assert [tag for tag, _ in page.elements].count("script") == 1 and "img" not in dict(page.elements)
        assert "example.com/x.png" in text and "<img src=" not in text

    def test_nothing_is_fetched(self, kept: Path) -> None:
        page = Page(report(kept))
        assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.elements}
        for _, found in page.elements:
            for key in ("src", "href", "srcset", "action", "xlink:href"):
                assert (found.get(key) or "#").startswith(("#", "data:")), found
        (policy,) = [found["content"] for tag, found in page.elements if found.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")

    def test_the_same_folder_gives_the_same_page(self, kept: Path) -> None:
        assert report(kept) == report(kept)

    def test_a_page_on_many_findings_is_small(self, tmp_path: Path) -> None:
        ratios = np.random.default_rng(0).lognormal(size=300).tolist()
        assert len(report(write(tmp_path / "kept", [claim(f"C-{n}", ratios=ratios) for n in range(146)])).encode()) < 3e6

    @pytest.mark.slow
    def test_what_verify_writes_is_read(self, tmp_path: Path) -> None:
        assert simlab("verify", "claim=EG-1,GT-2,OMD-rate-1", "env=blend", f"store={tmp_path}").status == 0
        page = Page(report(tmp_path))
        assert {found["id"] for tag, found in page.elements if tag == "article"} == {"claim-EG-1", "claim-GT-2", "claim-OMD-rate-1"}
        assert "simlab verify claim=EG-1 env=blend" in page.said("claim-EG-1")


class TestPicture:
    @given(st.lists(st.floats(0, math.inf), min_size=1, max_size=30))
    def test_the_axis_keeps_the_order_and_holds_1(self, ratios: list[float]) -> None:
        along = axis(ratios)
        places = [along.place(ratio) for ratio in sorted({*ratios, 1.0})]
        assert places == sorted(places) and places[0] >= 0 and places[-1] <= 1
        assert 2 <= len(along.ticks) <= 12 and "1" in [label for _, label in along.ticks]
        assert all(0 <= place <= 1 for place, _ in along.ticks)

    @given(st.lists(st.one_of(st.none(), st.just("inf"), st.floats(0, 1e12)), max_size=300))
    @example([0.5] * 300)
    def test_a_dot_a_finding_that_counts(self, ratios: list[float | str | None]) -> None:
        drawn = picture(claim(ratios=ratios))
        counted = [float(ratio) for ratio in ratios if ratio is not None]
        dots = [float(x) / 1000 for x in re.findall(r"M([\d.]+) ", drawn)]
        assert len(dots) == len(counted) and bool(drawn) == bool(counted)
        along = axis(counted or [1.0])
        assert sorted(dots) == pytest.approx(sorted(map(along.place, counted)), abs=1e-4)
        assert all(0 <= float(y) <= 50 for y in re.findall(r"M[\d.]+ (-?[\d.e-]+)h", drawn))

    @pytest.mark.parametrize("worst", [0.0, 0.999, 1.5, "inf"])
    def test_the_ring_marks_the_ratio_that_decides(self, worst: float | str) -> None:
        drawn = picture(claim(ratios=[0.5, worst, 0.9], worst=worst))
        ring = float(re.search(r'class="worst" cx="([\d.]+)%"', drawn)[1])
        assert ring == pytest.approx(LEFT + WIDTH * axis([0.5, float(worst), 0.9]).place(float(worst)), abs=0.01)

    def test_runs_that_did_not_end_well_are_squares(self) -> None:
        each = claim(ratios=[0.5, 0.6, 0.7])
        each["findings"][1]["status"] = "diverged"
        paths = dict(re.findall(r'<path class="([\w ]+)" d="([^"]*)"', picture(each)))
        assert {kind: path.count("M") for kind, path in paths.items()} == {"dots": 2, "dots ill": 1}


class TestRuns:
    def test_a_row_a_run(self, runs: Path, runs_page: str) -> None:
        page = Page(runs_page)
        said = page.said("runs")
        assert "Self-play: 6 runs" in said and "Learning from labelled pairs: 2 runs" in said
        for path in runs.glob("*.parquet"):
            assert path.stem in said
        assert said.count("12 ok") == 8

    def test_medians_are_those_of_the_last_iteration(self, runs: Path, runs_page: str) -> None:
        (path,) = [path for path in runs.glob("sppo-*.parquet") if '"intransitivity": 0.2' in json.dumps(json.loads(config(path)))]
        frame = pq.read_table(path).to_pandas()
        last = frame[frame.step == 60]
        row = next(row for row in re.findall(r"<tr>(.*?)</tr>", runs_page) if path.stem in row)
        for measure in ("exploitability", "original_exploitability", "kl_to_equilibrium"):
            assert f"<td>{np.median(last[measure]):.3g}</td>" in row

    def test_comparisons_are_adjusted_over_the_whole_report(self, runs: Path) -> None:
        from simlab.report.comparisons import comparisons
        from simlab.report.runs import groups
        from simlab.statistics import compare
        from simlab.store import read

        found = groups([read(path) for path in sorted(runs.glob("*.parquet"))])
        raw = [
            p
            for group in found
            for measure in group.compared
            for p in compare(group.last, measure, within=group.cells, negligible=1e-16 if measure.startswith("orig") else 1e-30).p
        ]
        rows, refused = comparisons(found)
        assert not refused and len(rows) == len(raw) == 13
        np.testing.assert_allclose([float(row.p) for row in rows], holm(raw), rtol=0.05)
        assert all(row.verdict == "tie" for row in rows if float(row.p) > 0.05)
        first = next(row for row in rows if (row.first, row.second) == ("egpo", "sppo"))
        assert first.verdict == "egpo lower" and first.ended == "12 : 0 : 0" and first.cell == "env.intransitivity=0.2"

    @pytest.mark.slow
    def test_what_is_not_compared_or_drawn_is_said(self, tmp_path: Path) -> None:
        sweep = ("run", "-m", f"store={tmp_path}", "env=blend", "steps=3", "seeds=2")
        assert simlab(*sweep, "beta=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", "algorithm=egpo").status == 0
        assert simlab(*sweep, "algorithm=nash_md", "seed=1").status == 0
        said = Page(report(tmp_path)).said("runs")
        assert "Trajectories of 8 of 10 settings are drawn" in said
        assert "Not compared: Self-play, exploitability: " in said

    def test_trajectories_are_pictures_within_the_page(self, runs_page: str) -> None:
        sources = [found["src"] for tag, found in Page(runs_page).elements if tag == "img"]
        assert len(sources) == 2 and all(source.startswith("data:image/png;base64,iVBORw0KGgo") for source in sources)

    def test_runs_of_other_code_stand_apart(self, runs: Path, tmp_path: Path) -> None:
        here = [Path(shutil.copy(path, tmp_path)) for name in ("dpo", "egpo", "sppo") for path in sorted(runs.glob(f"{name}-*"))]
        moved = here[1:3]
        for path in moved:
            table = pq.read_table(path)
            other = table.schema.metadata[b"versions"].replace(b'"simlab": "', b'"simlab": "9.')
            pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"versions": other}), path)
        said = Page(report(tmp_path)).said("runs")
        assert "2 of 5 runs hold numbers of other code (2 of simlab 9." in said
        assert "Self-play, by simlab 9." in said and "Self-play: 2 runs" in said
        apart = said[said.index("Self-play, by") : said.index("Learning from")]
        assert [path.stem in apart for path in here] == [False, True, True, False, False]

    def test_hostile_settings_are_words(self, runs: Path, tmp_path: Path) -> None:
        path = next(runs.glob("dpo-*.parquet"))
        table = pq.read_table(path)
        settings = json.loads(table.schema.metadata[b"config"])
        settings["env"]["evil"] = HOSTILE
        (tmp_path / "kept").mkdir()
        shutil.copy(next(runs.glob("rdpo-*.parquet")), tmp_path / "kept")
        written = table.replace_schema_metadata({**table.schema.metadata, b"config": json.dumps(settings).encode()})
        pq.write_table(written, tmp_path / "kept" / path.name)
        text = report(tmp_path / "kept")
        assert "example.com/x.png" in text and "<img src=" not in text and text.count("<script>") == 1


def config(path: Path) -> str:
    return pq.read_schema(path).metadata[b"config"].decode()


class TestFolder:
    def test_verdicts_and_runs_together(self, kept: Path, runs: Path) -> None:
        for path in runs.glob("*dpo-*.parquet"):
            shutil.copy(path, kept)
        outcome = simlab("report", kept, "--output", kept / "both.html")
        assert outcome.out == f"7 claims and 2 runs in {kept / 'both.html'}\n" and outcome.status == 0
        assert {"claims", "runs"} <= Page((kept / "both.html").read_text(encoding="utf-8")).words.keys()

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("broken.parquet", "PAR1", "readable parquet file"),
            ("verdicts.json", "{", "readable JSON file"),
            ("verdicts.json", '{"format": 2}', "in format 1"),
            ("verdicts.json", '{"format": 1, "versions": {}}', "sources is missing"),
            (
                "verdicts.json",
                json.dumps({**json.loads(json.dumps({"format": 1})), "versions": [], "sources": ""}),
                "versions is missing, or of",
            ),
        ],
    )
    def test_a_file_that_cannot_be_read_is_named(self, name: str, content: str, reason: str, runs: Path, kept: Path) -> None:
        folder = kept
        shutil.copy(next(runs.glob("dpo-*.parquet")), folder)
        (folder / name).write_text(content)
        outcome = simlab("report", folder)
        assert outcome.status == 1 and outcome.err.startswith("simlab: left out: ") and outcome.err.count("\n") == 1
        left_out = Page((folder / "report.html").read_text(encoding="utf-8")).said("damaged")
        assert name in left_out and reason in left_out and name in outcome.err and reason in outcome.err

    @pytest.mark.parametrize("change", [{"findings": [{"instance": "x"}]}, {"worst": []}, {"conditions": [3]}, {"methods": "egpo"}])
    def test_a_malformed_claim_is_told(self, change: dict[str, Any], tmp_path: Path) -> None:
        outcome = simlab("report", write(tmp_path / "kept", [claim(**change)]))
        assert outcome.status == 2 and outcome.err.count("\n") == 1 and "is missing, or of another type" in outcome.err

    def test_an_error_leaves_the_old_page(self, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = report(kept)

        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device", str(kept))

        monkeypatch.setattr(Path, "write_text", fail)
        assert simlab("report", kept).status == 1
        assert (kept / "report.html").read_text(encoding="utf-8") == old and files(kept) == ["report.html", "verdicts.json"]

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ([], "simlab: the following arguments are required: folder"),
            (["none"], "simlab: none: must be an existing folder"),
            (["."], "simlab: .: must hold verdicts, of simlab verify store=., or runs, of simlab run store=."),
            ([".", "--output", "a.txt"], "simlab: --output=a.txt: must end in .html"),
            ([".", "--what"], "simlab: unrecognized arguments: --what"),
        ],
    )
    def test_refusals(self, words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        outcome = simlab("report", *words)
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err.startswith(expected) and outcome.err.count("\n") == 1
        assert files(tmp_path) == []


CONTRAST = """() => {
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("script, [hidden], option") || element.closest("svg")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${element.className || element.tagName}: ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write(tmp_path_factory.mktemp("page") / "kept", [*CLAIMS, claim("H-1", **dict.fromkeys(("statement", "source"), "x" * 400))])
    shutil.copytree(runs, folder, dirs_exist_ok=True)
    report(folder)
    return (folder / "report.html").as_uri()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Any]:
    """Opens a page; at the end nothing was asked of a network, and nothing went wrong."""
    asked, wrong, contexts = [], [], []

    def visit(address: str, **options: Any) -> Any:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert asked and all(url.startswith(("file:", "data:")) for url in asked)
    assert wrong == []


class TestBrowser:
    """In a real browser; what it asks for, and what it complains of, is written down."""

    def test_cards_and_pictures_show(self, visit: Any, file: str) -> None:
        page = visit(file)
        assert page.locator(".card:visible").count() == 8 and page.locator("#shown").inner_text() == "8 claims"
        assert page.locator(".card svg.ratios").count() == 6
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert all(box["width"] > 100 for box in (card.bounding_box() for card in page.locator(".card svg.ratios").all()))

    @pytest.mark.parametrize(
        ("wanted", "ids"),
        [
            ({"method": "egpo"}, "A-1 A-2 H-1"),
            ({"method": "-"}, "A-3 B-4"),
            ({"verdict": "holds"}, "A-1 A-2 A-3 H-1"),
            ({"verdict": "surprise"}, "B-2"),
            ({"provenance": "published"}, "A-1 B-2"),
            ({"provenance": "published", "method": "sppo"}, "B-2"),
            ({"method": "egpo", "verdict": "holds", "provenance": "derived", "q": "STATEMENT a-2"}, "A-2"),
            ({"q": "kl b-1"}, "B-1"),
            ({"method": "sppo", "verdict": "holds"}, ""),
        ],
    )
    def test_filters(self, wanted: dict[str, str], ids: str, visit: Any, file: str) -> None:
        page = visit(file)
        for key, value in wanted.items():
            field = page.locator(f"#filters [name={key}]")
            _ = field.fill(value) if key == "q" else field.select_option(value)
        self.shows(page, ids)
        again = visit(page.url)
        self.shows(again, ids)
        assert {key: again.locator(f"#filters [name={key}]").input_value() for key in wanted} == wanted
        again.locator("#filters button").click()
        again.wait_for_url(lambda url: "#" not in url)
        self.shows(again, "A-1 A-2 A-3 B-1 B-2 H-1 B-3 B-4")

    def shows(self, page: Any, ids: str) -> None:
        shown = page.locator(".card:visible h4").all_inner_texts()
        assert shown == ids.split()
        assert page.locator("#shown").inner_text() == (f"{len(shown)} of 8 claims" if len(shown) < 8 else "8 claims")
        parts = page.locator(".part:visible").all()
        assert all(part.locator(".card:visible").count() for part in parts)

    def test_links_lead_to_what_they_say(self, visit: Any, file: str) -> None:
        page = visit(file)
        page.locator(".tile.predicted").click()
        page.locator("#shown", has_text="1 of 8").wait_for()
        self.shows(page, "B-1")
        page.locator('.matrix a[href="#claim-A-2"]').first.click()
        page.locator("#shown", has_text=re.compile("^8 claims$")).wait_for()
        assert page.evaluate("document.querySelector('#claim-A-2').getBoundingClientRect().top") < 720

    def test_a_command_is_copied(self, visit: Any, file: str) -> None:
        page = visit(file, permissions=["clipboard-read", "clipboard-write"])
        page.locator("#claim-A-1 .command button").click()
        page.locator("#claim-A-1 .command button", has_text="copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == "simlab verify claim=A-1"

    @pytest.mark.parametrize("width", [320, 390, 768, 1280])
    def test_only_boxes_scroll_sideways(self, width: int, visit: Any, file: str) -> None:
        page = visit(file, viewport={"width": width, "height": 800})
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert page.evaluate("[...document.querySelectorAll('.card')].every(card => card.scrollWidth <= card.clientWidth + 1)")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_words_stand_out(self, scheme: str, visit: Any, file: str) -> None:
        assert visit(file, color_scheme=scheme).evaluate(CONTRAST) == []

    def test_without_scripts_it_is_a_long_page(self, visit: Any, file: str) -> None:
        page = visit(file, java_script_enabled=False)
        assert page.locator(".card:visible").count() == 8 and page.locator("#filters:visible").count() == 0

    def test_print(self, visit: Any, file: str) -> None:
        page = visit(file, color_scheme="dark")
        page.emulate_media(media="print")
        assert page.locator("#filters:visible, nav:visible, .command button:visible").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.querySelector('.card')).breakInside") == "avoid"
        assert page.pdf().startswith(b"%PDF")

    def test_hostile_words_do_nothing(self, visit: Any, tmp_path: Path) -> None:
        evil = claim(HOSTILE, **dict.fromkeys(("statement", "source", "provenance", "command"), HOSTILE), methods=["a", HOSTILE])
        folder = write(tmp_path / "kept", [evil, claim()])
        report(folder)
        page = visit((folder / "report.html").as_uri())
        assert page.title() == "simlab report: kept" and page.locator("img").count() == 0
        assert page.locator(".statement").first.inner_text() == HOSTILE
        page.locator("#filters [name=provenance]").select_option(HOSTILE)
        assert page.locator(".card:visible").count() == 1
