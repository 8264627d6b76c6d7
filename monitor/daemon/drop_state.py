"""Deletes at once what is kept of one model: `leewayd state drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.errors import ConfigError
from monitor.common.nearest import hint, quoted
from monitor.daemon.checkpointer import drop_models
from monitor.daemon.saved_documents import read_document
from monitor.state.model_files import models_with_files
from monitor.state.store import Store

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.config.schema import Config

_NOUNS = {"models": "totals", "labelled": "labelled panes", "ledger": "offset ranges"}


def drop_state(config: Config, model: str, stamp: str, log: FilteringBoundLogger) -> list[str]:
    """Deletes everything that the state directory holds of a model; other models and the positions stay.

    Args:
        config: says where the state is.
        model: its name; the configuration need not name it.
        stamp: goes into the name of a damaged file that is set aside.
        log: past-tense events.

    Returns:
        Lines that say what was deleted, and what was not.

    Raises:
        ConfigError: if nothing is kept of such a model.
        StateError: if a daemon holds the state directory, or the state cannot be changed.
        RetryableError: if it cannot be read or written now.
    """
    folder = config.state.dir
    if not folder.is_dir():
        raise ConfigError([f"{folder}: no state is kept there"])
    store = Store(folder, log)
    try:
        known = {*store.load(stamp, read_document).names, *models_with_files(folder)}
        if model not in known:
            raise ConfigError([f"nothing is kept of a model {quoted(model)}; {hint(model, sorted(known), 'kept are')}"])
        rows, files = drop_models(store, {model})
        aside = store.set_aside
    finally:
        store.close()
    counts = [f"{count:,} {_NOUNS.get(table, table)}" for table, count in rows.items() if count]
    lines = [f"{quoted(model)}: dropped {', '.join([*counts, *files]) or 'nothing'}"]
    if any(section.name == model for section in config.models):
        lines.append(f"{quoted(model)} is still configured: it begins again when the daemon starts")
    if aside:
        lines.append(f"not touched, because they were found damaged earlier: {', '.join(aside)}")
    return lines
