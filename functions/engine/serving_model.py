"""Serving model: the model file in use, opened once and again when the file changes."""

import logging
import time
from pathlib import Path

from functions.engine.forecaster import Forecaster, ModelUnusable
from storage.config.folders import Folders

__all__ = ["ServingModel"]

log = logging.getLogger(__name__)


class ServingModel:
    """The model in use: `models/serving.onnx` of the data folder, else the one in the package.

    A damaged file in the data folder raises ModelUnusable; the shipped model never replaces it
    silently.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._opened: tuple[tuple[str, int], Forecaster] | None = None

    @property
    def path(self) -> Path | None:
        """Return the file in use; None for the shipped one."""
        return self._folders.own_model

    def serving(self) -> Forecaster:
        """Return the model to forecast with. Raises ModelUnusable, which says why there is none."""
        path = self.path
        stamp = (str(path), path.stat().st_mtime_ns if path and path.exists() else 0)
        if self._opened is None or self._opened[0] != stamp:
            self._opened = None
            began = time.perf_counter()
            try:
                model = Forecaster.serving(self._folders)
            except ModelUnusable as error:
                log.debug("model refused: %s", error)
                raise
            self._opened = (stamp, model)
            log.debug("model %s opened in %.2f s", model.hash, time.perf_counter() - began)
        return self._opened[1]
