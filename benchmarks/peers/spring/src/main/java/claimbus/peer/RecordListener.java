package claimbus.peer;

import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.springframework.context.annotation.Profile;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.stereotype.Component;

/** Reads one record at a time, as the documentation's first examples do; the container commits after each. */
@Component
@Profile("record")
class RecordListener {
    private final Stage stage;
    private final KafkaTemplate<String, byte[]> template;

    RecordListener(Stage stage, KafkaTemplate<String, byte[]> template) {
        this.stage = stage;
        this.template = template;
    }

    @KafkaListener(topics = "#{'${peer.reads}'.split(',')}", groupId = "${peer.group}")
    void take(ConsumerRecord<String, byte[]> record) {
        for (ProducerRecord<String, byte[]> message : stage.handle(List.of(record))) {
            template.send(message).join();
        }
    }
}
