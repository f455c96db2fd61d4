"""Packs of results: loss-free, the same bytes every time, read like folders, safe to read."""

import io
import json
import lzma
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eibench.errors import UserError
from eibench.results import archive
from eibench.results.archive import PACK, pack_in, read_pack, to_pack
from eibench.results.frame import load_results
from eibench.results.packing import pack, packed_suites, unpack
from eibench.results.paths import choices_made, figures_folder, suite_folders
from eibench.results.store import read_plan
from tests.report import conftest
from tests.report.conftest import FakeSuite

fair_search, make_search = conftest.fair_search, conftest.make_search

EVIDENCE = Path("results/evidence")
RUN = "ei-plain-digits_0123abcd"
NAMES = [
    "plan.json",
    "search/plan.json",
    "search/journal.log",
    *(f"{place}{RUN}/{file}" for place in ("", "search/") for file in ("spec.yaml", "record.json")),
    f"{RUN}/epochs.jsonl",
]


def files_below(folder):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


@pytest.fixture
def live() -> FakeSuite:
    """A suite's live results in the working directory's `results`."""
    suite = FakeSuite(Path("results"), "depth_scaling")
    suite.seeds([90.0, 91.0, 92.0], "ei")
    begun = suite.plan("batchnorm")
    begun.path.mkdir()
    begun.append_epoch({"epoch": 1})
    return suite


@given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=2000)))
def test_what_is_packed_is_read_to_the_byte(files):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, PACK)
        path.write_bytes(to_pack(files))
        assert read_pack(path) == files
        assert to_pack(dict(reversed(files.items()))) == path.read_bytes()


def test_unpacked_is_what_was_packed(live, tmp_path):
    before = files_below(live.folder)
    for name in ("checkpoint.pt", ".record.json.a1.tmp"):
        (live.folder / live.content["runs"][0]["run_id"] / name).write_text("x")
    (live.folder / ".lock").touch()
    (live.folder / "figures").mkdir()
    (live.folder / "figures" / "a.png").touch()
    done = pack(live.folder, EVIDENCE)
    assert done.runs == 4
    assert done.left_out == {"checkpoint.pt": 1, "temporary files": 1, ".lock": 1, "figures/": 1}
    assert files_below(unpack(EVIDENCE / "depth_scaling", tmp_path / "again")) == before
    with pytest.raises(UserError, match="holds results already"):
        unpack(EVIDENCE / "depth_scaling")


def test_packing_again_gives_the_same_bytes(live):
    path = pack(live.folder, EVIDENCE).path
    content = path.read_bytes()
    path.unlink()
    for file in live.folder.rglob("*"):
        os.utime(file, (1, 1))
    assert pack(live.folder, EVIDENCE).path.read_bytes() == content


def test_packs_are_kept_within_bounds(tmp_path, monkeypatch):
    """Those used last stay, and the one just read even where it is larger than the bound."""
    monkeypatch.setattr(archive, "_kept", {})
    monkeypatch.setattr(archive, "KEPT", 25)
    paths = [tmp_path / str(number) / PACK for number in range(3)]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(to_pack({"plan.json": b"ten bytes."}))
    first = read_pack(paths[0])
    read_pack(paths[1])
    assert read_pack(paths[0]) is first
    read_pack(paths[2])
    assert [key[0] for key in archive._kept] == [paths[0], paths[2]]
    paths[2].write_bytes(to_pack({"plan.json": b"x" * 30}))
    assert read_pack(paths[2])["plan.json"] == b"x" * 30
    assert [size for size, _ in archive._kept.values()] == [30]


def test_a_pack_reads_like_the_folder(live):
    frame = load_results(live.folder)
    pack(live.folder, EVIDENCE)
    live.folder.rename("elsewhere")
    for path in (EVIDENCE / "depth_scaling", EVIDENCE / "depth_scaling" / PACK, "depth_scaling"):
        assert load_results(path).equals(frame)
    Path("shared").mkdir()
    Path("shared/mine.tar.xz").write_bytes((EVIDENCE / "depth_scaling" / PACK).read_bytes())
    assert load_results("shared/mine.tar.xz").equals(frame)
    assert figures_folder(Path("shared/mine.tar.xz")) == Path("shared/figures")
    assert figures_folder(EVIDENCE / "depth_scaling") == live.folder / "figures"


def test_trials_of_a_search_are_read_from_a_pack(fair_search, monkeypatch, tmp_path):
    before = load_results(fair_search.folder), load_results(fair_search.folder / "search")
    evidence = pack(fair_search.folder, tmp_path / "evidence").path.parent
    after = load_results(evidence), load_results(evidence / "search")
    assert all(found.equals(known) for found, known in zip(after, before, strict=True))
    monkeypatch.chdir(evidence)
    assert load_results(".").equals(before[0])
    assert load_results("search").equals(before[1])


def test_live_runs_come_before_evidence(live):
    pack(live.folder, EVIDENCE)
    other = FakeSuite(Path("results"), "other")
    other.run(50.0)
    pack(other.folder, EVIDENCE)
    other.folder.rename("elsewhere")
    found = [Path("results/depth_scaling"), EVIDENCE / "other"]
    assert sorted(suite_folders(Path("results"))) == found
    assert suite_folders(Path("depth_scaling")) == [live.folder]
    assert suite_folders(EVIDENCE) == [EVIDENCE / "depth_scaling", EVIDENCE / "other"]
    assert list(choices_made(Path("results"))) == [
        "reading results/evidence/other: no live runs of other",
        "reading live runs in results/depth_scaling, not the evidence in"
        " results/evidence/depth_scaling",
    ]
    assert not list(choices_made(EVIDENCE))
    assert packed_suites(Path("depth_scaling")) == [EVIDENCE / "depth_scaling"]


def test_results_without_evidence_need_no_remark(live):
    assert not list(choices_made(Path("results")))


def test_packed_runs_are_not_lost(live):
    packed = pack(live.folder, EVIDENCE).path
    before = dict(read_pack(packed))
    fresh = FakeSuite(Path("fresh"), "depth_scaling")
    run = fresh.run(99.0, "ei", seed=1)
    with pytest.raises(UserError, match=r"holds 3 runs that .* lacks, such as .*--merge"):
        pack(fresh.folder, EVIDENCE)
    assert pack(fresh.folder, EVIDENCE, "merge").kept == 3
    merged = read_pack(packed)
    record = f"{run.run_id}/record.json"
    assert json.loads(merged[record])["result"]["test_accuracy"] == 99.0
    assert {name for name in before if before[name] != merged.get(name)} == {record}
    assert merged["plan.json"] == before["plan.json"]  # the fresh one plans part of the runs
    assert pack(fresh.folder, EVIDENCE, "replace").runs == 1


def test_a_finished_run_is_not_replaced_by_an_interrupted_one(live):
    packed = pack(live.folder, EVIDENCE).path
    before = dict(read_pack(packed))
    (live.folder / live.content["runs"][0]["run_id"] / "record.json").unlink()
    with pytest.raises(UserError, match="holds 1 runs that"):
        pack(live.folder, EVIDENCE)
    pack(live.folder, EVIDENCE, "merge")
    assert read_pack(packed) == before


def test_a_run_that_ended_well_is_not_replaced_by_one_that_failed(live):
    packed = pack(live.folder, EVIDENCE).path
    before = dict(read_pack(packed))
    run = live.content["runs"][0]["run_id"]
    path = live.folder / run / "record.json"
    failed = {**json.loads(path.read_text()), "status": "out_of_memory", "reason": "a small GPU"}
    path.write_text(json.dumps(failed))
    with pytest.raises(UserError, match=f"holds 1 runs that .*{run}"):
        pack(live.folder, EVIDENCE)
    pack(live.folder, EVIDENCE, "merge")
    assert read_pack(packed) == before


def test_seeds_of_two_machines_are_merged(live):
    """Each command planned its own seeds: the joint plan has those of both."""
    packed = pack(live.folder, EVIDENCE).path
    other = FakeSuite(Path("elsewhere"), "depth_scaling")
    for seed in (7, 8):
        other.run(95.0, "ei", seed=seed)
    other.plan("batchnorm", seed=7)
    pack(other.folder, EVIDENCE, "merge")
    planned = [run["run_id"] for run in json.loads(read_pack(packed)["plan.json"])["runs"]]
    assert len(planned) == len(set(planned)) == 7
    rows = load_results(packed.parent)
    assert sorted(rows.loc[rows["status"] == "ok", "seed"]) == [0, 1, 2, 7, 8]


def test_seeds_of_evaluations_and_of_published_numbers_are_merged(tmp_path):
    """Rows name the trained run of their seed, and a published number the runs that match it."""
    published = {
        **{"method": "ei", "model": {"name": "plain"}, "data": "digits", "data_title": None},
        **{"metric": "test_accuracy", "value": 97.0, "source": "A paper"},
        **{"fields": {}, "notes": {}},
    }
    for place, seeds in (("one", (0, 1)), ("two", (2,))):
        suite = FakeSuite(tmp_path / place, "swept-steps")
        for seed in seeds:
            suite.run(90.0, "ei", seed=seed)
            row = suite.content["runs"][-1]
            row["fields"] |= {"weights.run": f"trained_s{seed}", "weights.sha256": f"{seed}"}
        suite.content["references"] = [
            {**published, "runs": [run["run_id"] for run in suite.content["runs"]]}
        ]
        suite.write()
        packed = pack(suite.folder, EVIDENCE, "merge").path
    plan = json.loads(read_pack(packed)["plan.json"])
    assert len(plan["runs"]) == 3
    (reference,) = plan["references"]
    assert sorted(reference["runs"]) == sorted(run["run_id"] for run in plan["runs"])


def test_other_settings_are_not_merged(live):
    """A mean over seeds would mix them."""
    packed = pack(live.folder, EVIDENCE).path
    before = dict(read_pack(packed))
    other = FakeSuite(Path("elsewhere"), "depth_scaling")
    other.run(95.0, "tdbn", seed=7)
    with pytest.raises(UserError, match="differs from that of the live runs in more than seeds"):
        pack(other.folder, EVIDENCE, "merge")
    assert read_pack(packed) == before


def test_a_larger_search_keeps_its_trials(fair_search, tmp_path):
    """A part of it that another machine has computed again takes nothing from its plan."""
    folder = Path(fair_search.folder if hasattr(fair_search, "folder") else fair_search)
    packed = pack(folder, EVIDENCE).path
    before = dict(read_pack(packed))
    plan = folder / "search" / "plan.json"
    content = json.loads(plan.read_text())
    gone = content["runs"].pop()["run_id"]
    for study in content["studies"]:
        study["trials"] = [t for t in study["trials"] if gone not in t["runs"]]
    plan.write_text(json.dumps(content))
    pack(folder, EVIDENCE, "merge")
    assert read_pack(packed)["search/plan.json"] == before["search/plan.json"]


def test_a_damaged_plan_is_one_message(live):
    pack(live.folder, EVIDENCE)
    (live.folder / "plan.json").write_text("{")
    with pytest.raises(UserError, match=r"plan\.json"):
        pack(live.folder, EVIDENCE, "merge")


def test_what_no_one_could_read_is_not_packed(live, monkeypatch):
    packed = pack(live.folder, EVIDENCE).path
    before = packed.read_bytes()
    for seed in range(3, 30):
        live.run(93.0, "ei", seed=seed)
    monkeypatch.setattr(archive, "LARGEST_CONTENT", len(lzma.decompress(before)))
    with pytest.raises(UserError, match="too large for a pack"):
        pack(live.folder, EVIDENCE)
    assert packed.read_bytes() == before


def member(name, kind=tarfile.REGTYPE, content=b"x", **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, io.BytesIO(content)


def packed(*members, length=None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in members:
            tar.addfile(info, content)
    return lzma.compress(buffer.getvalue()[:length])


NOT_PACKS = {
    "nothing": b"",
    "text": b"hello",
    "cut off": to_pack({"plan.json": b"x" * 9999})[:-20],
    "followed by more": to_pack({"plan.json": b"{}"}) + b"more",
    "no tar": lzma.compress(b"hello" * 999),
    "another file": packed(member("setup.py")),
    "outside": packed(member("../plan.json")),
    "absolute": packed(member("/plan.json")),
    "twice": packed(member("plan.json"), member("plan.json")),
    "a link": packed(member("plan.json", tarfile.SYMTYPE, b"", linkname="/etc/passwd")),
    "a hard link": packed(member("plan.json", tarfile.LNKTYPE, b"", linkname="/etc/passwd")),
    "a device": packed(member("plan.json", tarfile.CHRTYPE, b"")),
    "a folder": packed(member("plan.json", tarfile.DIRTYPE, b"")),
    "a tar cut off": packed(member("plan.json", content=b"x" * 5000), length=2000),
}


@pytest.mark.parametrize("content", NOT_PACKS.values(), ids=NOT_PACKS)
def test_a_damaged_pack_is_one_message(content, tmp_path, cli):
    path = tmp_path / "evidence" / "mine" / PACK
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    done = cli("report", path.parent)
    assert done.code == 2
    assert len(done.errors) == 1
    assert f"mine/{PACK}: damaged" in done.errors[0]
    assert not list(path.parent.glob("*.json"))


def test_bombs_are_refused(tmp_path, monkeypatch):
    path = tmp_path / PACK
    monkeypatch.setattr(archive, "LARGEST_CONTENT", 10_000)
    path.write_bytes(to_pack({"plan.json": bytes(1_000_000)}))
    with pytest.raises(UserError, match="cut off, or more than"):
        read_pack(path)
    monkeypatch.setattr(archive, "LARGEST_CONTENT", 100_000)
    monkeypatch.setattr(archive, "MOST_MEMBERS", 1)
    path.write_bytes(to_pack({"plan.json": b"", f"{RUN}/spec.yaml": b""}))
    with pytest.raises(UserError, match="more than 1 files"):
        read_pack(path)
    monkeypatch.setattr(archive, "MEMORY", 1000)
    path.write_bytes(to_pack({"plan.json": b"1"}))
    with pytest.raises(UserError, match="damaged"):
        read_pack(path)


def test_a_damaged_header_is_not_the_end(tmp_path):
    """`tarfile` itself would stop there without a word."""
    content = bytearray(lzma.decompress(to_pack({"plan.json": b"{}", f"{RUN}/spec.yaml": b"x"})))
    path = tmp_path / PACK
    second = content.index(RUN.encode())
    for damaged in (
        content[:second] + b"\xff" + content[second + 1 :],
        content[:second],
        content[: second + 700],
    ):
        path.write_bytes(lzma.compress(damaged))
        with pytest.raises(UserError, match="damaged"):
            read_pack(path)


def test_a_chain_of_extended_headers_is_refused(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 0
    path = tmp_path / PACK
    path.write_bytes(lzma.compress(header.tobuf(tarfile.USTAR_FORMAT) * 20_000 + bytes(10_240)))
    with pytest.raises(UserError, match="damaged"):
        read_pack(path)


def test_global_headers_are_refused(tmp_path):
    """`tarfile` copies them into every member: a few kilobytes could fill the memory."""
    words = b"".join(b"%d k%d=\n" % (len(b"k%d=" % n) + 4, n) for n in range(1000, 2000))
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XGLTYPE, len(words)
    block = words + bytes(-len(words) % 512)
    plain = lzma.decompress(to_pack({"plan.json": b"{}"}))
    path = tmp_path / PACK
    path.write_bytes(lzma.compress(header.tobuf(tarfile.USTAR_FORMAT) + block + plain))
    with pytest.raises(UserError, match="extended headers"):
        read_pack(path)


def test_a_pack_that_is_a_link_is_refused(live):
    path = pack(live.folder, EVIDENCE).path
    path.rename("moved")
    path.symlink_to(Path("moved").resolve())
    with pytest.raises(UserError, match="is a link"):
        read_plan(path.parent)


def test_damage_within_a_pack_names_the_file(live):
    files = dict(pack_in(pack(live.folder, EVIDENCE).path.parent))
    record = next(name for name in files if name.endswith("record.json"))
    (EVIDENCE / "depth_scaling" / PACK).write_bytes(to_pack({**files, record: b"{"}))
    with pytest.raises(UserError, match=f"{record}: damaged"):
        load_results(EVIDENCE)


def test_unpacking_that_was_killed_goes_on(live, tmp_path, monkeypatch):
    folder = pack(live.folder, EVIDENCE).path.parent
    whole, out, moved = files_below(live.folder), tmp_path / "out", []
    real = os.replace

    def killed(source, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("eibench.results.packing.os.replace", killed)
        patch.setattr("shutil.rmtree", lambda *args, **kwargs: None)  # nothing is tidied up
        with pytest.raises(KeyboardInterrupt):
            unpack(folder, out)
    left = out / "depth_scaling"
    assert len(moved) == 1 and len(list(left.glob(".unpacking.*"))) == 1
    assert suite_folders(out) == []  # neither a suite, nor one below it
    assert unpack(folder, out) == left
    assert files_below(left) == whole


def test_commands(live, cli):
    done = cli("results", "pack")
    assert done.code == 0
    assert done.out.startswith("results/evidence/depth_scaling/runs.tar.xz: 4 runs, ")
    live.folder.rename("elsewhere")
    table = cli("report", "depth_scaling")
    assert (table.code, table.err) == (
        0, "reading results/evidence/depth_scaling: no live runs of depth_scaling\n"
    )  # fmt: skip
    assert cli("results", "unpack", "depth_scaling").out == "results/depth_scaling\n"
    assert files_below(live.folder) == files_below(Path("elsewhere"))
    assert cli("results", "unpack").code == 2
    assert cli("results", "pack", "nowhere").errors == [
        "nowhere: no live runs here; `eibench run SUITE` makes some"
    ]
    assert cli("results", "pack", "--merge", "--replace").code == 2


def test_a_run_does_not_write_beside_a_pack(live, cli, project):
    pack(live.folder, EVIDENCE)
    path = project.suite(name="depth_scaling")
    done = cli("run", path, "--results", EVIDENCE)
    assert done.code == 2
    assert "packed results, which are only read" in done.errors[0]
