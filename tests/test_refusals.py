"""Every wrong command line is refused in one line with key, value and what is allowed, before anything is written."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import environ, files, python, simlab
from hypothesis import given
from hypothesis import strategies as st

from envs.invalid import Invalid
from simlab.catalogue import suggestion
from simlab.refusal import Refused, explain, shown

REFUSED = [
    # the command line itself
    ("rnu", "rnu", "one of run, train, collect, verify, falsify, calibrate, report, scorecard, bench (did you mean run?)"),
    ("run --foo", "--foo", "simlab run --help"),
    ("run --cfg", "--cfg", "expected one argument"),
    ("run -cd nowhere", "--config-dir=nowhere", "must be an existing folder"),
    ("run -cd . hydra.searchpath=[]", "--config-dir=.", "must be given without hydra.searchpath"),
    ("run egpo", "egpo", "must be KEY=VALUE (did you mean algorithm=egpo?)"),
    ("run beta", "beta", "must be KEY=VALUE"),
    ("run 'beta=[1'", "beta=[1", "must be written as Hydra reads it"),
    ("run ~beta", "~beta", "no key can be deleted"),
    ("run ~env", "~env", "no key can be deleted"),
    ("run env@a.b=blend", "env@a.b=blend", "must be written env=..., without @"),
    # keys
    ("run stpes=10", "stpes=10", "must be a key of simlab run: env, algorithm, feedback, start, launcher, experiment, beta, steps, seeds"),
    ("run stpes=10", "stpes=10", "(did you mean steps?)"),
    ("run algoritm=egpo", "algoritm=egpo", "(did you mean algorithm?)"),
    ("run win=0.7", "win=0.7", "(did you mean env.win?)"),
    ("run env.winn=1", "env.winn=1", "must be a key of env=cyclic: n, win, reference, contexts (did you mean env.win?)"),
    ("run +env.m=3", "env.m=3", "must be a key of env=cyclic"),
    ("run ++env.m=3", "env.m=3", "must be a key of env=cyclic"),
    ("run +foo=1", "foo=1", "must be a key of simlab run"),
    ("run +beta=0.2", "+beta=0.2", "must be written beta=0.2, without +"),
    ("run +env=blend", "+env=blend", "must be written env=blend, without +"),
    ("run beta.x=1", "beta.x=1", "must be a key of simlab run"),
    ("run env.n.x=1", "env.n.x=1", "must be a key of env=cyclic"),
    ("run env._target_=os.getcwd", "env._target_=os.getcwd", "must be a key of env=cyclic"),
    ("run start=reference start.spread=3", "start.spread=3", "must be a key of start=reference: it has none"),
    ("run algorithm.inner=3", "algorithm.inner=3", "must be a key of algorithm=egpo: rate, pairs"),
    ("run feedback.per_action=2", "feedback.per_action=2", "must be a key of feedback=exact: flip, assumed_flip"),
    ("run feedback=duels_margin feedback.flip=0.2", "feedback.flip=0.2", "must be set by its keys feedback.flip.flip, "),
    # members of groups
    ("run algorithm=egpoo", "algorithm=egpoo", "(did you mean egpo?)"),
    ("run env=null", "env=null", "must be one of blend, bradley_terry, cyclic"),
    ("run env=[blend,cyclic]", "env=[blend,cyclic]", "must be one of blend, bradley_terry, cyclic"),
    ("run 'env={n:3}'", "env={n:3}", "must be one of blend, bradley_terry, cyclic"),
    ("run experiment=mine", "experiment=mine", "must be one of "),
    ("run hydra/launcher=slurm", "hydra/launcher=slurm", "must be one of basic"),
    ("run hydra.nonsense=1", "hydra.nonsense=1", "must compose with conf/run.yaml (Key 'nonsense' not in 'HydraConf')"),
    # what must be given, and references
    ("run env=recorded", "env.path=???", "must be given: a file .csv"),
    ("run env=matrix", "env.rows=???", "must be given: row i holds"),
    ("run start=given", "start.policy=???", "must be given: K positive probabilities"),
    ("run feedback=duels_targeted", "feedback.flip.pairs=???", "must be given: the chosen pairs"),
    ("run 'beta=${nothing}'", "beta=${nothing}", "must be a reference that resolves"),
    ("run 'env.reference=[0.2,${nothing},0.4]'", "env.reference=[0.2,${nothing},0.4]", "must be a reference that resolves"),
    # top-level values
    ("run beta=-0.1", "beta=-0.1", "must be a finite number >= 0"),
    ("run beta=abc", "beta=abc", "must be a finite number >= 0"),
    ("run beta=inf", "beta=inf", "must be a finite number >= 0"),
    ("run beta=nan", "beta=nan", "must be a finite number >= 0"),
    ("run beta=true", "beta=true", "must be a finite number >= 0"),
    ("run beta=", "beta=", "must be a finite number >= 0"),
    ("run 'beta={a:1}'", "beta={a:1}", "must be a finite number >= 0"),
    ("run beta=1e-12 env=blend", "beta=1e-12", "must be larger"),
    ("run steps=0", "steps=0", "must be an integer >= 1"),
    ("run steps=1.5", "steps=1.5", "must be an integer >= 1"),
    ("run seeds=0", "seeds=0", "must be an integer >= 1"),
    ("run seed=-1", "seed=-1", "must be an integer >= 0"),
    ("run record=often", "record=often", "must be every, log, or a list of iterations"),
    ("run record=7", "record=7", "must be every, log, or a list of iterations"),
    ("run record=[5,3]", "record=[5,3]", "must be increasing"),
    ("run record=[0,2000]", "record=[0,2000]", "from 0 to steps=1000"),
    ("run record=[true]", "record=[true]", "must be every, log, or a list of iterations"),
    ("run measure=exploit", "measure=exploit", "must be null, or among exploitability"),
    ("run measure=3", "measure=3", "must be a list of names of measures"),
    ("run measure=[exploitability,exploitability]", "measure=[exploitability,exploitability]", "must be a list without repetitions"),
    ("run measure=kl_to_equilibrium beta=0", "measure=kl_to_equilibrium", "must be left out at beta=0"),
    ("run measure=[average_kl_to_equilibrium] beta=0", "measure=average_kl_to_equilibrium", "must be left out at beta=0"),
    ("run threads=0", "threads=0", "must be an integer >= 1, or null"),
    ("run store=file", "store=file", "must be a folder: file is a file"),
    ("run store=file/sub", "store=file/sub", "must be a folder: file is a file"),
    ("run store=/proc/none", "store=/proc/none", "must be a folder that can be written"),
    ("run store=", "store=", "must be the path of a folder"),
    ("run store=3", "store=3", "must be the path of a folder"),
    # worlds
    ("run env.win=1.5", "env.win=1.5", "must be a number in [0, 1]"),
    ("run env.n=2", "env.n=2", "must be an integer >= 3"),
    ("run env.reference=5", "env.reference=5", "must be uniform, random, or a list"),
    ("run env.reference=[0.5,0.5]", "env.reference=[0.5,0.5]", "must be of length 3"),
    ("run env.contexts=2", "env.contexts=2", "must be 1 in a world that draws neither"),
    ("run env=matrix env.rows=3", "env.rows=3", "must be a list of lists of numbers"),
    ("run env=recorded env.path=nofile.csv", "env.path=nofile.csv", "must be an existing file"),
    ("run env=recorded env.path=bad.csv", "env.path=bad.csv line 1", "must be the header winner,loser,count"),
    # methods
    ("run algorithm.rate=11", "algorithm.rate=11", "must be in (0, 1/beta] = (0, 10] at beta=0.1"),
    ("run algorithm.rate=-1", "algorithm.rate=-1", "must be a finite number > 0 or null"),
    ("run algorithm.rate=fast", "algorithm.rate=fast", "must be a finite number > 0 or null"),
    ("run algorithm=nash_mp algorithm.inner=0", "algorithm.inner=0", "must be an integer >= 1 or null"),
    ("run algorithm=nash_md beta=0", "algorithm.rate=null", "must be given at beta=0"),
    # feedback
    ("run feedback.flip=0.6", "feedback.flip=0.6", "must be a rate in [0, 1/2]"),
    ("run feedback.assumed_flip=0.5", "feedback.assumed_flip=0.5", "must be a rate in [0, 1/2)"),
    ("run feedback.flip=abc", "feedback.flip=abc", "must be a rate in [0, 1/2]"),
    ("run feedback.flip=[0.1]", "feedback.flip=[0.1]", "must be a rate in [0, 1/2]"),
    ("run feedback=duels feedback.assumed_flip=0.7", "feedback.assumed_flip=0.7", "must be a rate in [0, 1/2)"),
    ("run feedback=duels feedback.per_action=0", "feedback.per_action=0", "must be an integer >= 1"),
    (
        "run feedback=duels feedback.per_action=2 algorithm.pairs=3",
        "feedback.per_action=2",
        "must be 1 for a method that samples actions itself",
    ),
    ("run feedback=duels_margin feedback.flip.flip=0.7", "feedback.flip.flip=0.7", "must be a rate in [0, 1/2]"),
    ("run feedback=duels_margin feedback.flip.sharpness=0", "feedback.flip.sharpness=0", "must be a finite number > 0"),
    ("run feedback=duels_targeted 'feedback.flip.pairs=[[0,9]]'", "feedback.flip.pairs=[0,9]", "must be of actions below K=3"),
    ("run feedback=duels_annotators feedback.flip.flips=[0.1,0.6]", "feedback.flip.flips=0.6", "must be a rate in [0, 1/2]"),
    # starts
    ("run start=given start.policy=[0.5,0.5]", "start.policy=[0.5,0.5]", "must be 3 probabilities"),
    ("run start=far start.spread=-1", "start.spread=-1", "must be a number in [1e-06, 1000]"),
    # sweeps
    ("run beta=0,1", "beta=0,1", "must be one value, or a list in brackets; with -m each value is run"),
    ("run env=cyclic,blend", "env=cyclic,blend", "must be one value"),
    ("run -m beta=0.1,-0.1", "beta=-0.1", "must be a finite number >= 0"),
    ("run -m algorithm=egpo,egp", "algorithm=egp", "(did you mean egpo?)"),
    ("run -m env=blend,cyclic env.actions=4", "env.actions=4", "must be a key of env=cyclic"),
    ("run -m algorithm.rate=1,11", "algorithm.rate=11", "must be in (0, 1/beta]"),
    ("run -m 'beta=interval(0,1)'", "beta=interval(0,1)", "must be a list of values or a range()"),
    ("run -m 'beta=range(1,1)'", "beta=range(1,1)", "must be at least one value"),
    ("run -m store=a,b", "store=a,b", "must be one folder for all runs"),
    ("run -m hydra.job.name=a,b", "hydra.job.name=a,b", "must be one value for all runs"),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two files that are no use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    (tmp_path / "file").touch()
    (tmp_path / "bad.csv").write_text("a,b\n")
    return tmp_path


@pytest.mark.parametrize(("line", "said", "allowed"), REFUSED, ids=[line for line, _, _ in REFUSED])
def test_one_line_says_what_is_wrong(line: str, said: str, allowed: str, here: Path) -> None:
    status, out, err = simlab(*shlex.split(line))
    assert (status, out) == (2, "")
    assert err.startswith("simlab: ") and err.endswith("\n") and err.count("\n") == 1
    assert said in err.partition(": must be")[0]
    assert allowed in err
    assert files(here) == ["bad.csv", "file"]


class TestExperimentFiles:
    @pytest.fixture
    def experiment(self, here: Path) -> Path:
        folder = here / "experiment"
        folder.mkdir()
        return folder / "mine.yaml"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("beta: [1\nsteps: {", "mine.yaml line 3: must be valid YAML"),
            ("defaults:\n  - override /env: blendd", "env=blendd: must be one of blend, bradley_terry"),
            ("env:\n  intransitivity: 0.5", "env.intransitivity=0.5: must be a key of env=cyclic"),
            ("feedback:\n  flip: 0.2\ndefaults:\n  - override /feedback: duels_margin", "feedback.flip=0.2: must be set by its keys"),
            ("betta: 0.2", "betta=0.2: must be a key of simlab run"),
            ("steps: many", "steps=many: must be an integer >= 1"),
            ("beta: ${nothing}", "beta=${nothing}: must be a reference that resolves"),
            ("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      beta: 0.1,-1", "beta=-1: must be a finite number >= 0"),
        ],
    )
    def test_a_wrong_one_is_refused(self, text: str, expected: str, experiment: Path) -> None:
        experiment.write_text(f"# @package _global_\n{text}\n")
        status, out, err = simlab("run", "-cd", ".", "experiment=mine")
        assert (status, out) == (2, "")
        assert err.count("\n") == 1 and expected in err

    def test_a_good_one_is_applied_and_can_be_overridden(self, experiment: Path) -> None:
        experiment.write_text("# @package _global_\ndefaults:\n  - override /env: blend\nenv:\n  actions: 5\nsteps: 7\n")
        status, out, err = simlab("run", "-cd", ".", "experiment=mine", "steps=8")
        assert (status, err) == (0, "")
        assert "EGPO on blend, 8 iterations" in out and "K=5" in out

    def test_unknown_names_are_told_the_known(self, experiment: Path) -> None:
        experiment.write_text("# @package _global_\n")
        err = simlab("run", "-cd", ".", "experiment=mien").err
        assert err.startswith("simlab: experiment=mien: must be one of ") and err.endswith("(did you mean mine?)\n")

    def test_a_world_of_ones_own_that_cannot_be_made(self, here: Path) -> None:
        (here / "env").mkdir()
        (here / "env" / "mine.yaml").write_text("_target_: nowhere.Mine\n")
        status, _, err = simlab("run", "-cd", ".", "env=mine")
        assert status == 2
        assert err.count("\n") == 1 and err.startswith("simlab: env: must be what nowhere.Mine accepts (")


class TestInterruption:
    def test_ctrl_c_ends_a_run_at_once_and_leaves_no_file(self, here: Path) -> None:
        code = "import sys; from simlab.cli import main; sys.exit(main())"
        words = ["run", "env=random_game", "env.actions=400", "feedback=duels", "steps=1000000", "start=far"]
        # A shell that starts jobs in the background makes them deaf to Ctrl-C.
        listening = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {code}"
        process = subprocess.Popen(
            [sys.executable, "-c", listening, *words], cwd=here, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (130, "", "simlab: interrupted\n")
        assert files(here) == ["bad.csv", "file"]


class TestTracebacks:
    code = "import sys; from simlab.cli import main; sys.exit(main(['run', 'steps=0']))"

    def test_none_is_shown_unless_asked_for(self, here: Path) -> None:
        assert python("-c", self.code, cwd=here).err == "simlab: steps=0: must be an integer >= 1\n"

    def test_one_is_shown_where_it_is(self, here: Path) -> None:
        status, _, err = python("-c", self.code, cwd=here, HYDRA_FULL_ERROR="1")
        assert status == 2
        assert "Traceback" in err and err.endswith("simlab: steps=0: must be an integer >= 1\n")


class TestWords:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [(None, "null"), (True, "true"), (0.5, "0.5"), ([1, [None, False]], "[1,[null,false]]"), ({"a": [1]}, "{a:[1]}")],
    )
    def test_a_value_is_shown_as_it_would_be_written(self, value: object, expected: str) -> None:
        assert shown(value) == expected

    @given(st.text(), st.text(), st.sampled_from([Invalid, Refused, ValueError, OSError, KeyError]))
    def test_any_error_is_one_line(self, first: str, second: str, kind: type[Exception]) -> None:
        error = Invalid("key", first, "something else") if kind is Invalid else kind(f"{first}\n{second}")
        assert len(explain(error).splitlines()) == 1

    def test_an_unexpected_error_names_its_type(self) -> None:
        assert explain(ZeroDivisionError("division by zero")).startswith("ZeroDivisionError: division by zero")

    @pytest.mark.parametrize(
        ("word", "expected"),
        [
            ("env.winn", "env.win"),
            ("rate", "algorithm.rate"),
            ("env.rate", "algorithm.rate"),
            ("stepz", "steps"),
            ("env.zzz", ""),
            ("z", ""),
        ],
    )
    def test_suggestions(self, word: str, expected: str) -> None:
        said = suggestion(word, ["steps", "beta", "env.n", "env.win", "algorithm.rate"])
        assert said == (f" (did you mean {expected}?)" if expected else "")
