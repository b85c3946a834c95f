"""One self-contained HTML page per evaluation: pictures a person reads at a glance, and the figures behind them.

Nothing is computed here that the evaluation does not already hold; the page loads nothing from
anywhere, so it can be mailed, archived with the run and opened years later.
"""

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lightgbm import Booster
from matplotlib.figure import Figure

from features.measurement import FloatArray
from models.certification import MethodCertification
from models.decision import Outcome, cut_key
from models.promise import promise_in_words, refusal_in_words
from training.evaluation import ALL_TYPES, Evaluation
from training.figures import (
    calibration_batteries,
    coverage_per_type,
    error_against,
    feature_importances,
    predicted_against_measured,
    reliability_at_cuts,
    risk_against_decided,
)
from training.fit import FittedModels
from training.fit_members import TreeText

_DOTS_PER_INCH = 100

_STYLE = """
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-top: 2px solid #1b6ca8; padding-top: .6rem; }
img { max-width: 100%; height: auto; } figure { margin: 1.2rem 0; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } .promise { background: #f0f5fa; padding: .8rem 1rem; }
"""


@dataclass(frozen=True)
class ReportedMethod:
    """What the page says of one method.

    Attributes
    ----------
    method : str
        Name of the method.
    evaluation : Evaluation
        Its figures.
    estimates : DataFrame
        Held-out estimates they rest on.
    certification : MethodCertification
        Certificates at the policy's cuts, calibrated on every visited battery.
    cuts : sequence of float
        Cuts of the policy.
    models : sequence of FittedModels
        Per fold; their trees tell the importances.
    temperature_celsius : ndarray, shape (rows of estimates,)
        Temperature of each row's test, NaN where unknown. [°C]
    """

    method: str
    evaluation: Evaluation
    estimates: pd.DataFrame
    certification: MethodCertification
    cuts: Sequence[float]
    models: Sequence[FittedModels]
    temperature_celsius: FloatArray


def evaluation_page(title: str, methods: Sequence[ReportedMethod]) -> str:
    """Whole page.

    Parameters
    ----------
    title : str
        Name and version of what was evaluated.
    methods : sequence of ReportedMethod
        One section each.

    Returns
    -------
    str
        HTML without a reference to anything outside it.
    """
    body = "".join(part for each in methods for part in _section(each))
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return (
        f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{html.escape(title)}</h1>"
        "<p>Every figure rests on predictions for physical cells the models never saw.</p>"
        f"{body}</body></html>\n"
    )


def _section(reported: ReportedMethod) -> Iterator[str]:
    evaluation, estimates = reported.evaluation, reported.estimates
    visits = estimates[estimates["visit"]]
    yield f"<h2>{html.escape(reported.method.replace('_', ' '))}</h2>"
    yield _figures_table(evaluation)
    yield _picture(predicted_against_measured(visits), "Predicted against measured state of health with intervals")
    yield _picture(coverage_per_type(evaluation), "Coverage of the interval per type")
    yield from _certificates(reported, visits)
    yield _picture(calibration_batteries(visits, reported.cuts), "Batteries that calibrate")
    yield _picture(reliability_at_cuts(evaluation.reliability), "Reliability of the probabilities at the cuts")
    charged = 100 * estimates["charged_fraction"].to_numpy(dtype=np.float64)
    yield _error_picture(estimates, charged, "charged from empty before the test [% of rated capacity]")
    yield _error_picture(estimates, reported.temperature_celsius, "temperature of the test [°C]")
    importances = feature_importances(_gain(reported.models))
    yield _picture(importances, "Feature importances") if importances else "<p>No tree members: no importances.</p>"


def _certificates(reported: ReportedMethod, visits: pd.DataFrame) -> Iterator[str]:
    for group in reported.certification.groups:
        of_group = visits[visits["type_key"].isin(group.type_keys)]
        for refusal in group.refusals:
            yield f"<p class='promise'>{html.escape(refusal_in_words(refusal).en)}</p>"
        for certificate in group.certificates:
            levels, thresholds = certificate.levels, group.thresholds
            cut = certificate.cut_fraction
            yield f"<p class='promise'>{html.escape(promise_in_words(certificate).en)}</p>"
            promised = (levels.max_false_accept_share, levels.max_false_reject_share)
            in_force = None if thresholds is None else thresholds.at(cut)
            picture = risk_against_decided(of_group, cut, promised, in_force)
            yield _picture(picture, f"Risk against decided share at {cut_key(cut)}")
    for key, count in reported.certification.left_out.items():
        yield f"<p class='promise'>{html.escape(key)} has {count} calibration batteries: no certificate grades it.</p>"


def _figures_table(evaluation: Evaluation) -> str:
    heads = ("type", "batteries", "MAPE", "MAE [points]", "coverage", "width [points]", "graded", "recycle", "retest")
    keys = [key for key in evaluation.visits if key != ALL_TYPES] + [ALL_TYPES]
    rows = [_figures_row(key, evaluation) for key in keys]
    return (
        f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _figures_row(key: str, evaluation: Evaluation) -> str:
    figures = evaluation.visits[key]
    shares = [figures.outcomes[outcome].fraction for outcome in (Outcome.CASCADE, Outcome.RECYCLE, Outcome.RETEST)]
    cells = (
        html.escape(key),
        str(figures.covered.total),
        f"{100 * figures.errors.mean_absolute_percentage_error:.2f} %",
        f"{100 * figures.errors.mean_absolute_error:.2f}",
        f"{100 * figures.covered.fraction:.1f} %",
        f"{100 * figures.mean_width:.1f}",
        *(f"{100 * share:.0f} %" for share in shares),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _gain(models: Sequence[FittedModels]) -> Mapping[str, float]:
    """Gain of every feature over the tree members of all folds and types."""
    gain: dict[str, float] = {}
    for fitted in models:
        for of_type in fitted.types.values():
            for _, member in of_type.members:
                if isinstance(member, TreeText):
                    split = Booster(model_str=member.text).feature_importance("gain")
                    for name, each in zip(member.names, split.tolist(), strict=True):
                        gain[name] = gain.get(name, 0.0) + each
    return gain


def _error_picture(estimates: pd.DataFrame, across: FloatArray, words: str) -> str:
    figure = error_against(estimates, across, words)
    if figure is None:
        return f"<p>Error against {html.escape(words)}: not drawn, it is unknown or the same in every test.</p>"
    return _picture(figure, f"Error against {words}")


def _picture(figure: Figure, words: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"<figure><img alt='{html.escape(words, quote=True)}' src='data:image/png;base64,{encoded}'></figure>"
