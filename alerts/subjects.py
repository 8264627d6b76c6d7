"""Everything that a finding can be about: each subject and statistic, its words, its metrics and its place in reports.

Rules, messages, metrics, reports and the checks of the configuration follow this list. A new statistic is a line in the
``statistics`` of its subject, a new subject an entry of `SUBJECTS`. What is not listed still works, as drift under its
own name, but is logged, and fails the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

LOST = "lost_messages"
"""Statistic of the finding that says that a window is incomplete."""
DAMAGED = "state_damaged"
"""Statistic of the finding that says that saved state was corrupt."""
ESTIMATED = "estimated_performance"
"""Subject of performance that is estimated without labels. It is reported beside drift."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number that a finding gives.

    Attributes:
        words: its name in alerts; empty for its own name with spaces.
        about: what alerts call the subject when it is this number that matters; empty for the subject's own words.
        sentence: the finding's detail says all that the numbers would.
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
    """The metrics that show findings: NAME, NAME_lower_bound and NAME_upper_bound, beside those of the status.

    Attributes:
        name: NAME.
        text: HELP of NAME, without the stop.
        labels: beside those of the window.
        judged: HELP of NAME_breached, without the stop; empty where nothing is judged.
        reference: whether NAME_reference gives the number on the reference.
        per_feature: several statistics of each feature: they find room on the page after the drift of all features.
    """

    name: str
    text: str
    labels: tuple[str, ...]
    judged: str = ""
    reference: bool = False
    per_feature: bool = False


Shown = Metric | Literal["drift", "segments", "window", ""]
"""Metrics of its own, those of drift, those of segments, one number for the window, or none."""
Section = Literal["cards", "performance", "comparisons", "beyond limits", ""]
"""Of the report: a card for each subject that drifted; charts; the table beside them; the table of data quality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What findings are about.

    Attributes:
        name: the subject itself, or with a colon at its end what stands before the name of a feature, class or column.
        words: its name in alerts; ``{name}`` is what follows the colon, ``{metric}`` the statistic in words,
            ``{subject}`` the subject as it stands.
        statistics: name → what it is.
        metrics_of_task: its statistics are also the performance metrics that the model's task has.
        bad: the status of a bad finding; empty where nothing is judged.
        realised: it rests on labels, and is part of evaluations that come late.
        by_name: rules with a subject of ``*`` leave it out.
        each: every statistic is a subject of its own, so that an alert reports all of them.
        detail: what alerts say of it: the numbers; the detail; both; or how far it is from the champion.
        aside: follows its name in the list of findings.
        reference: a breach is compared with the number on the reference.
        shown: its metrics.
        section: of the report.
        title: its name in the report, made like its words.
        own: leewayd's own news, which no rule looks at.
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
        """What stands before the colon."""
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
            name="leeway_performance", text="A metric of the newest window whose labels have come",
            labels=("metric",), judged="1 if performance is surely worse than it may be", reference=True,
        ),
    ),
    Subject(
        name=ESTIMATED, words="estimated {metric}", metrics_of_task=True, bad="breached", by_name=True, each=True,
        aside=" (without labels)", reference=True, section="performance",
        shown=Metric(
            name="leeway_estimated_performance", text="A metric of the window, estimated without labels",
            labels=("metric",), judged="1 if the estimate is surely worse than it may be", reference=True,
        ),
    ),
    Subject(
        name="version", words="{metric} against the champion", metrics_of_task=True, bad="breached", realised=True,
        by_name=True, each=True, detail="champion", section="comparisons", title="against the champion",
        shown=Metric(
            name="leeway_version_difference", text="By how much a metric of this version exceeds the champion's",
            labels=("metric",), judged="1 if this version is surely worse than the champion",
        ),
    ),
    Subject(
        name="segments", words="number of segments with a surely worse {metric}", metrics_of_task=True, bad="breached",
        realised=True, by_name=True, each=True, detail="detail", shown="segments", section="comparisons",
        title="segments that are worse",
    ),
    Subject(
        name="fairness:", words="{metric} by {name}", statistics=_FAIRNESS, bad="breached", realised=True, each=True,
        detail="both", section="comparisons",
        shown=Metric(
            name="leeway_fairness", text="A difference or ratio between the groups of a protected column",
            labels=("column", "metric"),
        ),
    ),
    Subject(
        name="labels", words="labels", bad="breached", realised=True, section="beyond limits",
        statistics={
            "share": Statistic("share of predictions that have a label"),
            "median_delay_seconds": Statistic("median delay of labels in seconds"),
        },
        shown=Metric(
            name="leeway_label_arrival", text="Share of the judged window's predictions with a label; delay of labels",
            labels=("statistic",), judged="1 if labels surely do not come as they used to",
        ),
    ),
    Subject(
        name="quality:", words="quality of {name}", bad="breached", section="beyond limits", title="{name}",
        statistics={
            "missing_rate": Statistic("share of missing values"),
            "invalid_rate": Statistic("share of values of the wrong type"),
            "nonfinite_rate": Statistic("share of infinite values"),
            "out_of_range_rate": Statistic("share of values beyond the reference's range"),
            "unseen_rate": Statistic("share of unseen categories"),
            "constant": Statistic(sentence=True),
        },
        shown=Metric(
            name="leeway_data_quality", text="Data quality of a feature in the window",
            labels=("feature", "statistic"), judged="1 if data quality of the feature is surely worse than it may be",
            per_feature=True,
        ),
    ),
    Subject(
        name="quality", words="records", bad="breached", section="beyond limits",
        statistics={
            "features_gone": Statistic("number of features without any value", sentence=True),
            "features_new": Statistic("number of new names", sentence=True),
            "duplicate_rate": Statistic("share of records that came again"),
            "traffic_ratio": Statistic("traffic against the usual", about="traffic"),
            "rejected": Statistic("share of records that were rejected"),
            "featureless": Statistic("share of records without any feature"),
            "labels_rejected": Statistic("share of label records that were rejected"),
            LOST: Statistic("number of messages lost", sentence=True),
            DAMAGED: Statistic(),
        },
        shown=Metric(
            name="leeway_traffic", text="Data quality of the model's traffic as a whole", labels=("statistic",),
            judged="1 if the traffic is surely not what is usual",
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
"""A subject that nobody has listed is drift."""
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
"""Performance metrics in words; one that is not here goes by its own name, or by that of the one it begins with."""

_WORDS = {name: number.words for subject in SUBJECTS for name, number in subject.statistics.items()}
SENTENCES = frozenset(name for subject in SUBJECTS for name, number in subject.statistics.items() if number.sentence)
"""Statistics whose finding says in its detail all that the numbers would."""
_BY_NAME = {subject.name: subject for subject in SUBJECTS}
EACH = frozenset(subject.family for subject in SUBJECTS if subject.each)
"""Families of subjects of which each statistic is a subject of its own."""
REALISED = frozenset(subject.family for subject in SUBJECTS if subject.realised)
BREACHABLE = frozenset(subject.family for subject in SUBJECTS if subject.bad == "breached" and not subject.own)
"""Families of subjects that can be breached. All others drift."""
ONLY_BY_NAME = frozenset(subject.family for subject in SUBJECTS if subject.by_name)


@lru_cache(maxsize=2**16)
def subject_named(subject: str) -> Subject:
    """What a finding's subject is; `UNKNOWN` if it is not listed. Never raises."""
    family, colon, _ = subject.partition(":")
    return _BY_NAME.get(family + colon, UNKNOWN)


def statistic_of(subject: Subject, statistic: str) -> Statistic | None:
    """What a finding's statistic is; None if the subject has none of that name."""
    base, colon, _ = statistic.partition(":")
    found = subject.statistics.get(base)
    return None if found is None or (colon and not found.per_class) else found


@lru_cache(maxsize=2**16)
def is_known(subject: str, statistic: str) -> bool:
    """Whether a finding is listed here. The names of performance metrics come from the model's task: any will do."""
    found = subject_named(subject)
    return found.metrics_of_task or statistic_of(found, statistic) is not None


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
    """What a finding is about: ``age``, ``estimated ROC AUC``, ``equal opportunity difference by SEX``."""
    found = subject_named(subject)
    number = statistic_of(found, statistic)
    if number is not None and number.about:
        return number.about
    return _filled(found.words, subject, statistic)


def title_of(subject: str) -> str:
    """What the report calls a subject: ``age``, ``all features together``."""
    return _filled(subject_named(subject).title, subject, "")


def _filled(text: str, subject: str, statistic: str) -> str:
    return text.format(name=subject.partition(":")[2], metric=words_of_metric(statistic), subject=subject)
