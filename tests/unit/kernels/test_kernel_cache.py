"""The cache of kernels: damaged, unwritable or full, it costs a compilation and never an answer.

Each kernel here doubles a number, so that every value is known; how numba names its files is read
off the folder.
"""

import errno
import importlib.util
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from numba import config

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="needs compiled kernels")


@pytest.fixture(scope="module", autouse=True)
def beside_the_source():
    """Whatever the folder that all others use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "CACHE_DIR", "")
        yield


SOURCE = """
from tropattn._kernels.compiling import njit

@njit(nogil=True, cache=True)
def double(x):
    return 2 * x
"""


def fresh(folder):
    """The kernel as a new process would load it; its cache lies beside its file."""
    path = folder / "little_kernels.py"
    spec = importlib.util.spec_from_file_location("little_kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.double


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "little_kernels.py").write_text(SOURCE)
    assert fresh(folder)(3) == 6
    return folder


@pytest.fixture
def place(compiled, tmp_path):
    """A folder of its own for each test, with a warm cache."""
    return shutil.copytree(compiled, tmp_path / "place")


def hits(kernel):
    return sum(kernel.stats.cache_hits.values())


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "truncated": half,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another pickle": lambda path: path.write_bytes(pickle.dumps(7)),
    "unreadable": folder,
}


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_compiled_anew(place, damage, ending):
    good = fresh(place)
    assert (good(3), hits(good)) == (6, 1)
    (path,) = (place / "__pycache__").glob(f"little_kernels.*.{ending}")
    DAMAGE[damage](path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        assert fresh(place)(3) == 6
    # An index of another version is stale, and a file that does not open may be gone: there numba
    # compiles anew by itself.
    if (damage, ending) not in {("another pickle", "nbi"), ("unreadable", "nbc")}:
        assert str(caught[0].message).startswith("kernels: a damaged cache in ")
    if damage != "unreadable":
        mended = fresh(place)
        assert (mended(3), hits(mended)) == (6, 1)


def test_without_a_folder_kernels_work_and_say_so_when_needed(place, monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    kernel = fresh(place)
    with pytest.warns(RuntimeWarning, match="kernels: no folder for their cache .*NUMBA_CACHE_DIR"):
        assert kernel(3) == 6
    assert kernel(4) == 8


def test_a_full_disk_costs_only_the_cache(place, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    kernel = fresh(place)
    with pytest.warns(RuntimeWarning, match="kernels: no cache written .*No space left"):
        assert kernel(3.5) == 7


def test_kernels_of_the_package_use_this_cache():
    from tropattn._kernels import compiling, draws, search

    for kernel in (draws.mix, search.search):
        assert isinstance(kernel._cache, compiling._Files | compiling._NoCache)
    for path in Path(compiling.__file__).parent.glob("*.py"):
        assert path.name == "compiling.py" or "import njit" not in path.read_text().replace(
            "from tropattn._kernels.compiling import njit", ""
        )


PARTS = """
from tropattn._kernels.compiling import fragment, njit

@fragment()
def half(x):
    if x < 0:
        raise ValueError("below 0")
    return x / 2

@njit(nogil=True, cache=True)
def quarter(x):
    return half(half(x))

@njit(nogil=True, cache=True)
def eighth(x):
    return quarter_of(half(x))

@fragment()
def quarter_of(x):
    return half(half(x))
"""


def parts(folder):
    spec = importlib.util.spec_from_file_location("parts", folder / "parts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fragments_have_no_machine_code_of_their_own(tmp_path):
    """They live in the code of the kernels that call them, compiled now or read from a file."""
    (tmp_path / "parts.py").write_text(PARTS)
    for again in range(2):
        module = parts(tmp_path)
        assert module.quarter(6.0) == 1.5
        assert module.eighth(4.0) == 0.5
        assert hits(module.quarter) == again
        with pytest.raises(ValueError, match="below 0"):
            module.eighth(-1.0)
        (library,) = [found.library for found in module.half.overloads.values()] or [None]
        if library is not None:
            assert library.get_pointer_to_function("anything") == 0
            assert library.serialize_using_object_code()[1] == "bitcode"
    # Another kernel finds the fragments in their files.
    assert list((tmp_path / "__pycache__").glob("parts.half*.fragment.nbi"))
    for path in (tmp_path / "__pycache__").glob("parts.eighth*"):
        path.unlink()
    module = parts(tmp_path)
    assert module.eighth(4.0) == 0.5
    assert hits(module.quarter_of) == 1


def test_python_may_call_a_fragment(tmp_path):
    (tmp_path / "parts.py").write_text(PARTS)
    assert parts(tmp_path).half(3.0) == 1.5
    # The same function as a fragment and as a kernel: two files, read by the right one.
    assert parts(tmp_path).quarter(6.0) == 1.5
    assert parts(tmp_path).half(3.0) == 1.5


@pytest.mark.long
def test_processes_compile_a_kernel_once_between_them(tmp_path):
    (tmp_path / "parts.py").write_text(PARTS)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import parts; "
        "assert parts.quarter(6.0) == 1.5; print(sum(parts.quarter.stats.cache_misses.values()))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    at_once = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    missed = [int(process.communicate()[0]) for process in at_once]
    assert sorted(missed)[:2] == [0, 0]
    assert sum(missed) <= 1


def test_every_kernel_is_compiled_by_the_command():
    """``tropattn compile``: each kernel that Python calls has at least one form."""
    from tropattn._kernels.compiling import KERNELS
    from tropattn.study.kernels import compile_kernels

    assert compile_kernels() > 50
    ours = [kernel for kernel in KERNELS if kernel.__module__.startswith("tropattn.")]
    missing = {kernel.__name__ for kernel in ours if not kernel.signatures}
    # Structures that only kernels make need no form for Python.
    assert {name.split("_")[0] for name in missing} <= {"build"}


ENDING = """
import threading
from little_kernels import double
from tropattn._kernels import compiling

begun = threading.Event()
enter = compiling.doing

def told(words):
    begun.set()
    return enter(words)

compiling.doing = told
threading.Thread(target=double, args=(3,), daemon=True).start()
begun.wait()
"""


def test_a_process_ends_after_the_compilation_that_is_under_way(tmp_path):
    # Under it LLVM would crash. That it was waited for is seen by the file that it leaves.
    (tmp_path / "little_kernels.py").write_text(SOURCE)
    done = subprocess.run(
        [sys.executable, "-c", ENDING], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert len([*tmp_path.rglob("*.nbc")]) == 1
