"""All subjects of findings: for each, its statistics, its words, its metrics and its section of the report.

Rules, messages, metrics, reports and the checks of the configuration follow this list. A new statistic is a line in the
``statistics`` of its subject; a new subject is an entry of `SUBJECTS`. A subject that is not listed counts as drift and
keeps its own name; the daemon logs it, and the tests fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

LOST = "lost_messages"
"""Statistic of the finding that reports an incomplete window."""
DAMAGED = "state_damaged"
"""Statistic of the finding that reports corrupt saved state."""
ESTIMATED = "estimated_performance"
"""Subject of performance that is estimated without labels. It is judged together with drift."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number that a finding holds.

    Attributes:
        words: its name in alerts; empty to derive it from the statistic's name.
        about: name of the subject in alerts on this statistic; empty for the subject's own words.
        sentence: the finding's detail states everything, so alerts leave out the numbers.
        optional: computed only where ``drift.show`` names it.
        per_class: may be followed by a colon and a class.
    """

    words: str = ""
    about: str = ""
    sentence: bool = False
    optional: bool = False
    per_class: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """The metrics that show findings: NAME, NAME_lower_bound, NAME_upper_bound and the optional ones below.

    Attributes:
        name: NAME.
        text: HELP of NAME, without the full stop.
        noun: the measured number, for the HELP texts of bounds, threshold and reference.
        labels: in addition to the labels of the window.
        judged: HELP of NAME_breached, without the full stop; empty where nothing is judged.
        reference: whether NAME_reference shows the number on the reference.
        per_feature: each feature has several statistics, so they rank after the drift of all features.
    """

    name: str
    text: str
    noun: str
    labels: tuple[str, ...]
    judged: str = ""
    reference: bool = False
    per_feature: bool = False


Shown = Metric | Literal["drift", "segments", "window", ""]
"""The metrics of a subject: its own, the drift metrics, the segment metric, one number for the window, or none."""
Section = Literal["cards", "performance", "comparisons", "beyond limits", ""]
"""Section of the report: a card for each drifted subject; charts; the table next to them; the data-quality table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A subject of findings, or a family of subjects with a common prefix.

    Attributes:
        name: the subject; a family ends in a colon, which the name of a feature, class or column follows.
        words: its name in alerts; ``{name}`` is the text after the colon, ``{metric}`` the statistic in words,
            ``{subject}`` the whole subject.
        statistics: name → description.
        metrics_of_task: its statistics include the performance metrics of the model's task.
        bad: the status of a bad finding; empty where nothing is judged.
        realised: it is computed from labels and belongs to realised evaluations.
        by_name: rules with a subject of ``*`` leave it out.
        each: every statistic counts as a subject, so an alert reports all statistics.
        detail: the text of its alerts: the numbers; the finding's detail; both; or the distance from the champion.
        aside: follows its name in the list of findings.
        reference: the alert states the number on the reference next to a breach.
        shown: its metrics.
        section: its section of the report.
        title: its name in the report, with the placeholders of ``words``.
        own: a notification about leewayd itself; no rule covers it.
    """

    name: str
    words: str
    statistics: Mapping[str, Statistic] = field(default_factory=dict)
    metrics_of_task: bool = False
    bad: Literal["drifted", "breached", ""]
    realised: bool = False
    by_name: bool = False
    each: bool = False
    detail: Literal["numbers", "detail", "both", "champion"] = "numbers"
    aside: str = ""
    reference: bool = False
    shown: Shown = ""
    section: Section = ""
    title: str = "{subject}"
    own: bool = False

    @property
    def family(self) -> str:
        """The part before the colon."""
        return self.name.removesuffix(":")


_CHANGE_POINTS = {
    "cusum": Statistic("cumulative sum of small changes", per_class=True),
    "adwin": Statistic("sudden change", per_class=True),
}
_DISTANCES = {
    "psi": Statistic("PSI"),
    "jensen_shannon": Statistic("Jensen-Shannon distance"),
    "ks": Statistic("KS distance"),
    "wasserstein": Statistic("Wasserstein distance"),
    "chi2": Statistic("chi-squared"),
    "missing": Statistic("change of the missing share"),
    **dict.fromkeys(
        ("hellinger", "total_variation", "l_infinity", "kullback_leibler", "energy", "cramers_v", "mean_shift",
         "q05_shift", "q25_shift", "median_shift", "q75_shift", "q95_shift"),
        Statistic(optional=True),
    ),
    **_CHANGE_POINTS,
}  # fmt: skip
_TOGETHER = {
    "pca_reconstruction": Statistic("reconstruction error"),
    "mmd": Statistic("kernel distance"),
    "correlation": Statistic(),
}
_FAIRNESS = dict.fromkeys(
    ("demographic_parity_difference", "disparate_impact_ratio", "equal_opportunity_difference",
     "equalized_odds_difference"),
    Statistic(),
)  # fmt: skip

SUBJECTS = (
    Subject(
        name="feature:", words="{name}", statistics=_DISTANCES, bad="drifted", shown="drift", section="cards",
        title="{name}",
   ),
    Subject(name="score:", words="{subject}", statistics=_DISTANCES, bad="drifted", shown="drift", section="cards"),
    Subject(
        name="embedding:", words="embedding {name}", statistics=_TOGETHER, bad="drifted", shown="drift",
        section="beyond limits",
    ),
    Subject(
        name="prediction", words="{subject}", statistics=_DISTANCES, bad="drifted", shown="drift", section="cards",
    ),
    Subject(name="score", words="{subject}", statistics=_DISTANCES, bad="drifted", shown="drift", section="cards"),
    Subject(
        name="multivariate", words="the features' joint distribution", statistics=_TOGETHER, bad="drifted",
        shown="drift", section="beyond limits", title="all features together",
    ),
    Subject(
        name="performance", words="{metric}", bad="breached", realised=True, each=True, reference=True,
        statistics={
            "label_share": Statistic("share of predictions that have a label"), **_CHANGE_POINTS,
        },
        metrics_of_task=True, section="performance",
        shown=Metric(
            name="leeway_performance", text="Performance metric of the newest window whose labels have arrived",
            noun="performance metric", labels=("metric",), reference=True,
            judged="1 if the performance metric is significantly worse than its threshold",
        ),
    ),
    Subject(
        name=ESTIMATED, words="estimated {metric}", metrics_of_task=True, bad="breached", by_name=True, each=True,
        aside=" (without labels)", reference=True, section="performance",
        shown=Metric(
            name="leeway_estimated_performance", text="Performance metric of the window, estimated without labels",
            noun="estimated performance metric", labels=("metric",), reference=True,
            judged="1 if the estimated performance metric is significantly worse than its threshold",
        ),
    ),
    Subject(
        name="version", words="{metric} compared with the champion", metrics_of_task=True, bad="breached",
        realised=True, by_name=True, each=True, detail="champion", section="comparisons",
        title="compared with the champion",
        shown=Metric(
            name="leeway_version_difference",
            text="Performance metric of this version minus the champion's in one window",
            noun="difference between version and champion", labels=("metric",),
            judged="1 if this version is significantly worse than the champion",
        ),
    ),
    Subject(
        name="segments", words="number of segments with significantly worse {metric}", metrics_of_task=True,
        bad="breached", realised=True, by_name=True, each=True, detail="detail", shown="segments",
        section="comparisons", title="segments that are worse",
    ),
    Subject(
        name="fairness:", words="{metric} by {name}", statistics=_FAIRNESS, bad="breached", realised=True, each=True,
        detail="both", section="comparisons",
        shown=Metric(
            name="leeway_fairness", text="Difference or ratio between the groups of a protected column",
            noun="fairness metric", labels=("column", "metric"),
        ),
    ),
    Subject(
        name="labels", words="labels", bad="breached", realised=True, section="beyond limits",
        statistics={
            "share": Statistic("share of predictions that have a label"),
            "median_delay_seconds": Statistic("median delay of labels in seconds"),
        },
        shown=Metric(
            name="leeway_label_arrival",
            text="Arrival of labels for the judged window: share of predictions with a label, median delay",
            noun="label arrival statistic", labels=("statistic",),
            judged="1 if the label arrival statistic is significantly worse than its threshold",
        ),
    ),
    Subject(
        name="quality:", words="quality of {name}", bad="breached", section="beyond limits", title="{name}",
        statistics={
            "missing_rate": Statistic("share of missing values"),
            "invalid_rate": Statistic("share of values of the wrong type"),
            "nonfinite_rate": Statistic("share of infinite values"),
            "out_of_range_rate": Statistic("share of values outside the reference's range"),
            "unseen_rate": Statistic("share of unseen categories"),
            "constant": Statistic(sentence=True),
        },
        shown=Metric(
            name="leeway_data_quality", text="Data-quality statistic of a feature in the window",
            noun="data-quality statistic", labels=("feature", "statistic"), per_feature=True,
            judged="1 if the data-quality statistic is significantly worse than its threshold",
        ),
    ),
    Subject(
        name="quality", words="records", bad="breached", section="beyond limits",
        statistics={
            "features_gone": Statistic("number of features without any value", sentence=True),
            "features_new": Statistic("number of new names", sentence=True),
            "duplicate_rate": Statistic("share of repeated records"),
            "traffic_ratio": Statistic("traffic relative to the usual", about="traffic"),
            "rejected": Statistic("share of rejected records"),
            "featureless": Statistic("share of records without any feature"),
            "labels_rejected": Statistic("share of rejected label records"),
            LOST: Statistic("number of lost messages", sentence=True),
            DAMAGED: Statistic(),
        },
        shown=Metric(
            name="leeway_traffic",
            text="Statistic of the model's records in the window, such as traffic_ratio or duplicate_rate",
            noun="statistic of records", labels=("statistic",),
            judged="1 if the statistic of records is significantly outside its threshold",
        ),
    ),
    Subject(
        name="reference", words="{subject}", statistics={"fallback": Statistic()}, bad="", shown="window",
        section="beyond limits",
    ),
    Subject(name="attribution", words="{subject}", statistics={"responsible": Statistic()}, bad=""),
    Subject(name="receiver:", words="{subject}", statistics={"delivery": Statistic()}, bad="breached", own=True),
    Subject(name="incident", words="{subject}", statistics={"delivery": Statistic()}, bad="breached", own=True),
)  # fmt: skip
"""In the order in which the checks of the configuration list them."""

UNKNOWN = Subject(name="", words="{subject}", bad="drifted", shown="drift")
"""A subject that is not listed counts as drift."""
METRIC_WORDS = {
    "roc_auc": "ROC AUC",
    "ks": "KS statistic",
    "f1": "F1",
    "f_beta": "F-beta",
    "matthews_corrcoef": "Matthews correlation",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "value_per_row": "value per prediction",
    "label_share": "share of predictions that have a label",
    "pinball": "pinball loss",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "rmsle": "RMSLE",
    "mape": "MAPE",
    "smape": "sMAPE",
    "r2": "R²",
    "ndcg": "NDCG",
    "map": "MAP",
    "mrr": "MRR",
}
"""Performance metrics in words. A metric that is not listed takes the words of a listed prefix, or its own name."""

_WORDS = {name: number.words for subject in SUBJECTS for name, number in subject.statistics.items()}
SENTENCES = frozenset(name for subject in SUBJECTS for name, number in subject.statistics.items() if number.sentence)
"""Statistics whose findings state everything in the detail, so alerts leave out the numbers."""
_BY_NAME = {subject.name: subject for subject in SUBJECTS}
EACH = frozenset(subject.family for subject in SUBJECTS if subject.each)
"""Families of subjects in which every statistic counts as a subject."""
REALISED = frozenset(subject.family for subject in SUBJECTS if subject.realised)
BREACHABLE = frozenset(subject.family for subject in SUBJECTS if subject.bad == "breached" and not subject.own)
"""Families of subjects that can be breached. All others drift."""
ONLY_BY_NAME = frozenset(subject.family for subject in SUBJECTS if subject.by_name)


@lru_cache(maxsize=2**16)
def subject_named(subject: str) -> Subject:
    """The entry of a finding's subject; `UNKNOWN` if it is not listed. Never raises."""
    family, colon, _ = subject.partition(":")
    return _BY_NAME.get(family + colon, UNKNOWN)


def statistic_of(subject: Subject, statistic: str) -> Statistic | None:
    """The entry of a finding's statistic; None if the subject has no statistic of that name."""
    base, colon, _ = statistic.partition(":")
    entry = subject.statistics.get(base)
    return None if entry is None or (colon and not entry.per_class) else entry


@lru_cache(maxsize=2**16)
def is_known(subject: str, statistic: str) -> bool:
    """Whether a finding is listed here. The model's task decides the names of performance metrics: any is accepted."""
    entry = subject_named(subject)
    return entry.metrics_of_task or statistic_of(entry, statistic) is not None


def words_of_metric(name: str) -> str:
    """``ROC AUC``, ``precision of class 3``, ``ROC AUC ovr macro``."""
    base, _, group = name.partition(":")
    known = next((short for short in METRIC_WORDS if base == short or base.startswith(f"{short}_")), "")
    words = (METRIC_WORDS.get(base) or METRIC_WORDS.get(known, "") + base[len(known) :]).replace("_", " ")
    return f"{words} of class {group}" if group else words


def words_of_statistic(name: str) -> str:
    """``PSI``, ``cumulative sum of small changes of yes``."""
    base, _, group = name.partition(":")
    words = _WORDS.get(base) or base.replace("_", " ")
    return f"{words} of {group}" if group else words


def words_of_subject(subject: str, statistic: str) -> str:
    """The subject of a finding in words: ``age``, ``estimated ROC AUC``, ``equal opportunity difference by SEX``."""
    entry = subject_named(subject)
    number = statistic_of(entry, statistic)
    if number is not None and number.about:
        return number.about
    return _filled(entry.words, subject, statistic)


def title_of(subject: str) -> str:
    """The name of a subject in the report: ``age``, ``all features together``."""
    return _filled(subject_named(subject).title, subject, "")


def _filled(text: str, subject: str, statistic: str) -> str:
    return text.format(name=subject.partition(":")[2], metric=words_of_metric(statistic), subject=subject)
