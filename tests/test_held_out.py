"""The validation part: seconds of it come from everywhere, and figures compare only where it is the same."""

import dataclasses

import pytest
from test_processes import RATE, folder
from test_training_data import data

from wavenet.model.wavenet import WaveNet
from wavenet.training.held_out import HeldOut
from wavenet.training.processes import Processes

__all__ = ["data", "folder"]  # fixtures


def test_seconds_of_the_validation_part_come_from_everywhere(data):
    spans = data.sides.train  # more of them
    many = dataclasses.replace(data, sides=dataclasses.replace(data.sides, valid=spans))
    part = HeldOut(Processes(), many, crop=400, receptive_field=16, precision="float32")
    total = sum(span.samples for span in spans) / RATE
    assert part.is_whole(total)
    assert not part.is_whole(total - 1 / RATE)
    model = WaveNet(data.model)
    assert part.bits(model, total) == pytest.approx(8, abs=0.5)
    assert part.bits(model, total) == part.bits(model, float("inf")) != part.bits(model, total / 3)
    assert part.fingerprint(total) == part.fingerprint(float("inf")) != part.fingerprint(total / 3)
    assert 0 <= part.frame_accuracy(model, total) <= 1
