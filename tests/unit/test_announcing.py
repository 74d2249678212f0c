"""What the server plugin sends itself is what MLflow would send."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.announcing import delivery
from webhook.events import Trigger, parse
from webhook.signature import DELIVERY_ID, SIGNATURE, TIMESTAMP, Unverified, verify

REAL = Path(__file__).parents[1] / "functional/deliveries/model_version_tag.set.json"


def test_a_delivery_is_byte_for_byte_mlflow_s() -> None:
    real: dict[str, Any] = json.loads(REAL.read_text())
    headers, event = real["headers"], real["body"]
    body, made = delivery(
        event["data"],
        secret=real["secret"],
        delivery_id=headers[DELIVERY_ID],
        now=datetime.fromisoformat(event["timestamp"]),
    )
    assert body.decode() == real["body_raw"]
    assert made == {name: headers[name] for name in made}


@pytest.mark.parametrize("model", ["fraud", "naïve 模型 😀", 'it\'s "so"'])
def test_the_service_takes_it(model: str) -> None:
    data = {"name": model, "version": "3", "key": "gitops.request.tag.at", "value": '{"id":"r"}'}
    now = datetime(2026, 11, 23, tzinfo=UTC)
    body, headers = delivery(data, secret="s-1", delivery_id="d-1", now=now)
    claim = Unverified(headers[DELIVERY_ID], headers[TIMESTAMP], headers[SIGNATURE], body)
    assert verify(claim, ["s-1"], now=now.timestamp(), window=1).id == "d-1"
    trigger = parse(body)
    assert isinstance(trigger, Trigger)
    assert (trigger.model, trigger.version, trigger.key) == (model, "3", data["key"])
