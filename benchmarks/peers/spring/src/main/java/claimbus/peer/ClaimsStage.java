package claimbus.peer;

import claimbus.peer.Messages.Actor;
import claimbus.peer.Messages.Command;
import claimbus.peer.Messages.Created;
import claimbus.peer.Messages.NewTask;
import claimbus.peer.Messages.Outcome;
import claimbus.peer.Messages.Task;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.Timestamp;
import java.time.LocalDate;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Profile;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.stereotype.Component;
import org.springframework.transaction.support.TransactionTemplate;

/** Checked commands in; claims, their events and one outcome for each request out, all rows in one transaction. */
@Component
@Profile("claims")
class ClaimsStage implements Stage {
    private static final String ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    private static final String REMEMBERED =
            "select company, request_id, claim_id, outcome_type, outcome,"
                    + " (select event from claim_events e where e.claim_id = r.claim_id and version = 1) as event"
                    + " from requests r where (company, request_id) in (select * from unnest(?::text[], ?::text[]))";

    private final ObjectMapper json;
    private final JdbcTemplate database;
    private final TransactionTemplate transactions;
    private final Directory directory;
    private final String events;
    private final String outcomes;

    ClaimsStage(
            ObjectMapper json,
            JdbcTemplate database,
            TransactionTemplate transactions,
            Directory directory,
            @Value("${peer.events}") String events,
            @Value("${peer.outcomes}") String outcomes) {
        this.json = json;
        this.database = database;
        this.transactions = transactions;
        this.directory = directory;
        this.events = events;
        this.outcomes = outcomes;
    }

    /** What came of a request, as it is kept and published. */
    private record Decided(
            String company, String requestId, Timestamp at, UUID claimId, String insurer, String number, String type,
            byte[] outcome, byte[] event) {
        String key() {
            return company + "/" + requestId;
        }
    }

    @Override
    public List<ProducerRecord<String, byte[]>> handle(List<ConsumerRecord<String, byte[]>> records) {
        List<Command> commands = records.stream().map(this::read).toList();
        List<Decided> decided = transactions.execute(status -> decide(commands));
        List<ProducerRecord<String, byte[]>> messages = new ArrayList<>(2 * records.size());
        for (Decided each : decided) {
            if (each.event() != null) {
                messages.add(Envelope.message(
                        events, each.claimId().toString(), Messages.CREATED, each.claimId() + "/1", each.requestId(),
                        "/claimbus/claims", each.event()));
            }
            messages.add(Envelope.message(
                    outcomes, each.requestId(), each.type(), each.key(), each.requestId(), "/claimbus/claims",
                    each.outcome()));
        }
        return messages;
    }

    /** Finds what was decided before, decides the others, and writes them with a batch for each table. */
    private List<Decided> decide(List<Command> commands) {
        Map<String, Decided> found = new HashMap<>();
        database.query(
                REMEMBERED,
                row -> {
                    String event = row.getString("event");
                    Decided before = new Decided(
                            row.getString("company"), row.getString("request_id"), null,
                            row.getObject("claim_id", UUID.class), null, null, row.getString("outcome_type"),
                            bytes(row.getString("outcome")), event == null ? null : bytes(event));
                    found.put(before.key(), before);
                },
                commands.stream().map(Command::company).toArray(String[]::new),
                commands.stream().map(Command::requestId).toArray(String[]::new));
        List<Decided> all = new ArrayList<>(commands.size());
        List<Decided> fresh = new ArrayList<>(commands.size());
        for (Command command : commands) {
            Decided decided = found.get(command.company() + "/" + command.requestId());
            if (decided == null) {
                decided = decided(command);
                found.put(decided.key(), decided);
                fresh.add(decided);
            }
            all.add(decided);
        }
        write(fresh);
        return all;
    }

    private void write(List<Decided> fresh) {
        List<Decided> created = fresh.stream().filter(each -> each.event() != null).toList();
        database.batchUpdate(
                "insert into requests values (?, ?, ?, ?, ?, ?)", fresh, Math.max(1, fresh.size()), (row, each) -> {
                    row.setString(1, each.company());
                    row.setString(2, each.requestId());
                    row.setObject(3, each.claimId());
                    row.setTimestamp(4, each.at());
                    row.setString(5, each.type());
                    row.setString(6, text(each.outcome()));
                });
        database.batchUpdate(
                "insert into claims values (?, ?, 'temporary', 1, ?)", created, Math.max(1, created.size()),
                (row, each) -> {
                    row.setObject(1, each.claimId());
                    row.setString(2, each.insurer());
                    row.setString(3, text(each.event()));
                });
        database.batchUpdate(
                "insert into claim_events values (?, 1, ?, ?, ?, ?, ?)", created, Math.max(1, created.size()),
                (row, each) -> {
                    row.setObject(1, each.claimId());
                    row.setString(2, each.company());
                    row.setString(3, each.requestId());
                    row.setString(4, Messages.CREATED);
                    row.setString(5, text(each.event()));
                    row.setString(6, each.requestId());
                });
        database.batchUpdate(
                "insert into claim_numbers values (?, ?, ?)", created, Math.max(1, created.size()), (row, each) -> {
                    row.setString(1, each.insurer());
                    row.setString(2, each.number());
                    row.setObject(3, each.claimId());
                });
    }

    private Decided decided(Command command) {
        try {
            String id = command.requestId();
            Timestamp at = Timestamp.from(command.requestedAt());
            if (command.code() != null) {
                Outcome outcome = new Outcome(
                        id, command.company(), command.requestType(), command.requestedAt(), command.code(), null,
                        null, null, command.decision());
                return new Decided(
                        command.company(), id, at, command.claimId(), command.insurer(), null, Messages.REFUSED,
                        json.writeValueAsBytes(outcome), null);
            }
            String number = number(command);
            List<Task> tasks = tasks(command);
            Created event = new Created(
                    command.claimId(), 1, command.insurer(), command.requestedAt(), new Actor(command.company()),
                    List.of(command.company(), command.insurer()), number, command.company(),
                    command.request().office(), command.request().incident(), command.request().policyholder(),
                    command.request().policyNumber(), command.request().partnerReference(), tasks,
                    command.decision().insideOfficeHours(), command.timeZone());
            Outcome outcome = new Outcome(
                    id, command.company(), command.requestType(), command.requestedAt(), null, command.claimId(),
                    number, tasks.stream().map(Task::taskId).toList(), command.decision());
            return new Decided(
                    command.company(), id, at, command.claimId(), command.insurer(), number, Messages.ACCEPTED,
                    json.writeValueAsBytes(outcome), json.writeValueAsBytes(event));
        } catch (IOException unwritable) {
            throw new IllegalArgumentException(unwritable);
        }
    }

    private List<Task> tasks(Command command) {
        List<Task> tasks = new ArrayList<>();
        for (NewTask wanted : command.request().tasks() == null ? List.<NewTask>of() : command.request().tasks()) {
            String office = wanted.office() == null ? command.request().office() : wanted.office();
            UUID id = Ids.of(command.claimId() + "/" + (tasks.size() + 1));
            tasks.add(new Task(id, wanted.kind(), office, directory.companyOf(office), false));
        }
        return tasks;
    }

    private static String number(Command command) {
        LocalDate today = command.requestedAt().atZone(ZoneId.of(command.timeZone())).toLocalDate();
        long bits = command.claimId().getMostSignificantBits();
        StringBuilder code = new StringBuilder();
        for (int n = 1; n <= 8; n++) {
            code.append(ALPHABET.charAt((int) (bits >>> (64 - 5 * n) & 31)));
        }
        return "Midlertidig " + today + "-" + code;
    }

    private Command read(ConsumerRecord<String, byte[]> record) {
        try {
            return json.readValue(record.value(), Command.class);
        } catch (IOException unreadable) {
            throw new IllegalArgumentException(unreadable);
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
