from __future__ import annotations

import pytest

from trainwright.errors import MISSING, JobError, Location, Problem
from trainwright.job.document import Document
from trainwright.job.environment import expand


def document(text: str, *overrides: str, **environ: str) -> Document:
    return Document.read(text, "job.yaml", overrides, environ)


def refused(text: str, *overrides: str, **environ: str) -> list[Problem]:
    with pytest.raises(JobError) as caught:
        document(text, *overrides, **environ)
    return caught.value.problems


class TestExtends:
    @pytest.fixture
    def write(self, tmp_path):
        def write(**files: str) -> str:
            for name, text in files.items():
                (tmp_path / f"{name}.yaml").write_text(text)
            return str(tmp_path / "job.yaml")

        return write

    def read(self, path: str, *overrides: str) -> Document:
        with open(path) as file:
            return Document.read(file.read(), path, overrides, {})

    def test_mappings_merge_and_lists_are_replaced(self, write):
        path = write(
            base="name: b\ndata: {source: digits, batch_size: 8}\nstrategies: [x, y]\n",
            job="extends: base.yaml\ndata:\n  batch_size: 16\nstrategies: [z]\n",
        )
        assert self.read(path).values == {
            "name": "b",
            "data": {"source": "digits", "batch_size": 16},
            "strategies": ["z"],
        }

    def test_values_keep_the_file_they_come_from(self, write, tmp_path):
        path = write(
            base="name: b\ndata:\n  source: digits\n  batch_size: 8\nstrategies:\n  - x\n  - y\n",
            job="# c\nextends: base.yaml\ndata:\n  batch_size: 16\nstrategies: [z]\n",
        )
        found = self.read(path)
        base = str(tmp_path / "base.yaml")
        assert found.location_of("data.source") == Location(base, 3)
        assert found.location_of("data.batch_size") == Location(path, 4)
        assert found.location_of("strategies.0") == Location(path, 5)
        assert found.location_of("strategies.1") == Location(path, 5)
        assert "strategies.1" not in found.locations

    def test_a_chain_over_folders(self, write, tmp_path):
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "root.yaml").write_text("name: root\nseed: 1\n")
        (tmp_path / "shared" / "middle.yaml").write_text("extends: root.yaml\nseed: 2\n")
        path = write(job="extends: shared/middle.yaml\nmodel: mlp\n")
        assert self.read(path).values == {"name": "root", "seed": 2, "model": "mlp"}

    def test_a_circle_names_its_files(self, write):
        path = write(job="extends: other.yaml\n", other="name: x\nextends: job.yaml\n")
        with pytest.raises(JobError) as caught:
            self.read(path)
        (problem,) = caught.value.problems
        assert "job.yaml -> " in problem.message
        assert problem.message.count("job.yaml") == 2
        assert problem.location.line == 2

    def test_a_file_that_extends_itself(self, write):
        with pytest.raises(JobError, match="circle"):
            self.read(write(job="extends: job.yaml\n"))

    def test_a_missing_file_is_told_where_it_is_named(self, write, tmp_path):
        path = write(base="name: b\n", job="name: j\nextends: bsae.yaml\n")
        with pytest.raises(JobError) as caught:
            self.read(path)
        (problem,) = caught.value.problems
        assert problem.location == Location(path, 2)
        assert problem.nearest == str(tmp_path / "base.yaml")

    @pytest.mark.parametrize("value", ["5", "[base.yaml]", ""])
    def test_it_names_one_file(self, write, value):
        with pytest.raises(JobError, match="names no file"):
            self.read(write(job=f"extends: {value}\n"))

    def test_options_are_added_to_the_same_plugin_in_its_short_form(self, write, tmp_path):
        path = write(
            base="model: mlp\nobjective: z_loss\n", job="extends: base.yaml\nobjective: {a: 2}\n"
        )
        found = self.read(path)
        assert found.values["objective"] == {"name": "z_loss", "a": 2}
        assert found.location_of("objective.name") == Location(str(tmp_path / "base.yaml"), 2)
        assert found.location_of("objective.a") == Location(path, 2)

    def test_another_plugin_does_not_inherit_the_options(self, write):
        path = write(
            base="optimizer: {name: adam, betas: [0, 0.9]}\nmodel: {name: mlp, hidden: [4]}\n",
            job="extends: base.yaml\noptimizer: {name: sgd, lr: 1}\nmodel: {name: mlp, d: 0}\n",
        )
        found = self.read(path)
        assert found.values["optimizer"] == {"name": "sgd", "lr": 1}
        assert found.values["model"] == {"name": "mlp", "hidden": [4], "d": 0}
        assert "optimizer.betas" not in found.locations

    @pytest.mark.parametrize("path", ["federation.partition", "federation.aggregator", "procedure"])
    def test_plugins_of_every_kind_of_job_bring_their_own_options(self, write, path):
        section, _, key = path.rpartition(".")
        form = f"{section}: {{{{{key}: {{}}}}}}\n" if section else f"{key}: {{}}\n"
        base = form.format("{name: one, alpha: 1}")
        for above, expected in (
            ("{name: other, size: 2}", {"name": "other", "size": 2}),
            ("{size: 2}", {"name": "one", "alpha": 1, "size": 2}),
            ("other", "other"),
        ):
            found = self.read(write(base=base, job=f"extends: base.yaml\n{form.format(above)}"))
            values = found.values[section] if section else found.values
            assert values[key] == expected

    def test_overrides_are_made_on_the_merged_job(self, write):
        path = write(base="seed: 1\n", job="extends: base.yaml\nname: x\n")
        assert self.read(path, "seed=5").values == {"seed": 5, "name": "x"}


class TestOverrides:
    text = "name: x\nseed: 1\nobjective: z_loss\nstrategies:\n  - a\n  - {name: b, n: 1}\n"

    @pytest.mark.parametrize(
        ("override", "key", "expected"),
        [
            ("seed=5", "seed", 5),
            ("name=on", "name", "on"),
            ("training.epochs=3", "training", {"epochs": 3}),
            ("optimizer.lr=1e-3", "optimizer", {"lr": 1e-3}),
            ("objective.a=2", "objective", {"name": "z_loss", "a": 2}),
            ("objective=mse", "objective", "mse"),
            ("strategies.1.n=4", "strategies", ["a", {"name": "b", "n": 4}]),
            ("strategies.0.n=4", "strategies", [{"name": "a", "n": 4}, {"name": "b", "n": 1}]),
            ("strategies=[]", "strategies", []),
            ("storage=s3://bucket/a=b", "storage", "s3://bucket/a=b"),
            ("tracking={enabled: false}", "tracking", {"enabled": False}),
            ("tracking.experiment=", "tracking", {"experiment": None}),
        ],
    )
    def test_a_value_is_set(self, override, key, expected):
        found = document(self.text, override)
        assert found.values[key] == expected
        path = override.partition("=")[0]
        assert found.location_of(path) == Location(f"-s {override}")

    def test_short_forms_are_written_out(self):
        text = "data: {source: digits, validation: 0.2}\ntraining: {monitor: validation/loss}\n"
        found = document(
            text, "data.source.n=3", "data.validation.seed=1", "training.monitor.mode=max"
        )
        assert found.values["data"] == {
            "source": {"name": "digits", "n": 3},
            "validation": {"fraction": 0.2, "seed": 1},
        }
        assert found.values["training"]["monitor"] == {"metric": "validation/loss", "mode": "max"}

    def test_a_key_with_dots_stays_whole(self):
        text = "space:\n  optimizer.lr: {uniform: [0, 1]}\nvariants: {a: {optimizer.lr: 1}}\n"
        found = document(
            text, "space.optimizer.lr.uniform=[2, 3]", "variants.a.optimizer.lr=2", "space.b.c=1"
        )
        assert found.values["space"] == {"optimizer.lr": {"uniform": [2, 3]}, "b": {"c": 1}}
        assert found.values["variants"] == {"a": {"optimizer.lr": 2}}

    def test_an_empty_section_is_filled(self):
        assert document("training:\n", "training.epochs=1").values == {"training": {"epochs": 1}}

    def test_the_last_one_wins(self):
        found = document(self.text, "seed=2", "seed=3")
        assert found.values["seed"] == 3
        assert found.location_of("seed") == Location("-s seed=3")

    def test_places_inside_a_value_and_of_sections_made_for_it(self):
        found = document(self.text, "training.keep={last: 1}")
        assert found.location_of("training.keep.last") == Location("-s training.keep={last: 1}")
        assert found.location_of("training") == Location("-s training.keep={last: 1}")
        assert found.location_of("seed") == Location("job.yaml", 2)

    def test_a_replaced_section_loses_its_places(self):
        found = document("objective:\n  name: a\n  b: 1\n", "objective=mse")
        assert "objective.b" not in found.locations

    @pytest.mark.parametrize(
        ("override", "path", "words"),
        [
            ("strategies.9.n=1", "strategies.9", "only 2 entries"),
            ("strategies.2=c", "strategies.2", "only 2 entries"),
            ("strategies.b.n=1", "strategies.b", "chosen by number"),
            ("strategies.-1.n=1", "strategies.-1", "chosen by number"),
            ("seed.x=1", "seed", "single value"),
            ("strategies.1.n.m=1", "strategies.1.n", "single value"),
            ("name.x=1", "name", "single value"),
            ("seed", "", "needs a path"),
            ("=5", "", "needs a path"),
            ("a..b=5", "", "needs a path"),
            ("extends=b.yaml", "extends", "command line"),
            ("seed=[1", "", "not valid YAML"),
        ],
    )
    def test_what_leads_nowhere_is_refused(self, override, path, words):
        (problem,) = refused(self.text, override)
        assert problem.path == path
        assert words in problem.message
        assert problem.location == Location(f"-s {override}")

    def test_an_empty_list_has_no_entries(self):
        assert "empty list" in refused("strategies: []\n", "strategies.0.n=1")[0].message

    def test_all_mistakes_at_once(self):
        assert len(refused(self.text, "seed", "strategies.9=1", "seed=2")) == 2


class TestEnvironment:
    def test_variables_stand_in_storage_tracking_and_data_urls(self):
        text = (
            "storage: ${ROOT}/runs\ntracking: {uri: '${HOST}:${PORT}'}\n"
            "data: {source: '${ROOT}/a.csv', validation: {source: '${ROOT}/b.csv'}}\n"
        )
        found = document(text, ROOT="/r", HOST="http://h", PORT="80").values
        assert found["storage"] == "/r/runs"
        assert found["tracking"]["uri"] == "http://h:80"
        assert found["data"] == {"source": "/r/a.csv", "validation": {"source": "/r/b.csv"}}

    def test_a_variable_in_a_base_file_and_in_an_override(self):
        assert document("name: x\n", "storage=${A}", A="s3://b").values["storage"] == "s3://b"

    def test_the_text_keeps_the_variable(self):
        assert "${SECRET}" in document("storage: ${SECRET}\n", SECRET="x").text

    def test_two_dollars_stand_for_themselves(self):
        assert document("storage: a$${X}b\n").values["storage"] == "a${X}b"
        assert document("name: $${X}\n").values["name"] == "${X}"
        assert document("name: a$b\n").values["name"] == "a$b"

    def test_what_a_variable_holds_is_not_expanded_again(self):
        assert document("storage: ${A}\n", A="${B}", B="x").values["storage"] == "${B}"

    @pytest.mark.parametrize(
        ("text", "path", "words"),
        [
            ("a: 1\nstorage: ${NOPE}\n", "storage", "NOPE is not set"),
            ("a: 1\nstorage: ${A-B}\n", "storage", "not of the form"),
            ("a: 1\nstorage: '${A'\n", "storage", "not of the form"),
            ("a: 1\nstorage: '${}'\n", "storage", "not of the form"),
            ("a: 1\nname: ${HOME}\n", "name", "not replaced here"),
            ("a: 1\nobjective: {name: '${HOME}'}\n", "objective.name", "not replaced here"),
            ("a: 1\nmetrics: ['${HOME}']\n", "metrics.0", "not replaced here"),
            ("a: 1\ndata: {columns: {a: '${HOME}'}}\n", "data.columns.a", "not replaced here"),
        ],
    )
    def test_everything_else_is_refused(self, text, path, words):
        (problem,) = refused(text, HOME="/h")
        assert (problem.path, problem.location) == (path, Location("job.yaml", 2))
        assert words in problem.message

    def test_an_unset_variable_names_the_nearest_one(self):
        _, (problem,) = expand({"storage": "${DATA_ROT}"}, {"DATA_ROOT": "x", "HOME": "y"})
        assert problem.nearest == "DATA_ROOT"


class TestPlace:
    def test_a_short_form_ends_the_path(self):
        found = document("objective: z_loss\nmetrics: [a, b]\n")
        placed = found.place(Problem("objective.name", "wrong", got="z_loss"))
        assert (placed.path, placed.location) == ("objective", Location("job.yaml", 1))
        assert found.place(Problem("metrics.1.name", "wrong", got="b")).path == "metrics.1"

    def test_what_is_missing_keeps_its_path(self):
        placed = document("model: mlp\n").place(Problem("model.hidden", "missing", got=MISSING))
        assert (placed.path, placed.location.line) == ("model.hidden", 1)

    def test_an_option_under_options_is_found_by_its_plain_path(self):
        found = document("objective:\n  name: x\n  options:\n    weight: 3\n")
        assert found.location_of("objective.weight") == Location("job.yaml", 4)

    def test_a_missing_key_takes_the_line_of_its_section(self):
        found = document("# c\nname: x\ndata:\n  batch_size: 3\n")
        assert found.location_of("data.source") == Location("job.yaml", 3)
        assert found.location_of("model") == Location("job.yaml", 2)

    def test_an_argument_of_the_command_line_has_no_place(self):
        assert document("a: 1\n").place(Problem("--resume", "no", got="x")).location is None

    def test_problems_are_sorted_by_line_with_overrides_last(self):
        found = document("a: 1\nb: 2\n", "c=3")
        order = [p.path for p in found.sorted([Problem(key, "x") for key in ("c", "b", "a")])]
        assert order == ["a", "b", "c"]
