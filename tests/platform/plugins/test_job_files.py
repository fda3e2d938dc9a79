"""Plugin files beside the job: identity, reloading, helpers, errors."""

from __future__ import annotations

import inspect
import pickle
import sys

import pytest

from trainwright.errors import PluginError
from trainwright.plugins import create, find

LOSS = """
from torch import nn

class Loss(nn.Module):
    '''A loss of the job's own.'''

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = scale

    def forward(self, logits, target):
        return self.scale * (logits - target).square().mean()
"""


def problem_of(name, base):
    with pytest.raises(PluginError) as raised:
        find("objectives", name, base, path="objective.name")
    (problem,) = raised.value.problems
    return problem


@pytest.mark.parametrize("name", ["losses.py:Loss", "losses.Loss", "losses:Loss"])
def test_every_form_of_name_finds_the_same_class(job, name):
    file = job("losses.py", LOSS)
    plugin = find("objectives", name, job.base)
    assert plugin.origin == "file losses.py"
    assert plugin.source_file == file
    assert plugin.factory is find("objectives", "losses.py:Loss", job.base).factory


def test_class_identity_and_pickles_over_repeated_lookups(job):
    job("losses.py", LOSS)
    first = create("objectives", "losses.py:Loss", job.base, scale=2)
    again = create("objectives", "losses.Loss", job.base)
    assert type(first) is type(again)
    assert type(pickle.loads(pickle.dumps(first))) is type(first)
    assert "class Loss" in inspect.getsource(type(first))


def test_a_relative_base_is_the_same_folder(job, monkeypatch):
    job("losses.py", LOSS)
    monkeypatch.chdir(job.base)
    assert (
        find("objectives", "losses.py:Loss").factory
        is find("objectives", "losses.py:Loss", job.base).factory
    )


def test_reloaded_when_the_content_changes_not_when_only_the_time_does(job):
    file = job("losses.py", LOSS)
    first = find("objectives", "losses.py:Loss", job.base).factory
    file.touch()
    assert find("objectives", "losses.py:Loss", job.base).factory is first
    job("losses.py", LOSS.replace("1.0", "7.0"))
    second = find("objectives", "losses.py:Loss", job.base).factory
    assert second is not first
    assert second().scale == 7.0


def test_helpers_beside_the_job_in_every_form_of_import(job):
    job("helpers.py", "FACTOR = 3\ndef double(x):\n    return 2 * x\n")
    job("tools/__init__.py", "from . import deep\nNAME = 'tools'\n")
    job("tools/deep.py", "from helpers import FACTOR\nDEPTH = FACTOR + 1\n")
    job(
        "losses.py",
        """
        import helpers, math
        import helpers as h
        import tools.deep
        import tools.deep as deep
        from helpers import double
        from tools import deep as deep_too
        from .helpers import FACTOR as by_relative_import

        def total():
            import helpers as later
            return [helpers.FACTOR, h.FACTOR, tools.deep.DEPTH, deep.DEPTH, double(1),
                    deep_too.DEPTH, by_relative_import, later.FACTOR, tools.NAME, math.floor(1.5)]

        class Loss:
            pass
        """,
    )
    find("objectives", "losses.py:Loss", job.base)
    module = sys.modules[find("objectives", "losses.py:Loss", job.base).factory.__module__]
    assert module.total() == [3, 3, 4, 4, 2, 4, 3, 3, "tools", 1]
    assert "helpers" not in sys.modules
    assert str(job.base) not in sys.path


def test_a_changed_helper_reloads_those_that_import_it_and_no_others(job):
    job("helpers.py", "VALUE = 1\n")
    job("losses.py", "from helpers import VALUE\nclass Loss:\n    value = VALUE\n")
    job("other.py", "class Loss:\n    pass\n")
    other = find("objectives", "other.py:Loss", job.base).factory
    assert find("objectives", "losses.py:Loss", job.base).factory.value == 1
    job("helpers.py", "VALUE = 2\n")
    assert find("objectives", "losses.py:Loss", job.base).factory.value == 2
    assert find("objectives", "other.py:Loss", job.base).factory is other


def test_two_jobs_with_files_of_the_same_names(tmp_path):
    for name, value in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "helpers.py").write_text(f"VALUE = {value}\n")
        (folder / "losses.py").write_text(
            "def late():\n    import helpers\n    return helpers.VALUE\n"
            "class Loss:\n    late = staticmethod(late)\n"
        )
    one = find("objectives", "losses.py:Loss", tmp_path / "one").factory
    two = find("objectives", "losses.py:Loss", tmp_path / "two").factory
    assert (one.late(), two.late(), one.late()) == (1, 2, 1)


def test_a_file_named_like_a_library_neither_hides_it_nor_is_hidden(job):
    job("json.py", "import json\nclass Loss:\n    text = json.dumps([1])\n")
    job("statistics.py", "mean = 'mine'\n")
    job("losses.py", "from statistics import mean\nclass Loss:\n    mean = mean\n")
    assert find("objectives", "json.py:Loss", job.base).factory.text == "[1]"
    assert find("objectives", "losses.py:Loss", job.base).factory.mean == "mine"
    import statistics

    assert statistics.mean([1, 3]) == 2


def test_files_in_folders_see_their_neighbours_and_the_top(job):
    job("top.py", "VALUE = 'top'\n")
    job("methods/near.py", "VALUE = 'near'\n")
    job("methods/loss.py", "import near, top\nclass Loss:\n    seen = near.VALUE + top.VALUE\n")
    assert find("objectives", "methods/loss.py:Loss", job.base).factory.seen == "neartop"
    assert find("objectives", "methods.loss.Loss", job.base).factory.seen == "neartop"


def test_a_package_beside_the_job_goes_before_an_installed_one(job):
    job("torch/__init__.py", "")
    job("torch/own.py", "class Loss:\n    pass\n")
    assert find("objectives", "torch.own.Loss", job.base).origin == "file torch/own.py"


def test_syntax_error_names_file_and_line_and_leaves_others_alone(job):
    job("broken.py", "import torch\n\ndef f(:\n    pass\n")
    job("losses.py", LOSS)
    message = problem_of("broken.py:Loss", job.base).message
    assert "broken.py cannot be imported: broken.py:3: SyntaxError" in message
    assert find("objectives", "losses.py:Loss", job.base)


def test_import_error_names_the_line_of_the_file_not_of_the_library(job):
    job("losses.py", "import json\n\nSETTINGS = json.loads('{')\n")
    message = problem_of("losses.py:Loss", job.base).message
    assert "losses.py:3: JSONDecodeError" in message


def test_missing_dependency_of_a_helper_names_the_helper(job):
    job("helpers.py", "\nimport not_installed_anywhere\n")
    job("losses.py", "import helpers\nclass Loss:\n    pass\n")
    message = problem_of("losses.py:Loss", job.base).message
    assert "helpers.py:2: ModuleNotFoundError: No module named 'not_installed_anywhere'" in message


def test_a_repaired_file_is_loaded(job):
    job("losses.py", "class Loss(:\n")
    assert problem_of("losses.py:Loss", job.base)
    job("losses.py", LOSS)
    assert create("objectives", "losses.py:Loss", job.base, scale=2).scale == 2.0


def test_a_file_that_exits_is_reported(job):
    job("losses.py", "import sys\nsys.exit(4)\n")
    assert "losses.py:2: SystemExit: 4" in problem_of("losses.py:Loss", job.base).message


def test_mistakes_in_the_name(job):
    job("losses.py", LOSS)
    assert problem_of("loses.py:Loss", job.base).nearest == "losses.py"
    missing = problem_of("losses.py:Los", job.base)
    assert missing.nearest == "Loss"
    assert missing.allowed == "Loss"
    assert "file.py:Name" in problem_of("losses.py", job.base).message
    assert "has no 'Loss.Inner'" in problem_of("losses.py:Loss.Inner", job.base).message
    assert "has no class or function 'nn'" in problem_of("losses.py:nn", job.base).message


def test_files_outside_the_folder_of_the_job_are_refused(job):
    (job.base.parent / "losses.py").write_text(LOSS)
    assert "lies outside" in problem_of("../losses.py:Loss", job.base).message
    assert "lies outside" in problem_of(f"{job.base.parent}/losses.py:Loss", job.base).message


def test_a_point_in_a_file_name_is_refused(job):
    job("loss.v2.py", LOSS)
    assert "point inside a name" in problem_of("loss.v2.py:Loss", job.base).message


def test_no_byte_code_is_left_beside_the_job(job):
    job("losses.py", LOSS)
    find("objectives", "losses.py:Loss", job.base)
    assert sorted(path.name for path in job.base.iterdir()) == ["losses.py"]
