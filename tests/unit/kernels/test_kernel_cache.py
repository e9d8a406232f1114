"""The cache of kernels: damaged, unwritable or full, it costs a compilation and never an answer.

Each kernel here doubles a number, so that every value is known; how numba names its files is read
off the folder.
"""

import errno
import importlib.util
import pickle
import shutil
import warnings
from pathlib import Path

import pytest
from numba import config

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="needs compiled kernels")

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

    for kernel in (draws.mix, search.expand):
        assert isinstance(kernel._cache, compiling._Cache | compiling._NoCache)
    for path in Path(compiling.__file__).parent.glob("*.py"):
        assert path.name == "compiling.py" or "import njit" not in path.read_text().replace(
            "from tropattn._kernels.compiling import njit", ""
        )
