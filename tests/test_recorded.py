"""The recorded world: counts by hand, the example file, and what a bad file is told."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.invalid import Invalid
from envs.recorded import Recorded

SUSHI = Path(__file__).resolve().parents[1] / "examples" / "sushi_counts.csv"

ORDERS = "# TITLE: three items\n# NUMBER ALTERNATIVES: 3\n# NUMBER VOTERS: 6\n3: 1,2,3\n2: 3,1,2\n1: 2,3,1\n"
PAIRS = "winner,loser,count\n1,2,5\n2,1,1\n1,3,3\n3,1,3\n2,3,3\n2,3,1\n3,2,2\n"
COUNTS = [[0, 5, 3], [1, 0, 4], [3, 2, 0]]


def recorded(folder: Path, name: str, content: str | bytes, **dials: object) -> Recorded:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Recorded(path=str(path), **dials)


def refusal(folder: Path, name: str, content: str | bytes, **dials: object) -> Invalid:
    with pytest.raises(Invalid) as refused:
        recorded(folder, name, content, **dials)
    assert "\n" not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(("name", "content"), [("a.soc", ORDERS), ("a.csv", PAIRS)])
def test_both_formats_count_the_same_people(tmp_path: Path, name: str, content: str) -> None:
    world = recorded(tmp_path, name, content)
    assert world.items == ("1", "2", "3") and world.counts.tolist() == COUNTS and world.unobserved_pairs == 0
    expected = [[0.5, 5.5 / 7, 0.5], [1.5 / 7, 0.5, 4.5 / 7], [0.5, 2.5 / 7, 0.5]]
    np.testing.assert_allclose(world.games(0.1)[0].preference, expected, rtol=0, atol=1e-15)
    bare = recorded(tmp_path, name, content, smoothing=0).games(0.1)[0].preference
    np.testing.assert_allclose(bare, [[0.5, 5 / 6, 0.5], [1 / 6, 0.5, 4 / 6], [0.5, 2 / 6, 0.5]], rtol=0, atol=1e-15)


DRESSES = {
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "carriage returns": lambda text: text.replace("\n", "\r\n").encode(),
    "blank lines": lambda text: ("\n\n" + text.replace("\n", "\n\n")).encode(),
    "no last newline": lambda text: text.rstrip("\n").encode(),
    "spaces": lambda text: text.replace(",", " , ").replace(": ", " :  ").encode(),
}


@pytest.mark.parametrize(("name", "content"), [("a.soc", ORDERS), ("A.CSV", PAIRS)])
@pytest.mark.parametrize("dress", DRESSES)
def test_files_from_other_editors_read_the_same(tmp_path: Path, name: str, content: str, dress: str) -> None:
    assert recorded(tmp_path, name, DRESSES[dress](content)).counts.tolist() == COUNTS


@given(st.lists(st.tuples(st.permutations(range(1, 5)), st.integers(0, 9)), min_size=1, max_size=6))
def test_orders_are_the_sum_of_their_pairs(tmp_path_factory: pytest.TempPathFactory, ballots: list[tuple[list[int], int]]) -> None:
    folder = tmp_path_factory.mktemp("orders")
    orders = "".join(f"{count}: {','.join(map(str, order))}\n" for order, count in ballots)
    pairs = [f"{order[i]},{order[j]},{count}\n" for order, count in ballots for i in range(4) for j in range(i + 1, 4)]
    soc = recorded(folder, "a.soc", "# NUMBER ALTERNATIVES: 4\n" + orders)
    csv = recorded(folder, "a.csv", "winner,loser,count\n" + "".join(pairs))
    assert soc.items == csv.items and (soc.counts == csv.counts).all() and soc.counts.sum() == 6 * sum(count for _, count in ballots)


def test_labels_are_any_text_in_the_order_of_the_alphabet(tmp_path: Path) -> None:
    world = recorded(tmp_path, "a.csv", 'winner,loser,count\n"b, the second",é,2\nAda,é,1\n10,"b, the second",1\n')
    assert world.items == ("10", "Ada", "b, the second", "é")
    assert world.counts.tolist() == [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 0]]


def test_numbers_stand_in_the_order_of_numbers(tmp_path: Path) -> None:
    assert recorded(tmp_path, "a.csv", "winner,loser,count\n10,9,1\n-3,10,1\n100,9,0\n").items == ("-3", "9", "10", "100")
    many = "# NUMBER ALTERNATIVES: 11\n1: 11,10,9,8,7,6,5,4,3,2,1\n"
    assert recorded(tmp_path, "a.soc", many).items == tuple(str(item) for item in range(1, 12))


def test_a_pair_nobody_compared_ties_or_is_named(tmp_path: Path) -> None:
    sparse = "winner,loser,count\na,b,3\nb,c,0\nc,d,1\na,c,1\na,d,1\n"
    world = recorded(tmp_path, "a.csv", sparse, smoothing=1)
    assert world.unobserved_pairs == 2
    (game,) = world.games(0.1)
    assert game.preference[1, 2] == game.preference[3, 1] == 0.5 and game.preference[0, 1] == 0.8
    refused = refusal(tmp_path, "a.csv", sparse, smoothing=0)
    assert refused.key == "smoothing" and "'b' with 'c'" in str(refused)


def test_the_least_smoothing_still_makes_a_tie_of_an_unobserved_pair(tmp_path: Path) -> None:
    for smoothing in (5e-324, 1e6):
        (game,) = recorded(tmp_path, "a.csv", "winner,loser,count\na,b,1\nb,c,1\n", smoothing=smoothing).games(0.1)
        assert game.preference[0, 2] == 0.5 and game.preference[0, 1] > 0.5


CSV_HEADER = "winner,loser,count\n"
SOC_HEADER = "# NUMBER ALTERNATIVES: 3\n"
MALFORMED = {
    "empty csv": ("a.csv", "", 1, "the header winner,loser,count"),
    "blank csv": ("a.csv", "\n\n", 1, "the header winner,loser,count"),
    "no csv header": ("a.csv", "a,b,3\n", 1, "the header winner,loser,count, not 'a,b,3'"),
    "other csv header": ("a.csv", "\nloser,winner,count\n", 2, "the header winner,loser,count"),
    "two fields": ("a.csv", CSV_HEADER + "a,b,1\n\na,b\n", 4, "3 fields, not 2"),
    "four fields": ("a.csv", CSV_HEADER + "a,b,1,1\n", 2, "3 fields, not 4"),
    "fraction": ("a.csv", CSV_HEADER + "a,b,1.5\n", 2, "not '1.5'"),
    "negative": ("a.csv", CSV_HEADER + "a,b,1\nb,a,-1\n", 3, "not '-1'"),
    "no count": ("a.csv", CSV_HEADER + "a,b,\n", 2, "an integer from 0 to"),
    "other digits": ("a.csv", CSV_HEADER + "a,b,٣\n", 2, "an integer from 0 to"),
    "huge": ("a.csv", CSV_HEADER + f"a,b,{'9' * 5000}\n", 2, "an integer from 0 to 1000000000"),
    "just too many": ("a.csv", CSV_HEADER + "a,b,1000000001\n", 2, "an integer from 0 to 1000000000"),
    "itself": ("a.csv", CSV_HEADER + "a,b,1\nb,a,2\na, a,1\n", 4, "two different items, not 'a' and 'a'"),
    "no label": ("a.csv", CSV_HEADER + ",b,1\n", 2, "two different items, not '' and 'b'"),
    "no rows": ("a.csv", CSV_HEADER, 1, "2 to 10000 items, not 0"),
    "open quote": ("a.csv", CSV_HEADER + 'a,b,1\n"a,b,1\n', 3, "comma-separated values"),
    "bytes csv": ("a.csv", CSV_HEADER.encode() + b"a,b,1\na,\xff,1\n", 3, "text in UTF-8"),
    "bytes after a mark": ("a.csv", b"\xef\xbb\xbf" + CSV_HEADER.encode() + b"\xff,b,1\n", 2, "text in UTF-8"),
    "empty soc": ("a.soc", "", 1, "NUMBER ALTERNATIVES"),
    "no soc header": ("a.soc", "\n3: 1,2,3\n", 2, "NUMBER ALTERNATIVES"),
    "one item": ("a.soc", "# TITLE: x\n# NUMBER ALTERNATIVES: 1\n1: 1\n", 2, "an integer from 2 to 10000, not '1'"),
    "too many items": ("a.soc", "# NUMBER ALTERNATIVES: 10001\n1: 1\n", 1, "an integer from 2 to 10000"),
    "no number": ("a.soc", "# NUMBER ALTERNATIVES: three\n", 1, "an integer from 2 to 10000, not 'three'"),
    "no orders": ("a.soc", SOC_HEADER + "# TITLE: x\n", 2, "followed by at least one line"),
    "no colon": ("a.soc", SOC_HEADER + "1: 1,2,3\n1,2,3\n", 3, "`count: order`, not '1,2,3'"),
    "soc count": ("a.soc", SOC_HEADER + "x: 1,2,3\n", 2, "not 'x'"),
    "incomplete": ("a.soc", SOC_HEADER + "1: 1,2,3\n1: 2,1\n", 3, "3 is missing"),
    "repeated": ("a.soc", SOC_HEADER + "1: 1,2,2\n", 2, "2 is repeated"),
    "repeated beside all": ("a.soc", SOC_HEADER + "1: 1,2,3,1\n", 2, "1 is repeated"),
    "unknown": ("a.soc", SOC_HEADER + "1: 1,2,4\n", 2, "'4' is none of them"),
    "ties": ("a.soc", SOC_HEADER + "1: 1,{2,3}\n", 2, "'{2' is none of them"),
    "bytes soc": ("a.soc", SOC_HEADER.encode() + b"1: 1,2,3\n\xff\n", 3, "text in UTF-8"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_told_its_line(tmp_path: Path, case: str) -> None:
    name, content, line, allowed = MALFORMED[case]
    refused = refusal(tmp_path, name, content)
    assert refused.key == "path" and str(refused.value) == f"{tmp_path / name} line {line}" and allowed in refused.allowed


def test_a_path_that_is_no_file_of_a_known_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for path, allowed in {
        tmp_path / "none.csv": "an existing file",
        tmp_path: "a file, not a folder",
        tmp_path / "folder.csv": "a file, not a folder",
        3: "the path of a file",
        None: "the path of a file",
    }.items():
        with pytest.raises(Invalid) as refused:
            Recorded(path=path)
        assert str(refused.value) == f"path={path}: must be {allowed}"
    assert refusal(tmp_path, "a.txt", PAIRS).allowed == "a file whose name ends in .csv or .soc"


@pytest.mark.parametrize("smoothing", [-0.5, np.nan, np.inf, "1", True])
def test_a_bad_smoothing_is_refused_before_the_file_is_read(smoothing: object) -> None:
    with pytest.raises(Invalid, match=f"smoothing={smoothing}: must be a number in") as refused:
        Recorded(path="none.csv", smoothing=smoothing)
    assert refused.value.key == "smoothing"


def test_the_file_is_read_once(tmp_path: Path) -> None:
    world = recorded(tmp_path, "a.csv", PAIRS)
    (tmp_path / "a.csv").unlink()
    assert world.games(0.1)[0].actions == 3
    with pytest.raises(ValueError, match="read-only"):
        world.counts[0, 1] = 7


def test_the_example_holds_every_pair_of_every_person() -> None:
    world = Recorded(path=SUSHI)
    assert world.items == tuple(str(item) for item in range(1, 11)) and world.unobserved_pairs == 0
    assert (world.counts + world.counts.T == 5000 * (1 - np.eye(10))).all()
    (game,) = world.games(0.1)
    assert world.counts[6, 8] == 4414 and game.preference[6, 8] == pytest.approx(4414.5 / 5001, abs=1e-15)
    assert world.items[game.condorcet_winner()] == "7" and game.cyclic_triangles() == 0
