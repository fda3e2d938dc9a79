"""Variants: what they change, which runs they make, and where their mistakes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

import trainwright
from trainwright.compare.plan import make_plan
from trainwright.compare.variants import variants_of
from trainwright.errors import InputError, JobError, Problem
from trainwright.job import Job

BASE = """\
data: {source: digits, batch_size: 64, validation: 0.25}
model: mlp
objective: {name: z_loss, a: 2.0}
optimizer: {name: sgd, lr: 0.1}
"""


def load(text: str, tmp_path: Path, *overrides: str) -> Job[Any]:
    (tmp_path / "compare.yaml").write_text(text)
    return Job.load(tmp_path / "compare.yaml", overrides)


def problems(text: str, tmp_path: Path, *overrides: str) -> list[Problem]:
    with pytest.raises(JobError) as caught:
        load(text, tmp_path, *overrides)
    return caught.value.problems


def job_of(job: Job[Any], variant: str, seed: int = 0) -> Any:
    return variants_of(job)[variant].job(seed).spec


HEAD = "kind: compare\nname: c\nbase: base.yaml\nvariants:\n  baseline:\n"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path / "base.yaml"


@pytest.mark.usefixtures("base")
class TestChanges:
    def test_sections_are_merged_and_dotted_paths_set(self, tmp_path: Path) -> None:
        text = HEAD + "  m: {optimizer: {lr: 0.5}, objective.a: 1.0, training.epochs: 3}\n"
        spec = job_of(load(text, tmp_path), "m")
        assert spec.optimizer.options == {"lr": 0.5}
        assert spec.objectives[0].options == {"a": 1.0}
        assert spec.training.epochs == 3
        assert spec.data.batch_size == 64

    def test_a_plugin_of_another_name_brings_its_own_options(self, tmp_path: Path) -> None:
        text = HEAD + "  m: {objective: cross_entropy, optimizer: {name: adamw, lr: 0.01}}\n"
        spec = job_of(load(text, tmp_path), "m")
        assert spec.objectives[0].name == "cross_entropy"
        assert spec.objectives[0].options == {}
        assert spec.optimizer.options == {"lr": 0.01}

    def test_an_entry_of_a_list_is_changed_by_its_number(self, tmp_path: Path) -> None:
        text = HEAD + "  m: {strategies.0.num_samples: 4}\n"
        strategies = "strategies: [{name: multi_sample_dropout, num_samples: 1}]\n"
        (tmp_path / "base.yaml").write_text(BASE + strategies)
        job = load(text, tmp_path)
        assert job_of(job, "m").strategies[0].options == {"num_samples": 4}
        assert job_of(job, "baseline").strategies[0].options == {"num_samples": 1}

    def test_runs_are_in_one_process_unless_the_base_says_otherwise(self, tmp_path: Path) -> None:
        text = HEAD + "  m: {cluster.workers: 2}\n"
        job = load(text, tmp_path)
        assert job_of(job, "baseline").cluster.workers == 0
        assert job_of(job, "m").cluster.workers == 2

    def test_runs_are_trained_where_the_pool_is(self, tmp_path: Path) -> None:
        pool = "cluster: {address: 'ray.example:6379', gpus_per_worker: 0.5}\n"
        text = HEAD + "  m: {training.precision: fp16}\n" + pool
        spec = job_of(load(text, tmp_path), "m")
        assert (spec.cluster.address, spec.cluster.gpus_per_worker) == ("ray.example:6379", 0.5)
        trainwright.validate(load(text, tmp_path))

    def test_seeds_split_the_data_if_asked_to(self, tmp_path: Path) -> None:
        text = HEAD + "  m: {optimizer.lr: 0.2}\n"
        plain = load(text, tmp_path)
        split = load(text + "split_by_seed: true\n", tmp_path)
        assert job_of(plain, "m", 3).data.validation.seed == 0
        assert job_of(split, "m", 3).data.validation.seed == 3
        assert job_of(split, "m", 3).data.validation.fraction == 0.25
        assert job_of(split, "m", 3).seed == 3

    @pytest.mark.parametrize(
        ("source", "options"),
        [
            ("synthetic_bags", {"seed": 3}),
            ("{name: synthetic_bags, num_bags: 9}", {"num_bags": 9, "seed": 3}),
            ("{name: synthetic_bags, options: {num_bags: 9}}", {"num_bags": 9, "seed": 3}),
        ],
    )
    def test_seeds_draw_the_data_if_asked_to(self, source: str, options: dict, tmp_path) -> None:
        changes = f"data.source: {source}, data.validation: {{source: {source}}}"
        text = HEAD + "  m: {" + changes + "}\n"
        data = job_of(load(text + "draw_by_seed: true\n", tmp_path), "m", 3).data
        for found in (data.source, data.validation.source):
            assert (found.name, found.options) == ("synthetic_bags", options)
        plain = job_of(load(text, tmp_path), "m", 3).data.source
        assert "seed" not in getattr(plain, "options", {})

    def test_overrides_reach_into_a_base_file(self, tmp_path: Path) -> None:
        text = HEAD + "  m: {optimizer.lr: 0.5}\n"
        job = load(text, tmp_path, "base.model.hidden=[8]", "seeds=[7, 9]", "variants.m.seed=1")
        assert job_of(job, "baseline").model.options == {"hidden": [8]}
        assert job.spec.seed_list == [7, 9]

    def test_a_base_in_place_may_extend_a_file(self, tmp_path: Path) -> None:
        text = HEAD.replace("base: base.yaml", "base: {extends: base.yaml, seed: 3, metrics: [r2]}")
        spec = job_of(load(text + "  m: {optimizer.lr: 0.2}\n", tmp_path), "m", 5)
        assert spec.objectives[0].name == "z_loss"
        assert spec.metrics[0].name == "r2"
        assert spec.seed == 5

    def test_a_comparison_may_extend_another(self, tmp_path: Path) -> None:
        (tmp_path / "first.yaml").write_text(HEAD + "  m: {optimizer.lr: 0.2}\nseeds: 3\n")
        job = load("extends: first.yaml\nseeds: 4\nvariants: {m: {optimizer.lr: 0.9}}\n", tmp_path)
        assert len(job.spec.seed_list) == 4
        assert job_of(job, "m").optimizer.options["lr"] == 0.9
        assert set(job.spec.variants) == {"baseline", "m"}


@pytest.mark.usefixtures("base")
class TestMistakes:
    def test_in_a_variant_they_are_told_at_its_line(self, tmp_path: Path) -> None:
        text = HEAD + "  m:\n    optimizer: {lr: 0.5}\n    traning.epochs: 3\n"
        (problem,) = problems(text, tmp_path)
        assert problem.path == "variants.m.traning"
        assert (problem.location.file.endswith("compare.yaml"), problem.location.line) == (True, 8)
        assert problem.nearest == "training"

    def test_in_the_base_they_are_told_once_and_in_its_file(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text(BASE.replace("batch_size: 64", "batch_size: 0"))
        (problem,) = problems(HEAD + "  m: {optimizer.lr: 0.2}\n", tmp_path)
        assert problem.path == "base.data.batch_size"
        assert problem.location.file.endswith("base.yaml")
        assert problem.location.line == 1

    def test_in_the_cluster_of_the_base(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text(BASE + "cluster: {workers: -1}\n")
        (problem,) = problems(HEAD + "  m: {optimizer.lr: 0.2}\n", tmp_path)
        assert (problem.path, problem.location.line) == ("base.cluster.workers", 5)

    def test_options_of_plugins_are_checked_for_every_variant(self, tmp_path: Path) -> None:
        text = HEAD + "  m: {objective: {name: z_loss, a: -1.0}}\n  n: {model: {name: mlpp}}\n"
        job = load(text, tmp_path)
        with pytest.raises(InputError) as caught:
            trainwright.validate(job)
        assert [p.path for p in caught.value.problems] == ["variants.m.objective.a"]
        assert caught.value.problems[0].location.line == 6

    def test_a_path_that_leads_nowhere(self, tmp_path: Path) -> None:
        (problem,) = problems(HEAD + "  m: {strategies.0.p: 4, model.hidden.x: 1}\n", tmp_path)[:1]
        assert problem.path.startswith("variants.m.")
        assert problem.location.line == 6

    @pytest.mark.parametrize(
        ("lines", "path", "nearest"),
        [
            ("baseline: m2", "baseline", "m"),
            ("methods: [mm]", "methods.0", "m"),
            ("methods: [baseline]", "methods.0", None),
            ("seeds: [1, 1]", "seeds", None),
            ("seeds: 0", "seeds", None),
            ("seed: 1", "seed", "seeds"),
            ("expect: ['mean(train/loss, mm) < 1']", "expect.0", "m"),
            ("expect: ['maen(train/loss, m) < 1']", "expect.0", "mean"),
            ("report: ['train/loss@tial']", "report.0", "tail"),
            ("cluster: {worker: 2}", "cluster.worker", "workers"),
            ("variant: {}", "variant", "variants"),
        ],
    )
    def test_in_the_comparison_itself(
        self, lines: str, path: str, nearest: str | None, tmp_path: Path
    ) -> None:
        (problem,) = problems(HEAD + "  m: {optimizer.lr: 0.2}\n" + lines + "\n", tmp_path)
        assert (problem.path, problem.nearest) == (path, nearest)
        assert problem.location.line == 7

    def test_names_of_variants(self, tmp_path: Path) -> None:
        (problem,) = problems(HEAD + "  a-b: {optimizer.lr: 0.2}\n", tmp_path)
        assert problem.path == "variants.a-b"

    def test_labels_fit_into_names_of_runs(self, tmp_path: Path) -> None:
        text = HEAD.replace("name: c", f"name: {'x' * 60}") + "  m: {optimizer.lr: 0.2}\n"
        assert [p.path for p in problems(text, tmp_path)] == ["name"]

    def test_a_base_that_is_no_training_job(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text("kind: compare\n" + BASE)
        (problem,) = problems(HEAD + "  m: {optimizer.lr: 0.2}\n", tmp_path)
        assert problem.path == "base.kind"

    def test_a_base_file_that_is_not_there(self, tmp_path: Path) -> None:
        text = HEAD.replace("base.yaml", "bsae.yaml") + "  m: {optimizer.lr: 0.2}\n"
        (problem,) = problems(text, tmp_path)
        assert "bsae.yaml" in str(problem)
        assert problem.location.line == 3

    def test_a_base_that_extends_the_comparison(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text("extends: compare.yaml\n" + BASE)
        assert "circle" in str(problems(HEAD + "  m: {optimizer.lr: 0.2}\n", tmp_path)[0])

    def test_a_quantity_that_no_run_will_record(self, tmp_path: Path) -> None:
        text = HEAD + "  m: {optimizer.lr: 0.2}\nexpect: ['mean(validation/los, m) < 1']\n"
        with pytest.raises(InputError) as caught:
            trainwright.validate(load(text, tmp_path))
        (problem,) = caught.value.problems
        assert (problem.path, problem.nearest) == ("expect.0", "validation/loss")

    def test_a_placebo_may_lack_what_its_method_would_record(self, tmp_path: Path) -> None:
        text = (
            HEAD
            + "  m: {strategies: [output_scale]}\nexpect: ['mean(strategy/scale, VARIANT) > 0']\n"
        )
        method = load(text.replace("VARIANT", "m"), tmp_path)
        assert make_plan(method, placebo=True).lines
        baseline = load(text.replace("VARIANT", "baseline"), tmp_path)
        with pytest.raises(InputError, match="will record no such quantity"):
            make_plan(baseline, placebo=True)


@pytest.mark.usefixtures("base")
class TestNames:
    TEXT = HEAD + "  m: {optimizer.lr: 0.2}\nseeds: 3\n"

    def test_every_run_has_the_name_it_would_have_alone(self, tmp_path: Path) -> None:
        plan = make_plan(load(self.TEXT, tmp_path))
        assert len({run.name for run in plan.runs}) == 6
        run = plan.variants["m"][2]
        alone = yaml.safe_load(run.job.source)
        assert trainwright.validate(alone).run == run.name

    def test_starting_weights_count_by_their_content(self, tmp_path: Path) -> None:
        digits = {"in_features": 64, "out_features": 10}
        model = trainwright.create("models", "mlp", hidden=[4], **digits)
        save_file(model.state_dict(), tmp_path / "start.safetensors")
        start = f"{{name: mlp, hidden: [4], weights: {tmp_path}/start.safetensors}}"
        base = BASE.replace("mlp", start)
        (tmp_path / "base.yaml").write_text(base)
        plan = make_plan(load(self.TEXT, tmp_path))
        run = plan.variants["m"][2]
        assert trainwright.validate(yaml.safe_load(run.job.source)).run == run.name
        torch.nn.init.zeros_(model.get_parameter(next(iter(model.state_dict()))))
        save_file(model.state_dict(), tmp_path / "start.safetensors")
        other = make_plan(load(self.TEXT, tmp_path))
        assert {run.name for run in plan.runs}.isdisjoint(run.name for run in other.runs)

    def test_a_placebo_takes_the_baseline_runs(self, tmp_path: Path) -> None:
        job = load(self.TEXT, tmp_path)
        plan, placebo = make_plan(job), make_plan(job, placebo=True)
        assert placebo.variants["m"] == placebo.variants["baseline"]
        assert [r.name for r in placebo.runs] == [
            r.name for r in plan.variants["baseline"].values()
        ]
        assert placebo.name != plan.name

    def test_fewer_seeds_share_their_runs(self, tmp_path: Path) -> None:
        few = make_plan(load(self.TEXT, tmp_path, "seeds=2"))
        many = make_plan(load(self.TEXT, tmp_path))
        assert {run.name for run in few.runs} < {run.name for run in many.runs}

    def test_expectations_and_report_do_not_enter_the_name(self, tmp_path: Path) -> None:
        more = self.TEXT + "report: [train/loss]\nexpect: ['mean(train/loss, m) < 9']\n"
        assert make_plan(load(more, tmp_path)).name == make_plan(load(self.TEXT, tmp_path)).name
