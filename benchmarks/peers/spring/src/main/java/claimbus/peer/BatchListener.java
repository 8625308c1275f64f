package claimbus.peer;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.springframework.context.annotation.Profile;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.support.Acknowledgment;
import org.springframework.stereotype.Component;

/** Reads whole batches: handled in one transaction, published, and acknowledged when the brokers have it all. */
@Component
@Profile("batch")
class BatchListener {
    private final Stage stage;
    private final KafkaTemplate<String, byte[]> template;

    BatchListener(Stage stage, KafkaTemplate<String, byte[]> template) {
        this.stage = stage;
        this.template = template;
    }

    @KafkaListener(topics = "#{'${peer.reads}'.split(',')}", groupId = "${peer.group}")
    void take(List<ConsumerRecord<String, byte[]>> records, Acknowledgment acknowledgment) {
        CompletableFuture<?>[] sent = stage.handle(records).stream().map(template::send).toArray(CompletableFuture[]::new);
        template.flush();
        CompletableFuture.allOf(sent).join();
        acknowledgment.acknowledge();
    }
}
