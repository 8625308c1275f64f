"""A quota for each company, so that one that floods the bus slows itself down and nobody else.

No Python client offers Kafka's AlterClientQuotas, so its request is spelled out here in aiokafka's terms (KIP-546).
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String
from pydantic import SecretStr

from operations.connection import Connection
from shared.contract.topics import MIB, OPERATOR
from shared.runtime.settings import KafkaSettings

PRODUCED_BYTES_PER_S = 8 * MIB
"""About 8,000 requests each second, many times what a company sends in a storm."""
CONSUMED_BYTES_PER_S = 32 * MIB


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

    def __init__(self, quotas: dict[str, dict[str, float]]) -> None:
        self._entries = [
            ([("user", user)], [(key, value, False) for key, value in limits.items()])
            for user, limits in quotas.items()
        ]

    def build(self, request_struct_class: type[_AlterClientQuotasV0]) -> _AlterClientQuotasV0:
        return request_struct_class(self._entries, False)


def set_quotas(connection: Connection, companies: Iterable[str]) -> None:
    """Limit what each company may produce and consume, in bytes each second. Raises QuotaRefused."""
    limits = {"producer_byte_rate": float(PRODUCED_BYTES_PER_S), "consumer_byte_rate": float(CONSUMED_BYTES_PER_S)}
    asyncio.run(_alter(connection, dict.fromkeys(companies, limits)))


async def _alter(connection: Connection, quotas: dict[str, dict[str, float]]) -> None:
    settings = KafkaSettings(
        bootstrap_servers=connection.bootstrap_servers,
        security_protocol=connection.security_protocol,
        sasl_mechanism=connection.sasl_mechanism,
        ssl_ca_file=connection.ssl_ca_file,
        username=OPERATOR,
        password=SecretStr(connection.companies[OPERATOR].password),
    )
    admin = AIOKafkaAdminClient(**settings.client())
    await admin.start()
    try:
        response: Any = await admin._send_request(_AlterClientQuotas(quotas))
    finally:
        await admin.close()
    refused = [message for code, message, _ in response.entries if code]
    if refused:
        raise QuotaRefused("; ".join(refused))
