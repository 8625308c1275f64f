"""`claimbus remove`: take a company out, from the directory and from the brokers."""

from typing import Annotated

import typer
from aiokafka.errors import KafkaError as AIOKafkaError
from confluent_kafka import KafkaException

from operations.bus import Company, NewRequest, NoAnswer
from operations.connection import Unreachable, find_connection_file, load_connection
from operations.options import ConnectionFile, fail, out, sentence_of
from operations.provisioning import NotProvisioned, missing_topics, take_company_out
from operations.quotas import QuotaRefused
from shared.contract.requests import RemoveCompany
from shared.contract.topics import OPERATOR


def remove(
    company: Annotated[str, typer.Argument(help="The company's id.")], connection_file: ConnectionFile = None
) -> None:
    """Take a company out: its user, rights and quota, its offices and users, and all permissions of them.

    Claims stay as they are. So do its topics, which are empty when what is on them has aged out. Safe to repeat.
    """
    try:
        connection = load_connection(connection_file)
        if missing_topics(connection, [company]):
            fail(f"there is no company {company} on the bus")
        with Company(connection, OPERATOR) as operator:
            (outcome,) = operator.ask(NewRequest(RemoveCompany.NAME, RemoveCompany(id=company).json_bytes()))
        take_company_out(connection, company)
        connection.companies.pop(company, None)
        connection.keep(find_connection_file(connection_file))
    except (Unreachable, QuotaRefused, NotProvisioned) as error:
        fail(error)
    except (NoAnswer, KafkaException, AIOKafkaError) as error:
        fail(f"{sentence_of(error)}\nThe same command does the rest")
    if outcome.accepted:
        out.print(f"removed {company}: its offices and users, permissions, user on the brokers, rights and quota")
    else:
        out.print(f"{company} was removed before: its user on the brokers, rights and quota are gone as well")
