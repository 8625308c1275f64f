"""What a service may do on the bus follows from the table of topics."""

from shared.contract.topics import Acl, Operation, Resource, acls_of_service

REPORTING = acls_of_service("reporting")


def allowed(operation: Operation, resource: Resource) -> set[str]:
    return {acl.name for acl in REPORTING if (acl.operation, acl.resource) == (operation, resource)}


def test_reporting_sees_how_far_the_services_before_it_have_come_and_reads_nothing_of_theirs() -> None:
    assert allowed(Operation.DESCRIBE, Resource.TOPIC) == {"requests.", "claim-commands"}
    assert allowed(Operation.DESCRIBE, Resource.GROUP) == {"permissions", "claims"}
    assert allowed(Operation.READ, Resource.TOPIC) == {"claim-events", "request-outcomes", "directory"}
    assert allowed(Operation.READ, Resource.GROUP) == {"reporting"}


def test_only_reporting_writes_reports() -> None:
    writer = Acl("reporting", Operation.WRITE, Resource.TOPIC, "reports")
    assert writer in REPORTING
    others = (acl for service in ("claims", "delivery", "portal", "permissions") for acl in acls_of_service(service))
    assert not [acl for acl in others if acl.name == "reports" and acl.operation is Operation.WRITE]
