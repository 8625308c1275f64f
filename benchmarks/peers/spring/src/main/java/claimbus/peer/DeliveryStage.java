package claimbus.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Profile;
import org.springframework.stereotype.Component;

/** Events and outcomes in; to each company those that it may see, events without their audience. */
@Component
@Profile("delivery")
class DeliveryStage implements Stage {
    private final ObjectMapper json;
    private final String outcomes;
    private final String eventsOf;

    DeliveryStage(
            ObjectMapper json,
            @Value("${peer.outcomes}") String outcomes,
            @Value("${peer.events-of}") String eventsOf) {
        this.json = json;
        this.outcomes = outcomes;
        this.eventsOf = eventsOf;
    }

    @Override
    public List<ProducerRecord<String, byte[]>> handle(List<ConsumerRecord<String, byte[]>> records) {
        List<ProducerRecord<String, byte[]>> messages = new ArrayList<>(2 * records.size());
        for (ConsumerRecord<String, byte[]> record : records) {
            deliver(record, messages);
        }
        return messages;
    }

    private void deliver(ConsumerRecord<String, byte[]> record, List<ProducerRecord<String, byte[]>> messages) {
        try {
            ObjectNode body = (ObjectNode) json.readTree(record.value());
            if (record.topic().equals(outcomes)) {
                messages.add(copy(record, body.get("company").asText(), record.value()));
            } else {
                JsonNode audience = body.remove("audience");
                byte[] value = json.writeValueAsBytes(body);
                audience.forEach(company -> messages.add(copy(record, company.asText(), value)));
            }
        } catch (IOException unreadable) {
            throw new IllegalArgumentException(unreadable);
        }
    }

    private ProducerRecord<String, byte[]> copy(ConsumerRecord<String, byte[]> record, String company, byte[] value) {
        return new ProducerRecord<>(eventsOf + company, null, null, record.key(), value, record.headers());
    }
}
