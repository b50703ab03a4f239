"""Mapped devices: which of the documents with a link or a volume each count, server by server."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from functions.normalize.counted_devices import DeviceMemory, volume_item
from functions.normalize.device_facts import DeviceFacts
from functions.normalize.devices import STOCK_RULES, DeviceRules
from functions.normalize.numbers import Floats

__all__ = ["MappedDevices"]

Mask = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]


class MappedDevices:
    """The devices of each server that documents told of, and the facts about those that count."""

    def __init__(self, rules: DeviceRules = STOCK_RULES) -> None:
        self._rules = rules
        self._memories: dict[str, DeviceMemory] = {}
        self._last_links: tuple[Sequence[str], Mask, Mask] | None = None  # both ways have the same

    def facts(self, server: str) -> DeviceFacts:
        """What is to be stated of a server."""
        memory = self._memories.get(server)
        return memory.facts if memory else DeviceFacts()

    def links(
        self, servers: Sequence[str], names: Sequence[str | None], times: Times, present: Mask
    ) -> Mask:
        """A mask [n] of the documents with a link that counts; `present` [n] have a value."""
        last = self._last_links
        if last is not None and last[0] is servers and np.array_equal(last[1], present):
            return last[2]
        mask = np.zeros(len(servers), bool)
        self._last_links = servers, present, mask
        for server, places in _by_server(servers, present).items():
            memory = self._memories.setdefault(server, DeviceMemory())
            sent = {i: name for i in places if (name := names[i])}
            counted = memory.counted_links(sent.values(), {}, _latest(times, places), self._rules)
            memory.facts.update({}, counted)
            mask[[i for i, name in sent.items() if name in counted]] = True
        return mask

    def volumes(
        self,
        servers: Sequence[str],
        mounts: Sequence[str | None],
        types: Sequence[str | None],
        times: Times,
        fullness: Floats,
    ) -> Mask:
        """A mask [n] of the documents with a volume that counts.

        `fullness` [n] is in any unit, NaN where a document has none.
        """
        mask = np.zeros(len(servers), bool)
        for server, places in _by_server(servers, ~np.isnan(fullness)).items():
            memory = self._memories.setdefault(server, DeviceMemory())
            layers = {i: self._rules.volume(types[i] or "", mounts[i] or "") for i in places}
            items = {
                i: volume_item(layer, "", mounts[i] or "")
                for i, layer in layers.items()
                if layer is not None
            }
            counted = memory.counted_volumes(items.values(), _latest(times, places))
            mask[[i for i, item in items.items() if item in counted]] = True
        return mask

    def state_fullest(
        self, servers: Sequence[str], mounts: Sequence[str | None], fullness: Floats
    ) -> None:
        """Note the fullness [%, n] of the volumes that count, NaN for the other documents."""
        for server, places in _by_server(servers, ~np.isnan(fullness)).items():
            known = {mounts[i] or "": float(fullness[i]) for i in places}
            self._memories.setdefault(server, DeviceMemory()).facts.update(known, ())


def _by_server(servers: Sequence[str], present: Mask) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for i in np.flatnonzero(present).tolist():
        places.setdefault(servers[i], []).append(i)
    return places


def _latest(times: Times, places: Sequence[int]) -> int:
    return max(int(times[i]) for i in places)
