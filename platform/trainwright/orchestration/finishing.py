"""What is made of a finished training: plots and exported weights."""

from __future__ import annotations

from trainwright.orchestration.exporting import export_run
from trainwright.orchestration.quiet import output_to
from trainwright.orchestration.shipping import driver_log
from trainwright.storage import Folder
from trainwright.tracking import plot_run


def finish(folder: Folder) -> list[str]:
    """Plots and exported weights; a failure here is told, the training stays good.

    Args:
        folder: the run's folder.

    Returns:
        Remarks for the user.
    """
    remarks = []
    try:
        with output_to(driver_log(folder)):
            plot_run(folder)
            export_run(folder, trusted=True)
    except Exception as error:  # a finished training must not turn into a failed one here
        remarks.append(f"after training: {type(error).__name__}: {error}")
    return remarks
