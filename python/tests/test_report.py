"""Reports."""

import html
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import fit_small, visits

from health_gym import Answer, HealthGym, Report, evaluate


@pytest.fixture(scope="module")
def held_out() -> tuple[pd.DataFrame, HealthGym, Report]:
    real = pd.DataFrame(visits(100))
    model = fit_small(real, held_out=0.3)
    return real, model, model.evaluate(real, model.sample(80))


def test_a_report_has_figures_and_answers(held_out: tuple[pd.DataFrame, HealthGym, Report]) -> None:
    report = held_out[2]
    figures = report.to_dict()
    assert figures["patients"]["synthetic"] == 80
    assert 0 < figures["mean_ks"] <= 1
    answers = report.answers
    assert all(isinstance(answer, Answer) for answer in answers)
    assert {answer.verdict for answer in answers} <= {"passed", "failed", "open"}
    assert answers[0].question == "Are all values possible ones?"
    assert [answer["question"] for answer in figures["answers"]] == [answer.question for answer in answers]
    assert repr(report).splitlines()[0].startswith(answers[0].verdict)
    assert len(repr(report).splitlines()) == len(answers)


def test_the_figures_are_plain_numbers(held_out: tuple[pd.DataFrame, HealthGym, Report]) -> None:
    figures = held_out[2].to_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_a_notebook_shows_the_page_of_the_report(
    held_out: tuple[pd.DataFrame, HealthGym, Report], tmp_path: Path
) -> None:
    report = held_out[2]
    page = report.save(tmp_path / "a" / "report")
    assert page == tmp_path / "a" / "report" / "report.html"
    assert sorted(file.name for file in page.parent.iterdir()) == [
        "comparison.json",
        "report.html",
        "report.md",
    ]
    shown = report._repr_html_()
    framed = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"]*" sandbox="allow-scripts"></iframe>', shown)
    assert framed is not None
    assert html.unescape(framed[1]) == page.read_text(encoding="utf-8")
    assert json.loads((page.parent / "comparison.json").read_text()) == report.to_dict()
    assert (page.parent / "report.md").read_text() == report.to_markdown()


def test_a_report_is_saved_over_an_older_one(
    held_out: tuple[pd.DataFrame, HealthGym, Report], tmp_path: Path
) -> None:
    held_out[2].save(tmp_path)
    assert held_out[2].save(str(tmp_path)).exists()


def test_patients_held_out_are_the_yardstick(held_out: tuple[pd.DataFrame, HealthGym, Report]) -> None:
    """Of the model's evaluation, which alone knows who they are."""
    real, model, report = held_out
    patients = report.to_dict()["patients"]
    assert patients["real"] + patients["held_out"] == 100
    assert 20 <= patients["held_out"] <= 40
    assert report.to_dict()["membership"] is not None
    without = evaluate(real, model.sample(80), model.schema).to_dict()
    assert without["patients"] == {"real": 100, "held_out": None, "synthetic": 80}
    assert without["membership"] is None


def test_a_cohort_is_like_itself(small: pd.DataFrame, small_model: HealthGym) -> None:
    figures = evaluate(small, small, small_model.schema).to_dict()
    assert figures["mean_ks"] == 0
    assert figures["mean_total_variation"] == 0
    worse = evaluate(small, small.assign(pressure=0.0), small_model.schema).to_dict()
    assert worse["mean_ks"] > 0.9


def test_tables_of_any_library_are_compared(
    small: pd.DataFrame, small_model: HealthGym, tmp_path: Path
) -> None:
    made = small_model.sample(40)
    expected = evaluate(small, made, small_model.schema).to_dict()
    for kind in ("polars", "pyarrow"):
        again = evaluate(small, small_model.sample(40, frame_type=kind), small_model.schema)
        assert again.to_dict() == expected
    made.to_parquet(tmp_path / "made.parquet")
    assert evaluate(small, tmp_path / "made.parquet", small_model.schema).to_dict() == expected


def test_the_order_of_columns_does_not_matter(small: pd.DataFrame, small_model: HealthGym) -> None:
    made = small_model.sample(40)
    expected = evaluate(small, made, small_model.schema).to_dict()
    assert evaluate(small[small.columns[::-1]], made, small_model.schema).to_dict() == expected
