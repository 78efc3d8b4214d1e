"""`simlab COMMAND --help`, put together from the files of conf/ and their comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from simlab import catalogue
from simlab.request import Request

WIDTH = 110

SWEEP = ("-m, --multirun", "a sweep: KEY=A,B or 'KEY=range(0,5)' runs each value, in every combination")
SWEEPING = ("run", "train")
"""Commands that can run a sweep."""

FLAGS = [
    ("-cd, --config-dir DIR", "look for members of groups in DIR too, as DIR/env/my_world.yaml or DIR/experiment/my_study.yaml"),
    ("--cfg job", "print the configuration, run nothing"),
]

EXAMPLES = {
    "run": [
        ("simlab run", "EGPO on rock, scissors, paper"),
        ("simlab run env=blend env.intransitivity=0.8 algorithm=sppo", "keys of a group: GROUP.KEY=VALUE"),
        ("simlab run env=blend feedback=duels feedback.flip=0.1 seeds=256", "sampled labels, one in ten wrong"),
        ("simlab run -m env=blend env.intransitivity=0,0.5,1 algorithm=egpo,nash_md", "a sweep of six runs"),
        ("simlab run env=recorded env.path=counts.csv", "comparisons from a file"),
        ("simlab run -m env=pairs env.flip=0.2 env.n=1000,100000 algorithm=dpo,rdpo", "offline learners on noisy labels"),
        ("simlab run env=population algorithm=pal seeds=10", "users who differ"),
    ],
    "train": [
        ("simlab train", "EGPO on a small transformer"),
        ("simlab train -m algorithm=egpo,nash_md,rdpo seeds=5", "a sweep; offline learners, too"),
        ("simlab train scaled=table", "a table of logits, which agrees with the compiled kernel to rounding"),
        ("simlab train env=blend env.actions=16 scaled.vocabulary=4 scaled.length=2", "another world of V^L responses"),
        ("simlab train scaled=lm scaled/oracle=reward_model --help", "a language model, on what it draws: its keys"),
        ("simlab train scaled=lm algorithm=dpo scaled.model=M scaled.dataset=D", "on labelled pairs"),
        ("simlab train recipe=8b_eight_gpus --help", "a full-size run; dry_run=true prints what it needs"),
    ],
    "verify": [
        ("simlab verify", "every claim"),
        ("simlab verify claim=EG-1,NMD-*", "some"),
        ("simlab verify env=blend seeds=8", "on other games"),
        ("simlab verify store=results", "keep the verdicts, for simlab report"),
    ],
    "falsify": [
        ("simlab falsify claim=EG-1", "the worst world that a search of 20 s finds"),
        ("simlab falsify claim=NMP-3-one budget=5", "one that is false"),
        ("simlab falsify claim=MMD-1 candidates=2000 seed=1", "the same result on every machine"),
        ("simlab falsify claim=EG-1 replay=FILE", "a saved case again"),
    ],
    "calibrate": [
        ("simlab calibrate claim=RDPO-7 seeds=100 power_seeds=20 simulations=0", "one claim, in a few seconds"),
        ("simlab calibrate budget=600", "as much as ten minutes allow"),
        ("simlab calibrate store=results", "all, in an hour; keep the numbers"),
    ],
}


def manual(request: Request) -> str:
    """The help text of a command, with the keys of the members that the request chooses."""
    groups = catalogue.defaults(request.command)
    chosen = {group: default for group, (default, _) in groups.items()} | _chosen(request, groups)
    inner = {f"{group}/{name}": each for group, member in chosen.items() for name, each in catalogue.defaults(f"{group}/{member}").items()}
    chosen |= {group: default for group, (default, _) in inner.items()} | _chosen(request, inner)
    sweeps = request.command in SWEEPING
    parts = [
        f"usage: simlab {request.command}{' [-m]' if sweeps else ''} [KEY=VALUE ...]\n\n{catalogue.purpose(request.command)}",
        _section("groups, GROUP=MEMBER", list(_offered(groups | inner))),
        _section("keys, KEY=VALUE", _explained(request.command)),
        *(_member(group, member) for group, member in chosen.items()),
        _section("claims, claim=ID or a pattern, several with commas", _claims() if request.command == "verify" else []),
        _section("claims, claim=ID", _bounds() if request.command == "falsify" else []),
        _section("claims, claim=ID or a pattern, several in brackets", _chance() if request.command == "calibrate" else []),
        _section("flags", [SWEEP, *FLAGS] if sweeps else FLAGS),
        _section("examples", EXAMPLES.get(request.command, [])),
    ]
    if not _chosen(request, groups):
        parts.append(f"simlab {request.command} GROUP=MEMBER --help lists the keys of another member.")
    return "\n\n".join(part for part in parts if part)


def _chosen(request: Request, groups: Iterable[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in request.overrides]
    return {key: value for key, _, value in pairs if key in groups}


def _offered(groups: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    known = catalogue.groups() | catalogue.inner_groups()
    for group, (member, comment) in groups.items():
        if group in known:
            names = [f"{name} (default)" if name == member else name for name in known[group]]
            yield group, f"{comment}: {', '.join(names)}"


def _member(group: str, member: str) -> str:
    name = f"{group}/{member}"
    prefix = "" if catalogue.sets_all_keys(name) else f"{group.replace('/', '.')}."
    return _section(f"keys of {group}={member}. {catalogue.purpose(name).removesuffix('.')}", _explained(name, prefix))


def _claims() -> list[tuple[str, str]]:
    from simlab.verification import claims  # imports the methods, which takes a second

    return [(claim.id, claim.statement) for claim in sorted(claims().values(), key=lambda claim: claim.id)]


def _bounds() -> list[tuple[str, str]]:
    from simlab.falsification import bounds

    return [(claim.id, claim.statement) for claim in bounds().values()]


def _chance() -> list[tuple[str, str]]:
    from simlab.calibration import chance

    return [(claim.id, claim.statement) for claim in chance().values()]


def _explained(name: str, prefix: str = "") -> list[tuple[str, str]]:
    entries = catalogue.comments(name).items()
    shown = [(key, default, comment) for key, (default, comment) in entries if comment]
    return [(f"{prefix}{key}", f"{comment} [{default}]" if default != "???" else comment) for key, default, comment in shown]


def _section(title: str, entries: list[tuple[str, str]]) -> str:
    if not entries:
        return ""
    left = max(len(name) for name, _ in entries) + 4
    wrap = textwrap.TextWrapper(WIDTH, subsequent_indent=" " * left, break_on_hyphens=False)
    lines = [wrap.fill(f"  {name:<{left - 2}}{text}") for name, text in entries]
    return "\n".join([f"{title}:", *lines])
