package claimbus.peer;

import java.time.Instant;
import java.time.LocalDate;
import java.util.List;
import java.util.UUID;

/** The messages, as far as a creation needs them; names are the contract's. */
final class Messages {
    static final String CREATE = "claimbus.create-temporary-claim.v1";
    static final String CHECKED = "claimbus.checked-request.v1";
    static final String CREATED = "claimbus.temporary-claim-created.v1";
    static final String ACCEPTED = "claimbus.request-accepted.v1";
    static final String REFUSED = "claimbus.request-refused.v1";

    private Messages() {}

    record Address(String street, String postalCode, String city, String country) {}

    record Incident(LocalDate date, String cause, Address address, String description) {}

    record Policyholder(String name, String phone, String email) {}

    record NewTask(String kind, String office) {}

    record Creation(
            String insurer, String office, Incident incident, Policyholder policyholder, String policyNumber,
            String partnerReference, List<NewTask> tasks) {}

    record Texts(String nb, String en) {}

    record Hours(String opens, String closes) {}

    record Decision(
            String rule, String creationPermission, String localTime, boolean insideOfficeHours, Hours officeHours,
            Texts explanation) {}

    /** What the first stage passes on; of a refused request `code` says why. */
    record Command(
            String company, String requestId, String requestType, Instant requestedAt, UUID claimId, String insurer,
            Creation request, String code, Decision decision, String timeZone) {}

    record Actor(String company) {}

    record Task(UUID taskId, String kind, String office, String company, boolean needsBudget) {}

    record Created(
            UUID claimId, int version, String insurer, Instant at, Actor actor, List<String> audience,
            String claimNumber, String company, String office, Incident incident, Policyholder policyholder,
            String policyNumber, String partnerReference, List<Task> tasks, boolean insideOfficeHours,
            String timeZone) {}

    record Outcome(
            String requestId, String company, String requestType, Instant requestedAt, String code, UUID claimId,
            String claimNumber, List<UUID> taskIds, Decision decision) {}
}
