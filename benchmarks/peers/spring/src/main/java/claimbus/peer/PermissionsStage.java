package claimbus.peer;

import claimbus.peer.Messages.Command;
import claimbus.peer.Messages.Creation;
import claimbus.peer.Messages.Decision;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Instant;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Profile;
import org.springframework.stereotype.Component;

/** Requests in; checked commands out, keyed by the claim. */
@Component
@Profile("permissions")
class PermissionsStage implements Stage {
    private final ObjectMapper json;
    private final Directory directory;
    private final String partner;
    private final String commands;

    PermissionsStage(
            ObjectMapper json,
            Directory directory,
            @Value("${peer.partner}") String partner,
            @Value("${peer.commands}") String commands) {
        this.json = json;
        this.directory = directory;
        this.partner = partner;
        this.commands = commands;
    }

    @Override
    public List<ProducerRecord<String, byte[]>> handle(List<ConsumerRecord<String, byte[]>> records) {
        return records.stream().map(this::checked).toList();
    }

    private ProducerRecord<String, byte[]> checked(ConsumerRecord<String, byte[]> record) {
        try {
            String id = Envelope.header(record.headers(), "ce_id");
            Instant at = Instant.ofEpochMilli(record.timestamp());
            Creation request = json.readValue(record.value(), Creation.class);
            Decision decision = directory.decide(request.insurer(), request.office(), at);
            String code = decision == null
                    ? "unknown_insurer"
                    : directory.refusal(partner, request.insurer(), request.office(), decision);
            if (code == null && isIncomplete(request)) {
                code = "invalid_request";
            }
            Command command = new Command(
                    partner, id, Messages.CREATE, at, Ids.of(partner + "/" + id), request.insurer(),
                    code == null ? request : null, code, decision, directory.timeZone(request.insurer()));
            return Envelope.message(
                    commands, command.claimId().toString(), Messages.CHECKED, partner + "/" + id, id,
                    "/claimbus/permissions", json.writeValueAsBytes(command));
        } catch (IOException unreadable) {
            throw new IllegalArgumentException(unreadable);
        }
    }

    private static boolean isIncomplete(Creation request) {
        return request.incident() == null
                || request.incident().date() == null
                || request.incident().cause() == null
                || request.incident().address() == null
                || request.policyholder() == null
                || request.policyholder().name() == null
                || request.policyholder().phone() == null
                || !request.policyholder().phone().matches("\\+[1-9]\\d{6,14}");
    }
}
