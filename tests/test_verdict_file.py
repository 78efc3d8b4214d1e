"""`simlab verify store=DIR`: what verdicts.json says, that it is whole or not there, and what it keeps from before."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from command import python, simlab
from scipy.stats import norm

from simlab import catalogue, verdict_file, verification
from simlab.claim_methods import methods
from simlab.verification import claims, select
from theory.claim import Claim, Conditions, Finding, judge
from theory.instances import standard_subjects
from theory.pair_statistics import FALSE_ALARM

READ = cache(claims)


@pytest.fixture(autouse=True)
def claims_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "claims", READ)


def strict(text: str) -> Any:
    """JSON without the literals that are none."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def read(folder: Path) -> dict[str, Any]:
    return strict((folder / "verdicts.json").read_text(encoding="utf-8"))


def entries(folder: Path) -> dict[str, Any]:
    return {entry["id"]: entry for entry in read(folder)["claims"]}


def verify(folder: Path, *words: str) -> str:
    """What the last line says."""
    status, out, err = simlab("verify", *words, f"store={folder}")
    assert (status, err) == (0, "")
    return out.splitlines()[-1]


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = read(folder)
    change(file)
    (folder / "verdicts.json").write_text(json.dumps(file), encoding="utf-8")


class TestWhatItSays:
    def test_the_verdicts(self, tmp_path: Path) -> None:
        said = verify(tmp_path, "claim=GT-6,EG-1-beyond,DPO-7b,PAL-11")
        assert said == f"{tmp_path}/verdicts.json: 4 verdicts."
        file = read(tmp_path)
        assert file["format"] == 1
        assert file["subjects"] == "108 instances (game, beta, start), 3 worlds of labelled pairs, 10 populations"
        assert file["command"] == "simlab verify claim=DPO-7b,EG-1-beyond,GT-6,PAL-11"
        assert file["machine"]["cores"] >= 1
        for name, claim in select(["GT-6", "EG-1-beyond", "DPO-7b", "PAL-11"]).items():
            verdict, entry = judge(claim, standard_subjects()), entries(tmp_path)[claim.id]
            for word in ("id", "statement", "source", "provenance", "kind", "sense"):
                assert entry[word] == getattr(claim, word)
            assert (entry["name"], entry["outcome"], entry["expected"]) == (name, verdict.outcome, True)
            assert (entry["worst"], entry["closest"]) == (verdict.worst, verdict.closest)
            assert [(f["instance"], f["ratio"], f["status"]) for f in entry["findings"]] == [
                (f.instance, f.ratio, f.status) for f in verdict.findings
            ]
            ratios = [f["ratio"] for f in entry["findings"] if f["ratio"] is not None]
            assert (len(ratios), entry["vacuous"]) == (verdict.instances, verdict.vacuous)
            assert entry["worst"] in (min(ratios), max(ratios))
        assert [entry["subject"] for entry in file["claims"]] == ["labelled pairs", "games", "games", "populations"]

    def test_its_commands_give_it_again(self, tmp_path: Path) -> None:
        counts = tmp_path / "my counts.csv"
        shutil.copy(Path(__file__).parents[1] / "examples" / "sushi_counts.csv", counts)
        verify(tmp_path / "first", "claim=GT-6,NMD-unbiased", "env=recorded", f"env.path={counts}", "betas=[0.1,1.0]")
        first = entries(tmp_path / "first")
        for entry in first.values():
            words = shlex.split(entry["command"])
            assert words[:2] == ["simlab", "verify"]
            verify(tmp_path / "again", *words[2:])
        again = entries(tmp_path / "again")
        assert [dict(entry, seconds=0) for entry in again.values()] == [dict(entry, seconds=0) for entry in first.values()]
        assert read(tmp_path / "again")["command"] == read(tmp_path / "first")["command"]

    def test_a_claim_is_selected_by_its_id(self) -> None:
        assert all(list(select([claim.id])) == [name] for name, claim in READ().items())

    def test_without_store_nothing_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        simlab("verify", "claim=GT-6")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("sense", "ratios", "worst"), [("upper", [0.5, "inf", None, "inf"], "inf"), ("predicted to fail", [0.5, "inf", None, 0.0], 0.0)]
    )
    def test_ratios_that_are_no_numbers(
        self, sense: str, ratios: list, worst: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Given(Claim):
            kind = "final"

            def findings(self, instances):
                return [Finding(f"{ratio}", ratio, "diverged") for ratio in (0.5, math.inf, None, math.nan)]

        given = Given(id="x", provenance="derived", statement="</script>", source="\u2028", sense=sense)
        monkeypatch.setattr(verification, "claims", lambda: {"given": given})
        simlab("verify", f"store={tmp_path}")
        entry = entries(tmp_path)["x"]
        assert [finding["ratio"] for finding in entry["findings"]] == ratios
        assert (entry["worst"], entry["vacuous"], entry["statuses"]) == (worst, 1, {"diverged": 4})
        assert (entry["statement"], entry["source"]) == ("</script>", "\u2028")

    def test_a_claim_that_does_not_apply(self, tmp_path: Path) -> None:
        verify(tmp_path, "claim=DPO-1", "env=cyclic")
        entry = entries(tmp_path)["DPO-1"]
        assert (entry["outcome"], entry["worst"], entry["findings"]) == ("does not apply", None, [])
        assert entry["conditions"] == [{"condition": "no pair is decided to rounding", "held": 0, "of": 0}]


class TestConditions:
    @pytest.mark.parametrize(
        ("claim", "expected"),
        [
            ("NMP-K", {"beta > 0": (108, 108), "starts at the reference": (54, 108), "at least 30 actions": (12, 108)}),
            ("EG-1-beyond", {"0 < beta <= 0.01": (36, 108), "rock-paper-scissors": (6, 108)}),
            ("EG-N", {"beta >= 0.1": (72, 108), "at most 10 actions": (96, 108), "starts at the reference": (54, 108)}),
            ("SPPO-4", {}),
            ("DPO-7w", {"more than 2 responses": (3, 3)}),
            ("PAL-5", {"three users on a circle": (5, 10), "their majority is a firm cycle": (3, 10)}),
            ("PAL-12", {"users made for a tournament": (1, 10)}),
        ],
    )
    def test_counts_by_hand(self, claim: str, expected: dict[str, tuple[int, int]]) -> None:
        (found,) = select([claim]).values()
        subjects = [subject for subject in standard_subjects() if isinstance(subject, found.subject)]
        held = {words: (sum(map(bool, map(holds, subjects))), len(subjects)) for words, holds in found.conditions.items()}
        assert held == expected

    def test_they_decide_what_a_claim_speaks_of(self) -> None:
        class Given(Claim):
            kind = "final"

            @property
            def conditions(self) -> Conditions:
                return {"small": lambda subject: subject.game.actions < 10, "beta = 1": lambda subject: subject.game.beta == 1}

            def findings(self, instances):
                return [Finding(instance.name, 0.0) for instance in instances]

        verdict = judge(Given(id="x", provenance="derived", statement="", source=""), standard_subjects())
        assert [(each.held, each.of) for each in verdict.conditions] == [(66, 108), (36, 108)]
        assert verdict.instances == 22
        assert verdict.instances == sum("beta=1," in finding.instance for finding in verdict.findings)

    def test_whatever_a_predicate_returns(self, tmp_path: Path) -> None:
        verify(tmp_path, "claim=DNO-P", "env=cyclic", "env.win=0.9")
        assert [(each["held"], each["of"]) for each in entries(tmp_path)["DNO-P"]["conditions"]] == [(6, 6), (6, 6)]

    def test_of_labels(self, tmp_path: Path) -> None:
        verify(tmp_path, "claim=CDPO-1", "env=pairs", "env.flip=0")
        assert [(each["held"], each["of"]) for each in entries(tmp_path)["CDPO-1"]["conditions"]] == [(3, 3), (0, 3)]

    def test_applies_is_defined_once(self) -> None:
        assert all(type(claim).applies is Claim.applies for claim in READ().values())


class TestWhatComesFromTheClaim:
    @pytest.mark.parametrize(
        ("claim", "expected"),
        [
            ("EG-1", ["egpo"]),  # in a field
            ("INPO-1", ["inpo"]),  # in a field that conf/claim fills
            ("DNO-1", ["dno", "sppo"]),  # one bound to a method of its class, one named in the code
            ("CDPO-1", ["cdpo"]),  # not DPO, which its base has in the field
            ("NMDPG-1", ["nash_md_pg"]),
            ("RDPO-3", ["cdpo", "dpo", "rdpo"]),
            ("PAL-4", ["pal"]),  # not DPO, which fits the score for all
            ("GT-2", []),
        ],
    )
    def test_methods(self, claim: str, expected: list[str]) -> None:
        (found,) = select([claim]).values()
        assert methods(found) == expected

    def test_methods_are_those_that_can_be_run(self) -> None:
        found = {name for claim in READ().values() for name in methods(claim)}
        assert found < set(catalogue.groups()["algorithm"])
        assert len(found) > 15

    def test_claims_on_chance_state_their_false_alarm(self) -> None:
        known = READ().values()
        stated = {claim.id: claim.false_alarm for claim in known if claim.false_alarm}
        assert stated.keys() >= {claim.id for claim in known if claim.kind == "distribution"}
        assert not stated.keys() & {claim.id for claim in known if claim.kind in ("identity", "monotone", "threshold")}
        levels = {text.split()[0] for text in stated.values() if text.startswith(tuple("123456789"))}
        assert sorted(map(float, levels)) == pytest.approx([FALSE_ALARM, norm.sf(4)], rel=0.1)


class TestWhatIsKept:
    def test_other_claims_stay_and_the_same_are_replaced(self, tmp_path: Path) -> None:
        verify(tmp_path, "claim=GT-5,GT-6")
        rewrite(tmp_path, lambda file: [entry.update(closest="marked") for entry in file["claims"]])
        assert verify(tmp_path, "claim=GT-2,GT-6").endswith(": 2 verdicts, beside 1 from before.")
        file = read(tmp_path)
        assert [entry["id"] for entry in file["claims"]] == ["GT-2", "GT-5", "GT-6"]
        assert [entry["closest"] == "marked" for entry in file["claims"]] == [False, True, False]
        assert file["command"] == "simlab verify claim=GT-2,GT-5,GT-6"
        assert file["seconds"] == pytest.approx(sum(entry["seconds"] for entry in file["claims"]))

    def test_the_command_for_all_claims_names_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verification, "claims", claims)
        monkeypatch.setattr(catalogue, "groups", lambda: {"claim": ["exploitability_identity"], "algorithm": []})
        verify(tmp_path, "claim=GT-2")
        assert read(tmp_path)["command"] == "simlab verify"

    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("format", 0, "format"),
            ("versions", {"simlab": "0.0.1"}, "versions"),
            ("sources", "", "sources"),
            ("machine", {}, "machine"),
            ("subjects", "1 instance", "instances"),
            ("instances", "", "instances"),
        ],
    )
    def test_verdicts_of_another_setting_are_not_kept(self, key: str, value: object, words: str, tmp_path: Path) -> None:
        verify(tmp_path, "claim=GT-5")
        rewrite(tmp_path, lambda file: file.update({key: value}))
        said = verify(tmp_path, "claim=GT-6")
        assert said == f"{tmp_path}/verdicts.json: 1 verdict; the file starts anew, what was there is of other {words}."
        assert list(entries(tmp_path)) == ["GT-6"]

    @pytest.mark.parametrize("other", [["env=blend", "env.intransitivity=0.1"], ["env=blend", "seed=1"], ["env=blend", "betas=[2,1,0.1]"]])
    def test_nor_those_of_as_many_other_games(self, other: list[str], tmp_path: Path) -> None:
        verify(tmp_path, "claim=GT-5", "env=blend")
        assert "is of other instances" in verify(tmp_path, "claim=GT-6", *other)

    @pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"format": 1}', "\udcff", '{"claims": [{}]}'])
    def test_a_file_that_is_none_of_verdicts(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "verdicts.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert "the file starts anew" in verify(tmp_path, "claim=GT-6")
        assert list(entries(tmp_path)) == ["GT-6"]

    def test_sources_are_those_of_claims_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = verdict_file._sources()
        (tmp_path / "claim").mkdir()
        monkeypatch.setattr(catalogue, "CONF", tmp_path)
        assert verdict_file._sources() != before
        assert "theory" in verdict_file.NUMERIC


KILLED = """
import os, pathlib, signal, sys
from simlab.cli import main
pathlib.Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main(["verify", "claim=GT-5", "store=kept"]))
"""


class TestWhenItFails:
    def test_killed_while_writing(self, tmp_path: Path) -> None:
        verify(tmp_path / "kept", "claim=GT-6")
        before = (tmp_path / "kept" / "verdicts.json").read_bytes()
        assert python("-c", KILLED, cwd=tmp_path).status == -9
        assert (tmp_path / "kept" / "verdicts.json").read_bytes() == before
        assert list(entries(tmp_path / "kept")) == ["GT-6"]

    def test_a_disk_without_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Path, *_: object, **__: object) -> int:
            raise OSError(28, "No space left on device", str(self))

        verify(tmp_path, "claim=GT-6")
        before = (tmp_path / "verdicts.json").read_bytes()
        monkeypatch.setattr(Path, "write_text", full)
        status, out, err = simlab("verify", "claim=GT-5", f"store={tmp_path}")
        assert (status, err.count("\n")) == (2, 1)
        assert "GT-5" in out
        assert "No space left on device" in err
        assert [path.name for path in tmp_path.iterdir()] == ["verdicts.json"]
        assert (tmp_path / "verdicts.json").read_bytes() == before

    @pytest.mark.parametrize(
        ("store", "expected"),
        [
            ("file", "store=file: must be a folder: file is a file"),
            ("file/below", "store=file/below: must be a folder"),
            ("", "store=: must be"),
        ],
    )
    def test_refused_before_any_work(self, store: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("file").write_text("")
        monkeypatch.setattr(verification, "check", lambda *_: pytest.fail("work was begun"))
        status, out, err = simlab("verify", f"store={store}")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"simlab: {expected}")

    @pytest.mark.parametrize(
        ("words", "name"),
        [
            ("verify claim=GT-6", "verdicts.json"),
            ("verify claim=GT-6 mutants=true", "mutants.json"),
            ("calibrate claim=RDPO-W seeds=1 power_seeds=0 simulations=0", "calibration.json"),
        ],
    )
    def test_a_folder_in_its_place(self, words: str, name: str, tmp_path: Path) -> None:
        (tmp_path / name).mkdir()
        status, out, err = simlab(*words.split(), f"store={tmp_path}")
        assert (status, out) == (2, "")
        assert err == f"simlab: store={tmp_path}: must be a folder whose {name} is a file\n"
