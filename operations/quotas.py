"""A quota for each company, so that one that floods the bus slows itself down and nobody else.

No Python client offers Kafka's requests about quotas, so these are spelled out here in aiokafka's terms (KIP-546).
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int8, Int16, Int32, Schema, String

from operations.connection import Connection
from shared.contract.topics import MIB

PRODUCED_BYTES_PER_S = 8 * MIB
"""About 8,000 requests each second, many times what a company sends in a storm."""
CONSUMED_BYTES_PER_S = 32 * MIB
_BY_NAME = 0


class QuotaRefused(Exception):
    """The cluster would not take a quota."""


class _AlterClientQuotasResponse(Response):
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("entity", Array(("entity_type", String("utf-8")), ("entity_name", String("utf-8")))),
            ),
        ),
    )


class _AlterClientQuotasV0(RequestStruct):
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlterClientQuotasResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(
                ("entity", Array(("entity_type", String("utf-8")), ("entity_name", String("utf-8")))),
                ("ops", Array(("key", String("utf-8")), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _AlterClientQuotas(Request[_AlterClientQuotasV0]):
    API_KEY = 49

    def __init__(self, quotas: dict[str, dict[str, float | None]]) -> None:
        self._entries = [
            ([("user", user)], [(key, value or 0.0, value is None) for key, value in limits.items()])
            for user, limits in quotas.items()
        ]

    def build(self, request_struct_class: type[_AlterClientQuotasV0]) -> _AlterClientQuotasV0:
        return request_struct_class(self._entries, False)


class _DescribeClientQuotasResponse(Response):
    API_KEY = 48
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", String("utf-8")),
        (
            "entries",
            Array(
                ("entity", Array(("entity_type", String("utf-8")), ("entity_name", String("utf-8")))),
                ("values", Array(("key", String("utf-8")), ("value", Float64))),
            ),
        ),
    )


class _DescribeClientQuotasV0(RequestStruct):
    API_KEY = 48
    API_VERSION = 0
    RESPONSE_TYPE = _DescribeClientQuotasResponse
    SCHEMA = Schema(
        (
            "components",
            Array(("entity_type", String("utf-8")), ("match_type", Int8), ("match", String("utf-8"))),
        ),
        ("strict", Boolean),
    )


class _DescribeClientQuotas(Request[_DescribeClientQuotasV0]):
    API_KEY = 48

    def __init__(self, user: str) -> None:
        self._user = user

    def build(self, request_struct_class: type[_DescribeClientQuotasV0]) -> _DescribeClientQuotasV0:
        return request_struct_class([("user", _BY_NAME, self._user)], True)


@dataclass(frozen=True, slots=True)
class Quota:
    """What a company may send and receive, in bytes each second; None is as much as it likes."""

    produced: float | None
    consumed: float | None


USUAL = Quota(PRODUCED_BYTES_PER_S, CONSUMED_BYTES_PER_S)
NO_LIMIT = Quota(None, None)


def set_quotas(connection: Connection, companies: Iterable[str], quota: Quota = USUAL) -> None:
    """Limit what each company may produce and consume. Raises QuotaRefused, or KafkaError of aiokafka."""
    limits = {"producer_byte_rate": quota.produced, "consumer_byte_rate": quota.consumed}
    response = asyncio.run(_ask(connection, _AlterClientQuotas(dict.fromkeys(companies, limits))))
    refused = [message for code, message, _ in response.entries if code]
    if refused:
        raise QuotaRefused("; ".join(refused))


def quota_of(connection: Connection, company: str) -> Quota:
    """Ask for a company's quota. Raises QuotaRefused, or KafkaError of aiokafka."""
    response = asyncio.run(_ask(connection, _DescribeClientQuotas(company)))
    if response.error_code:
        raise QuotaRefused(response.error_message)
    limits = dict(limit for _, values in response.entries or () for limit in values)
    return Quota(limits.get("producer_byte_rate"), limits.get("consumer_byte_rate"))


async def _ask(connection: Connection, request: Any) -> Any:
    admin = AIOKafkaAdminClient(**connection.settings().client())
    await admin.start()
    try:
        return await admin._send_request(request)
    finally:
        await admin.close()
